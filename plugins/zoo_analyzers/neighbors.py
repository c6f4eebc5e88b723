"""The training images that a model finds most similar to an input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import features_of, pooled, style, untouched
from zoo_analyzers.nearest import Nearest
from zoo_analyzers.plots import neighbors_plot
from zoo_analyzers.thumbnails import thumbnail

Labels = list[str | None]


class Neighbors(Analyzer):
    """The nearest training images of each input, by the cosine similarity of features.

    The nearest images are those that the model considers similar. They can reveal wrong labels, copies of
    test images among the training images, and the cause of a mistake.

    Args:
        count: number of nearest images for each input.
        examples: number of inputs to draw.
    """

    def __init__(
        self, *, count: Annotated[int, Meta(ge=1, le=50)] = 8, examples: Annotated[int, Meta(ge=1, le=50)] = 8
    ) -> None:
        self.count = count
        self.examples = examples

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `neighbors`, `neighbors.png`, and scores.

        A training image is not its own neighbor. Where labels are known, `nearest_alike` is the share of
        inputs whose nearest image has the same label, and `alike` is the share of all nearest images with the
        input's label.

        Raises OptionError if the inputs are not images.
        """
        reference = subject.reference
        assert reference is not None, "the spec has a `reference`"
        with untouched(model) as inner, torch.no_grad():
            vectors, labels, shown = self._inputs(inner, batches, subject)
            own = torch.tensor(reference.inputs, dtype=torch.int64, device=vectors.device)
            nearest = Nearest(vectors, self.count, skip=own)
            known, images = self._compare(inner, reference.batches, nearest, subject)
        rows = _table(subject.names, labels, nearest, reference.names, known)
        drawn = [
            (image, row, [images[near["number"]] for near in row["neighbors"]])
            for image, row in zip(shown, rows, strict=False)
        ]
        return Analysis(
            scores=_scores(rows),
            tables={"neighbors": rows},
            figures={"neighbors.png": lambda: style.png(neighbors_plot(drawn, title=subject.title))},
            text="\n".join(map(_line, rows[: self.examples])),
        )

    def _inputs(
        self, model: nn.Module, batches: Iterable[Batch], subject: Subject
    ) -> tuple[Tensor, Labels, list[Tensor]]:
        """Return the features of all inputs, (N, F), their labels, and the images to draw."""
        vectors: list[Tensor] = []
        labels: Labels = []
        shown: list[Tensor] = []
        for features, batch in _features(model, batches, subject):
            vectors.append(features)
            labels += _labels(batch.targets, subject.preprocess)
            images = batch.inputs[: self.examples - len(shown)]
            shown += [thumbnail(image, subject.preprocess) for image in images]
        return torch.cat(vectors), labels, shown

    def _compare(
        self, model: nn.Module, batches: Iterable[Batch], nearest: Nearest, subject: Subject
    ) -> tuple[Labels, dict[int, Tensor]]:
        """Find the nearest images; return all labels, and the images to draw by index."""
        labels: Labels = []
        images: dict[int, Tensor] = {}
        for features, batch in _features(model, batches, subject):
            first = len(labels)
            nearest.see(features)
            labels += _labels(batch.targets, subject.preprocess)
            wanted: set[int] = {*nearest.numbers[: self.examples].flatten().tolist()}
            images = {number: images[number] for number in wanted & images.keys()}
            for number in wanted:
                if number >= first:
                    images[number] = thumbnail(batch.inputs[number - first], subject.preprocess)
        return labels, images


def _features(model: nn.Module, batches: Iterable[Batch], subject: Subject) -> Iterator[tuple[Tensor, Batch]]:
    """Yield the features of each batch, (B, F), of length 1."""
    for batch in batches:
        if batch.inputs.ndim != 4:
            shape = tuple(batch.inputs.shape)
            raise OptionError(
                f"the neighbors analyzer requires images, but the model reads inputs of shape {shape}"
            )
        with features_of(model, subject.landmarks) as features:
            model(batch.inputs)
        yield F.normalize(pooled(features.output)), batch


def _labels(targets: Tensor, preprocess: Mapping[str, Any]) -> Labels:
    """Return the class or the labels of each item; None if it has neither."""
    names = [str(name) for name in preprocess.get("classes", ())]
    if targets.ndim == 1 and names and not targets.is_floating_point():
        return [names[number] if number >= 0 else None for number in targets.tolist()]
    if targets.ndim == 2 and targets.shape[1] == len(names):
        held = [[name for name, value in zip(names, row, strict=True) if value > 0] for row in targets]
        return [", ".join(labels) or "none" for labels in held]
    return [None] * len(targets)


def _table(
    names: Sequence[str], labels: Labels, nearest: Nearest, others: Sequence[str], known: Labels
) -> list[dict[str, Any]]:
    """Return a row for each input with its name, label and nearest images."""
    rows: list[dict[str, Any]] = []
    similarities, numbers = nearest.similarities.tolist(), nearest.numbers.tolist()
    for place, label in enumerate(labels):
        near = [
            {
                "number": number,
                "name": others[number] if others else str(number),
                "true": known[number],
                "similarity": round(similarity, 6),
            }
            for number, similarity in zip(numbers[place], similarities[place], strict=True)
            if similarity > -torch.inf  # there are fewer
        ]
        name = names[place] if names else f"input {place}"
        rows.append({"input": name, "true": label, "neighbors": near})
    return rows


def _scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean similarity of the nearest images, and how often labels agree, if they are known."""
    found = [row for row in rows if row["neighbors"]]
    first = [row["neighbors"][0]["similarity"] for row in found]
    scores = {"nearest_similarity": sum(first) / len(first)} if first else {}
    alike = [
        [near["true"] == row["true"] for near in row["neighbors"]]
        for row in found
        if None not in (row["true"], row["neighbors"][0]["true"])
    ]
    if alike:
        scores["nearest_alike"] = sum(same[0] for same in alike) / len(alike)
        scores["alike"] = sum(map(sum, alike)) / sum(map(len, alike))
    return scores


def _line(row: Mapping[str, Any]) -> str:
    """Describe the nearest images of an input."""
    near = row["neighbors"]
    counts = Counter(other["true"] for other in near if other["true"] is not None)
    of = "".join(f"; {count} {label}" for label, count in counts.most_common())
    label = "" if row["true"] is None else f" ({row['true']})"
    best = f"{near[0]['name']} {near[0]['similarity']:.3f}" if near else "none"
    return f"{row['input']}{label}: nearest {best}{of}"
