"""The classes that a classifier confuses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import style, untouched
from zoo_analyzers.plots import matrix_plot, pairs_plot
from zoo_analyzers.thumbnails import thumbnail

# Examples to keep in total, until it is known which pairs are confused most
_MAX_EXAMPLES = 5_000


class Confusion(Analyzer):
    """The confusion matrix, the precision and recall of each class, and the most confused pairs of classes.

    Args:
        pairs: number of confused pairs to show.
        examples: number of images to show for each pair.
    """

    def __init__(
        self, *, pairs: Annotated[int, Meta(ge=1)] = 10, examples: Annotated[int, Meta(ge=1, le=20)] = 6
    ) -> None:
        self.pairs = pairs
        self.examples = examples

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the tables `classes` and `confused`, `confusion.png`, `confused.png` and scores.

        Raises OptionError if no image has a label.
        """
        names = [str(name) for name in subject.preprocess["classes"]]
        matrix, loss, examples = self._count(model, batches, subject, len(names))
        if not matrix.sum():
            raise OptionError(
                "the confusion analyzer requires labels, but these images have none",
                hint="choose a split with --split",
            )
        correct = matrix.diagonal()
        counts, guesses = matrix.sum(1), matrix.sum(0)
        classes = [
            {
                "class": name,
                "count": int(counts[k]),
                "precision": float(correct[k] / guesses[k]) if guesses[k] else None,
                "recall": float(correct[k] / counts[k]) if counts[k] else None,
            }
            for k, name in enumerate(names)
        ]
        wrong = matrix - correct.diag()
        order = wrong.flatten().argsort(descending=True, stable=True)[: self.pairs].tolist()
        most = [divmod(place, len(names)) for place in order if wrong.flatten()[place]]
        confused = [
            {
                "true": names[label],
                "predicted": names[guess],
                "count": int(wrong[label, guess]),
                "share": float(wrong[label, guess] / counts[label]),
            }
            for label, guess in most
        ]
        shown = [
            (
                f"{_short(names[label])}, predicted as {_short(names[guess])}\n"
                f"{wrong[label, guess]:,} of {counts[label]:,}",
                examples[label, guess],
            )
            for label, guess in most
        ]
        return Analysis(
            scores={"accuracy": float(correct.sum() / matrix.sum()), "loss": loss},
            tables={"classes": classes, "confused": confused},
            details={"matrix": matrix.tolist()},
            figures={
                "confusion.png": lambda: style.png(matrix_plot(matrix.tolist(), names, title=subject.title)),
                "confused.png": lambda: style.png(pairs_plot(shown, title=subject.title)),
            },
        )

    def _count(
        self, model: nn.Module, batches: Iterable[Batch], subject: Subject, classes: int
    ) -> tuple[Tensor, float, dict[tuple[int, int], list[Tensor]]]:
        """Return the matrix (true class, predicted class), the mean loss, and images of confused pairs."""
        matrix = torch.zeros(classes, classes, dtype=torch.int64)
        examples: dict[tuple[int, int], list[Tensor]] = {}
        loss, images = 0.0, 0
        with untouched(model) as inner, torch.no_grad():
            for batch in batches:
                labels = batch.targets.cpu()
                logits = inner(batch.inputs).float().cpu()
                guesses, known = logits.argmax(1), labels >= 0
                ones = torch.ones(int(known.sum()), dtype=torch.int64)
                matrix.index_put_((labels[known], guesses[known]), ones, accumulate=True)
                loss += float(F.cross_entropy(logits[known], labels[known], reduction="sum"))
                for place in ((labels != guesses) & known).nonzero()[:, 0].tolist():
                    kept = examples.setdefault((int(labels[place]), int(guesses[place])), [])
                    if len(kept) < self.examples and images < _MAX_EXAMPLES:
                        images += 1
                        kept.append(thumbnail(batch.inputs[place], subject.preprocess))
        return matrix, loss / max(int(matrix.sum()), 1), examples


def _short(name: str) -> str:
    return style.shortened(name, 200, style.TEXT)
