"""What the nearest inputs in the features of a model know, without any training.

Images: the label of the nearest training image, and the class whose mean is nearest, against the answers
of the network itself. Texts: whether the passage nearest to one of Nietzsche or Shakespeare is by the same
author, by the mean of the hidden states, which are zoo's features, and by the last one.

    python benchmarks/features.py [--weights cifar10-resnet20] [--train 2000] [--test 2000]
    python benchmarks/features.py --texts

It requires the real data in $ZOO_DATA or the cache.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import zoo
from zoo.data.vocabulary import Vocabulary
from zoo.interfaces import Split

# Passages of each author, and characters of one
PASSAGES, LENGTH = 100, 200


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare features of inputs with each other.")
    parser.add_argument("--weights", default="cifar10-resnet20")
    parser.add_argument("--train", type=int, default=2_000, help="Training images.")
    parser.add_argument("--test", type=int, default=2_000, help="Test images.")
    parser.add_argument("--texts", action="store_true", help="Compare texts rather than images.")
    options = parser.parse_args()
    if options.texts:
        texts()
    else:
        images(zoo.load(options.weights), options.train, options.test)


def images(model: zoo.Model, train: int, test: int) -> None:
    """Print how often the network and what is nearest in its features are right."""
    known, labels = features(model, "train", train)
    asked, truth = features(model, "test", test)
    rows = model.predict([image for image, _ in items(model, "test", test)])
    answers = [model.classes.index(row["predictions"][0]["class"]) for row in rows]
    means = torch.stack([F.normalize(known)[labels == k].mean(0) for k in range(len(model.classes))])
    found = {
        "the network": torch.tensor(answers),
        "the nearest training image, by the cosine": labels[cosines(asked, known).argmax(1)],
        "the nearest training image, by distance": labels[torch.cdist(asked, known).argmin(1)],
        "the nearest mean of a class, by the cosine": cosines(asked, means).argmax(1),
    }
    for name, classes in found.items():
        print(f"{name}: {float((classes == truth).double().mean()):.1%} of {len(truth):,}")


def texts() -> None:
    """Print how often the nearest of other passages is by the same author."""
    model = zoo.load("nietzsche-rnn")
    passages, authors = list[str](), list[int]()
    for author, name in enumerate(("nietzsche", "tinyshakespeare")):
        data = zoo.open_dataset(name, lower=True)
        vocabulary = Vocabulary(data.preprocess)
        tokens = data.split("train")
        for start in range(0, len(tokens), len(tokens) // PASSAGES)[:PASSAGES]:
            passages.append(vocabulary.decode(tokens[start : start + LENGTH].tolist()))
            authors.append(author)
    states = [torch.from_numpy(row["features"]) for row in model.features(passages, pool=False)]
    truth = torch.tensor(authors)
    for name, vectors in {
        "mean": [one.mean(0) for one in states],
        "last": [one[-1] for one in states],
    }.items():
        similar = cosines(torch.stack(vectors), torch.stack(vectors)).fill_diagonal_(-torch.inf)
        right = float((truth[similar.argmax(1)] == truth).double().mean())
        print(f"by the {name} hidden state: {right:.1%} of {len(truth)} passages of {LENGTH} characters")


def cosines(asked: Tensor, known: Tensor) -> Tensor:
    """Return the cosine of each pair of vectors, (N, K)."""
    return F.normalize(asked) @ F.normalize(known).T


def items(model: zoo.Model, split: Split, count: int) -> list[tuple[Tensor, int]]:
    """Return the first items of a split of the data that a model was trained on."""
    images = zoo.open_dataset(model.card.dataset.name, **model.card.dataset.options).split(split)
    return [images[number] for number in range(min(count, len(images)))]


def features(model: zoo.Model, split: Split, count: int) -> tuple[Tensor, Tensor]:
    """Return the features of some images, (N, F), and their labels."""
    chosen = items(model, split, count)
    found = torch.from_numpy(np.asarray(model.features([image for image, _ in chosen])))
    return found, torch.tensor([label for _, label in chosen])


if __name__ == "__main__":
    main()
