"""What analyzers leave behind in a model: changes, hooks or memory. It should be nothing.

    python benchmarks/side_effects.py [--repetitions 200]

Every analyzer runs on every architecture that it fits, also on inputs that make the model raise; the model
has mixed modes, a frozen parameter and a gradient that must stay. Then each analyzer is repeated many times.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import resource
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Registry
from zoo.analysis.analyzer_run import make_analyzer
from zoo.interfaces import Analyzer, Batch, Reference, Subject
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for side effects of analyzers.")
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    registry = Registry.discover()
    pairs = different = 0
    for model, analyzer, subject, names in everything_that_fits(registry):
        changes = differences(model, analyzer, subject)
        pairs += 1
        different += bool(changes)
        if changes:
            print(f"{names}: {', '.join(changes)}")
    print(f"{pairs} pairs of analyzer and architecture, each also with an exception: {different} changed")
    for name in [entry.name for entry in registry.entries("analyzer")]:
        if "classification" in registry.analyzer(name).spec.tasks:
            repeat(registry, name, options.repetitions)


def everything_that_fits(registry: Registry) -> Iterator[tuple[nn.Module, Analyzer, Subject, str]]:
    """Yield each architecture with each analyzer that fits it."""
    for name in [entry.name for entry in registry.entries("architecture")]:
        architecture = registry.architecture(name)
        spec = architecture.spec
        arguments = model_arguments(architecture, registry.task(spec.task), DIMS[spec.task], {})
        model = build_model(architecture, arguments, seed=0)
        mixed_up(model)
        subject = subject_of(spec)
        for other in [entry.name for entry in registry.entries("analyzer")]:
            entry = registry.analyzer(other)
            if entry.spec.fits(spec):
                options = {"batch_size": 64} if entry.spec.name == "score-cam" else {}
                yield model, make_analyzer(entry, options), subject, f"{other} on {name}"


def subject_of(spec: ArchitectureSpec) -> Subject:
    """Return what analyzers are told about an architecture, and two items to compare with."""
    return Subject(
        task=spec.task,
        landmarks={**spec.landmarks},
        preprocess=PREPROCESS[spec.task],
        reference=Reference(batches=[batch(spec.task)]),
    )


def mixed_up(model: nn.Module) -> None:
    """Set modes, freeze a parameter and add a gradient, all of which must stay."""
    model.train()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    for number, module in enumerate(model.modules()):
        module.training = number % 3 != 0


def differences(model: nn.Module, analyzer: Analyzer, subject: Subject) -> list[str]:
    """Return what an analysis changes in the model or the random state, whether or not it succeeds."""
    before = dict(everything(model))
    analyzer.analyze(model, [batch(subject.task)], subject=subject)
    with contextlib.suppress(RuntimeError, IndexError):
        analyzer.analyze(model, [batch(subject.task, broken=True)], subject=subject)
        raise AssertionError("the model should have raised")
    after = dict(everything(model))
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]


def everything(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield everything that must stay, by name."""
    yield "random state", digest(torch.get_rng_state())
    yield "gradient mode", torch.is_grad_enabled()
    for name, tensor in model.state_dict().items():
        yield name, digest(tensor)
    for name, parameter in model.named_parameters():
        yield f"requires_grad of {name}", parameter.requires_grad
        yield f"grad of {name}", None if parameter.grad is None else digest(parameter.grad)
    for name, module in model.named_modules():
        yield f"mode of {name}", module.training
        hooks = {key: len(held) for key, held in vars(module).items() if key.endswith("_hooks")}
        yield f"hooks of {name}", hooks


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data).hexdigest()


def batch(task: str, *, broken: bool = False) -> Batch:
    """Return two items; or two that no model can read, with five channels or unknown tokens."""
    draws = torch.Generator().manual_seed(0)
    if task == "classification":
        return Batch(
            torch.rand(2, 5 if broken else 3, 64, 64, generator=draws), torch.tensor([0, 1]), 0, 1, 0
        )
    tokens = torch.randint(1, 8, (9, 2), generator=draws)
    return Batch(tokens[:-1] + 100 * broken, tokens[1:], 0, 1, 0, fresh=True)


def repeat(registry: Registry, name: str, times: int) -> None:
    """Print how many tensors and how much memory many repetitions leave."""
    entry = registry.analyzer(name)
    architecture = registry.architecture("resnet20")
    task = architecture.spec.task
    arguments = model_arguments(architecture, registry.task(task), DIMS[task], {"depth": 8})
    model = build_model(architecture, arguments, seed=0)
    subject = subject_of(architecture.spec)
    analyzer = make_analyzer(entry, {})
    for _ in range(20):
        analyzer.analyze(model, [batch(task)], subject=subject)
    first = alive(), resident()
    for _ in range(times):
        analyzer.analyze(model, [batch(task)], subject=subject)
    tensors, megabytes = alive() - first[0], (resident() - first[1]) / 1e6
    print(f"{name}, {times} times: {tensors:+} tensors alive, {megabytes:+.1f} MB of memory", flush=True)


def alive() -> int:
    """Return the number of tensors that Python knows of."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sum(isinstance(thing, Tensor) for thing in gc.get_objects())


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
