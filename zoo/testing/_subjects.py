"""Models that the analyzer under check analyzes, and inputs for them.

They are small models of the kit or, if none has the landmarks that an analyzer needs, architectures of the
analyzer's plugin or of its task's plugin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from zoo.config.declarations import declared
from zoo.errors import SpecError
from zoo.interfaces import Analyzer, Batch, CarriesState, Dataset, Reference, State, Subject, Task, make_task
from zoo.registry.registry import Entry
from zoo.registry.specs import ArchitectureSpec
from zoo.testing._case import Case, Skip, require_instance, without_values
from zoo.testing._models import build, drawing_from

Classes = tuple[int | Literal["predicted", "true"], ...]


class NormedResidual(nn.Module):
    """A residual layer with BatchNorm. Without padding, features of a constant image are constant."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x))


class PooledNet(nn.Module):
    """Features, their mean, and a linear head, as class activation maps need."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), NormedResidual(8), nn.ReLU(), nn.Dropout(0.2)
        )
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))  # (B, 8, 16, 16) to (B, 10)


class MappedNet(nn.Module):
    """Features, a map for each class, and the mean of each map."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), NormedResidual(8), nn.ReLU(), nn.Dropout(0.2)
        )
        self.maps = nn.Conv2d(8, 10, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(self.features(images)).mean((2, 3))  # (B, 10, 16, 16) to (B, 10)


class Reader(nn.Module):
    """A GRU that reads text."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 8)
        self.dropout = nn.Dropout(0.2)
        self.gru = nn.GRU(8, 8)
        self.out = nn.Linear(8, self.embedding.num_embeddings)

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        hidden, state = self.gru(self.dropout(self.embedding(tokens)), state)  # (T, B, 8)
        return self.out(hidden), state


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A model to analyze, with its landmarks.

    Attributes:
        make: builds the model from a seed, in eval mode.
        data: the tiny dataset of the task.
        local: whether each position of its features depends on only a few pixels around it.
    """

    task: Task
    landmarks: Mapping[str, str]
    make: Callable[[int], nn.Module]
    data: Dataset
    local: bool = False

    def batches(self, *, constant: float | None = None, broken: bool = False, seed: int = 0) -> list[Batch]:
        """Return batches of noise or of one constant; if `broken`, any model fails on the second batch.

        There are two batches of images; batches of text are as in an evaluation, where the last ones are
        shorter and have one stream.
        """
        draws = torch.Generator().manual_seed(seed)
        if not isinstance(self.task, CarriesState):
            usual = next(iter(self.task.eval_batches(self.data, "test")))
            images = torch.rand(3, *usual.inputs.shape[1:], generator=draws)
            images = images if constant is None else torch.full_like(images, constant)
            second = images[2:, :-1] if broken else images[2:]
            targets = torch.tensor([3, -1, 5])  # of the second image there is none
            vector = torch.as_tensor(self.data.split("test")[0][1]).ndim == 1
            if self.task.spec.labels and vector:  # several labels, here one each
                classes = torch.arange(self.data.dims["num_classes"])
                targets = (targets[:, None] == classes).float()
            elif usual.targets.ndim > 1 or usual.targets.is_floating_point():
                targets = usual.targets[:3]
            return [Batch(images[:2], targets[:2], 0, 2, 0), Batch(second, targets[2:], 1, 2, 0)]
        vocab_size = self.data.dims["vocab_size"]
        tokens = torch.randint(1, vocab_size, (54,), generator=draws)
        tokens = tokens if constant is None else torch.full_like(tokens, int(constant) + 1)
        first, second, *others = self.task.lane_batches(tokens, lanes=2, steps=12)
        second = dataclasses.replace(second, inputs=second.inputs + vocab_size * broken)
        return [first, second, *others]


# The kit's models of each task, and their landmarks
_OURS: tuple[tuple[str, Callable[[Mapping[str, int]], nn.Module], Mapping[str, str]], ...] = (
    (
        "classification",
        lambda dims: PooledNet(),
        {"features": "features", "mean_head": "head", "head": "head"},
    ),
    (
        "classification",
        lambda dims: MappedNet(),
        {"features": "features", "class_maps": "maps", "head": "maps"},
    ),
    ("language-modeling", lambda dims: Reader(dims["vocab_size"]), {"features": "gru", "head": "out"}),
)


def specimens(case: Case) -> list[Specimen]:
    """Return the models that match an analyzer's tasks and needs. Raises Skip if there are none."""
    fitting = [
        _specimen(case, name, landmarks, lambda dims, seed, make=make: _seeded(partial(make, dims), seed))
        for own, make, landmarks in _OURS
        for name in case.spec.tasks
        if own in (name, case.registry.task(name).architectures_of) and not case.spec.lacks(landmarks)
    ]
    fitting = [dataclasses.replace(specimen, local=True) for specimen in fitting]
    if not fitting:
        fitting = [
            _specimen(
                case,
                entry.spec.task,
                {**entry.spec.landmarks},
                lambda dims, seed, of=entry: build(dataclasses.replace(case, subject=of), seed=seed).eval(),
            )
            for entry in _architectures(case)
        ]
    if not fitting:
        needs = f"with {', '.join(case.spec.needs)}" if case.spec.needs else "for its tasks"
        raise Skip(f"neither the kit nor the plugin has a model {needs}")
    return fitting


def _architectures(case: Case) -> list[Entry[ArchitectureSpec]]:
    """Return the matching architectures of the analyzer's plugin or, if none, of the task's plugin."""
    owners = [entry.plugin for entry in case.registry.entries("task") if entry.spec.name in case.spec.tasks]
    for plugin in (case.plugin, *owners):
        found = [
            cast("Entry[ArchitectureSpec]", entry)
            for entry in case.registry.entries("architecture")
            if entry.plugin is plugin
            and isinstance(entry.spec, ArchitectureSpec)
            and case.spec.fits(entry.spec)
        ]
        if found:
            return found
    return []


def _specimen(
    case: Case, name: str, landmarks: Mapping[str, str], make: Callable[[Mapping[str, int], int], nn.Module]
) -> Specimen:
    task = make_task(case.registry, name)
    data: Dataset = task.spec.load_tiny()()
    return Specimen(task=task, landmarks=landmarks, make=partial(make, data.dims), data=data)


def analyze(
    case: Case,
    specimen: Specimen,
    model: nn.Module | None = None,
    *,
    batches: Iterable[Batch] | None = None,
    landmarks: Mapping[str, str] | None = None,
    classes: Classes = ("predicted",),
    reference: Iterable[Batch] | None = None,
) -> Any:
    """Analyze a model, by default a fresh one, with the analyzer under check, and return the result.

    Raises Skip if the target cannot be imported, or if an option has no default.

    Args:
        reference: data to compare with, if the spec has a `reference`; by default, different noise.
    """
    try:
        target = case.entry.load()
    except SpecError as error:
        raise Skip(str(error)) from None
    if required := [option.name for option in declared(target).values() if option.required]:
        raise without_values(required)
    analyzer = target()
    usually = "a class that does not subclass Analyzer"
    require_instance(analyzer, Analyzer, "a zoo.interfaces.Analyzer", usually=usually)
    subject = Subject(
        task=specimen.task.name,
        landmarks=specimen.landmarks if landmarks is None else landmarks,
        preprocess=specimen.data.preprocess,
        classes=classes,
        reference=Reference(batches=reference or specimen.batches(seed=1)) if case.spec.reference else None,
    )
    batches = specimen.batches() if batches is None else batches
    return analyzer.analyze(specimen.make(0) if model is None else model, batches, subject=subject)


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with drawing_from(seed):
        return make().eval()
