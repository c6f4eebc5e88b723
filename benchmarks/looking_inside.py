"""Analyzers: what they leave behind, what heat maps and features find, and how dead units come about."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import resource
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from benchmarks.measuring import benchmark, share_of
from benchmarks.rows import Row
from zoo import Registry, ZooError
from zoo.analysis.analyzer_run import make_analyzer
from zoo.analysis.faithfulness import box_scores
from zoo.data.vocabulary import Vocabulary
from zoo.interfaces import Analyzer, Batch, Reference, Split, Subject
from zoo.models import weights
from zoo.models.building import build_model, model_arguments
from zoo.registry.specs import ArchitectureSpec

DIMS: dict[str, dict[str, int]] = {
    "classification": {"in_channels": 3, "image_size": 64, "num_classes": 10},
    "language-modeling": {"vocab_size": 8},
}
PREPROCESS: dict[str, dict[str, Any]] = {
    "classification": {"size": 64, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": [*"abcdefghij"]},
    "language-modeling": {"tokens": "char", "vocabulary": ["<unk>", *"abcdefg"], "specials": 1},
}
# Passages of each author, and characters of one
PASSAGES, LENGTH = 100, 200


@benchmark(minutes=5)
def side_effects(*, repetitions: int = 200) -> Iterator[Row]:
    """Changes, tensors and memory that analyzers leave behind, on every architecture that they fit.

    The hundreds of networks of timm are left out. Also on inputs that make the model raise. The model has
    mixed modes, a frozen parameter and a gradient that must stay. Then each analyzer is repeated many times.
    """
    registry, pairs, changed = Registry.discover(), 0, 0
    names = [entry.name for entry in registry.entries("architecture") if entry.name.split("/")[0] != "timm"]
    for name in names:
        spec = registry.architecture(name).spec
        model = _model(registry, name, spec.task)
        _mix_up(model)
        for other in registry.entries("analyzer"):
            analyzer = registry.analyzer(other.name)
            if analyzer.spec.fits(spec):
                options = {"batch_size": 64} if analyzer.spec.name == "score-cam" else {}
                try:
                    left = _differences(model, make_analyzer(analyzer, options), _subject(spec))
                except ZooError as error:  # it needs what this network lacks
                    print(f"{other.name} on {name}: {error}")
                    continue
                pairs, changed = pairs + 1, changed + bool(left)
                if left:
                    print(f"{other.name} on {name}: {', '.join(left)}")
    yield Row("pairs of analyzer and architecture", "changed", changed, "wrong", pairs)
    spec = registry.architecture("resnet20").spec
    model = _model(registry, "resnet20", spec.task, depth=8)
    for name in [entry.name for entry in registry.entries("analyzer")]:
        if spec.task in registry.analyzer(name).spec.tasks:
            analyzer, first = make_analyzer(registry.analyzer(name), {}), (0, 0)
            for number in range(20 + repetitions):
                if number == 20:  # caches are full
                    first = _alive(), _resident()
                analyzer.analyze(model, [_batch(spec.task)], subject=_subject(spec))
            yield Row(name, "tensors left", _alive() - first[0], "wrong", repetitions)
            yield Row(name, "memory left", (_resident() - first[1]) / 1e6, "MB", repetitions)


def _model(registry: Registry, name: str, task: str, **options: int) -> nn.Module:
    entry = registry.architecture(name)
    return build_model(entry, model_arguments(entry, registry.task(task), DIMS[task], options), seed=0)


def _subject(spec: ArchitectureSpec) -> Subject:
    """Return what analyzers are told about an architecture, and two items to compare with."""
    return Subject(
        task=spec.task,
        landmarks={**spec.landmarks},
        preprocess=PREPROCESS[spec.task],
        reference=Reference(batches=[_batch(spec.task)]),
    )


def _mix_up(model: nn.Module) -> None:
    """Set modes, freeze a parameter and add a gradient, all of which must stay."""
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    for number, module in enumerate(model.modules()):
        module.training = number % 3 != 0


def _differences(model: nn.Module, analyzer: Analyzer, subject: Subject) -> list[str]:
    """Return what an analysis changes in the model or the random state, whether or not it succeeds."""
    before = dict(_everything(model))
    analyzer.analyze(model, [_batch(subject.task)], subject=subject)
    with contextlib.suppress(RuntimeError, IndexError):
        analyzer.analyze(model, [_batch(subject.task, broken=True)], subject=subject)
        raise AssertionError("the model should have raised")
    after = dict(_everything(model))
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]


def _everything(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield everything that must stay, by name."""
    yield "random state", _digest(torch.get_rng_state())
    yield "gradient mode", torch.is_grad_enabled()
    for name, tensor in model.state_dict().items():
        yield name, _digest(tensor)
    for name, parameter in model.named_parameters():
        yield f"requires_grad of {name}", parameter.requires_grad
        yield f"grad of {name}", None if parameter.grad is None else _digest(parameter.grad)
    for name, module in model.named_modules():
        yield f"mode of {name}", module.training
        yield f"hooks of {name}", {k: len(held) for k, held in vars(module).items() if k.endswith("_hooks")}


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data).hexdigest()


def _batch(task: str, *, broken: bool = False) -> Batch:
    """Return two items; or two that no model can read, with five channels or unknown tokens."""
    draws = torch.Generator().manual_seed(0)
    if task == "classification":
        images = torch.rand(2, 5 if broken else 3, 64, 64, generator=draws)
        return Batch(images, torch.tensor([0, 1]), 0, 1, 0)
    tokens = torch.randint(1, 8, (9, 2), generator=draws)
    return Batch(tokens[:-1] + 100 * broken, tokens[1:], 0, 1, 0, fresh=True)


def _alive() -> int:
    """Return the number of tensors that Python knows of."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sum(isinstance(thing, Tensor) for thing in gc.get_objects())


def _resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


@benchmark(minutes=2)
def pointing(*names: str, analyzers: tuple[str, ...] = ("cam", "grad-cam")) -> Iterator[Row]:
    """Heat maps whose maximum lies on an object of the class, also with random weights and at the center.

    The weights must be of models trained on images/shapes, whose test images have boxes; maps are of the true
    class.
    """
    for name in names or ("shapes-resnet20",):
        model = zoo.load(name, device="cpu")
        with tempfile.TemporaryDirectory() as folder:
            module = zoo.create_model(model.card.architecture, seed=0, **model.card.arguments)
            weights.save(Path(folder, "random.safetensors"), module, model.card)
            untrained = zoo.load(Path(folder, "random.safetensors"), device="cpu")
        for analyzer in analyzers:
            case = f"`{analyzer}`" if len(names) < 2 else f"`{analyzer}` of `{name}`"
            ours, theirs = _box_scores(model, analyzer), _box_scores(untrained, analyzer)
            count = int(ours["boxed_maps"])
            for figure, found, key in (
                ("hits", ours, "pointing_game"),
                ("center of the image", ours, "pointing_center"),
                ("random weights", theirs, "pointing_game"),
            ):
                yield share_of(case, figure, round(count * found[key]), count)
            yield Row(case, "box IoU", ours["box_iou"], "", count)


def _box_scores(model: zoo.Model, analyzer: str) -> dict[str, float]:
    """Return the box scores over the test split."""
    findings = model.analyze(analyzer, split="test", classes=["true"], progress=False)
    assert findings.analysis.maps is not None
    boxes = [boxes for by_class in findings.inputs.boxes or () for boxes in by_class.values()]
    return box_scores(findings.analysis.maps[:, 0], boxes, size=model.card.arguments["image_size"])


@benchmark(minutes=2, needs="CIFAR-10")
def features(*, name: str = "cifar10-resnet20", train: int = 2_000, test: int = 2_000) -> Iterator[Row]:
    """Accuracy of the nearest image and the nearest class mean in features, beside the network's own."""
    model = zoo.load(name)
    (known, labels), (asked, truth) = _features(model, "train", train), _features(model, "test", test)
    split = zoo.open_dataset(model.card.dataset.name, **model.card.dataset.options).split("test")
    rows = model.predict([split[number][0] for number in range(len(truth))], progress=False)
    own = torch.tensor([model.classes.index(row["predictions"][0]["class"]) for row in rows])
    means = torch.stack([F.normalize(known)[labels == k].mean(0) for k in range(len(model.classes))])
    for case, classes in {
        "the network": own,
        "nearest image, cosine": labels[_cosines(asked, known).argmax(1)],
        "nearest image, distance": labels[torch.cdist(asked, known).argmin(1)],
        "nearest class mean, cosine": _cosines(asked, means).argmax(1),
    }.items():
        yield share_of(case, "accuracy", int((classes == truth).sum()), len(truth), "% accuracy")


def _features(model: zoo.Model, split: Split, count: int) -> tuple[Tensor, Tensor]:
    """Return the features of the first images of a split, (N, F), and their labels."""
    images = zoo.open_dataset(model.card.dataset.name, **model.card.dataset.options).split(split)
    chosen = [images[number] for number in range(min(count, len(images)))]
    found = torch.from_numpy(np.asarray(model.features([image for image, _ in chosen], progress=False)))
    return found, torch.tensor([label for _, label in chosen])


def _cosines(asked: Tensor, known: Tensor) -> Tensor:
    """Return the cosine of each pair of vectors, (N, K)."""
    return F.normalize(asked) @ F.normalize(known).T


@benchmark(minutes=1, needs="Nietzsche, tinyshakespeare")
def text_features() -> Iterator[Row]:
    """Passages whose nearest other one is by the same author, by the mean or the last hidden state."""
    model = zoo.load("nietzsche-rnn")
    passages, authors = list[str](), list[int]()
    for author, name in enumerate(("nietzsche", "tinyshakespeare")):
        data = zoo.open_dataset(name, lower=True)
        vocabulary, tokens = Vocabulary(data.preprocess), data.split("train")
        for start in range(0, len(tokens), len(tokens) // PASSAGES)[:PASSAGES]:
            passages.append(vocabulary.decode(tokens[start : start + LENGTH].tolist()))
            authors.append(author)
    rows = model.features(passages, pool=False, progress=False)
    states, truth = [torch.from_numpy(row["features"]) for row in rows], torch.tensor(authors)
    for case, vectors in {"mean": [s.mean(0) for s in states], "last": [s[-1] for s in states]}.items():
        stacked = torch.stack(vectors)
        nearest = _cosines(stacked, stacked).fill_diagonal_(-torch.inf).argmax(1)
        right = int((truth[nearest] == truth).sum())
        yield share_of(f"{case} hidden state", "same author", right, len(truth), "% accuracy")


@benchmark(minutes=4, needs="CIFAR-10")
def activations() -> Iterator[Row]:
    """Accuracy and dead units of `convnet-bn` with and without BatchNorm, at two learning rates."""
    for case, run, findings in batchnorm_trainings():
        accuracy = 100 * run.result.metrics["val"]["accuracy"]
        yield Row(case, "best validation accuracy", accuracy, "% accuracy")
        yield Row(case, "dead units in the worst layer", 100 * findings.scores["most_dead"], "%")


def batchnorm_trainings() -> Iterator[tuple[str, zoo.Run, Any]]:
    """Train one network with and without BatchNorm; yield each with what `activations` finds in it."""
    fields = {"epochs": 2, "schedule": "constant", "batch_size": 64, "augment": []}
    for lr in (0.1, 0.3):
        for label, norm in (("none", "none"), ("BatchNorm", "batchnorm")):
            with tempfile.TemporaryDirectory() as folder:
                where: dict[str, Any] = {"run": Path(folder, "run"), "device": "cpu", "progress": False}
                data = {"val_size": 45_000}
                run = zoo.train(
                    "convnet-bn", "cifar10", model={"norm": norm}, data=data, lr=lr, **where, **fields
                )
                found = run.model.analyze("activations", split="test", indices=range(500), progress=False)
                yield f"{label} | {lr}", run, found
