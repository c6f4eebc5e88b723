"""Build and run the architecture under check, the same way every time."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo._version import __version__
from zoo.config.declarations import declared
from zoo.errors import SpecError, ZooError
from zoo.files.cards import Card, DatasetCard
from zoo.interfaces import Batch, CarriesState, Dataset, State, Step
from zoo.models.building import build_model, model_arguments
from zoo.registry.registry import Registry
from zoo.registry.specs import ArchitectureSpec, TaskSpec
from zoo.testing._case import Case, Skip, message
from zoo.testing._process import settings_kept


def arguments(case: Case, dataset: Dataset | None = None) -> dict[str, Any]:
    """Return the arguments of the preset for a dataset, by default the tiny dataset.

    Raises Skip if the target cannot be imported.
    """
    try:
        case.entry.load()
    except SpecError as error:
        raise Skip(str(error)) from None
    task = case.registry.task(case.spec.task)
    return model_arguments(case.entry, task, (dataset or case.tiny()).dims, {})


def made_up_card(
    task: str,
    *,
    arguments: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    architecture: str = "kit/model",
    fingerprint: str = "",
    training: Mapping[str, Any] | None = None,
) -> Card:
    """Return the card of a model that was trained briefly on a tiny dataset."""
    return Card(
        architecture=architecture,
        arguments=dict(arguments),
        task=task,
        dataset=DatasetCard(name="tiny", options={}, fingerprint=fingerprint),
        preprocess=dict(preprocess),
        training=dict(training or {}),
        seed=0,
        progress={"epochs": 0, "steps": 3},
        metrics={},
        versions={"zoo": __version__},
    )


def longest(case: Case, length: int) -> int:
    """Return a number of tokens, limited to the model's context length."""
    return min(length, case.spec.context(arguments(case)) or length)


def build(case: Case, *, seed: int = 0, dataset: Dataset | None = None) -> nn.Module:
    """Build the model for the dims of a dataset, in training mode."""
    return build_model(case.entry, arguments(case, dataset), seed=seed).train()


def train_batch(case: Case, *, size: int = 4, dataset: Dataset | None = None) -> Batch:
    """Return the first training batch: `size` images, or `size` streams of 12 tokens."""
    task, config = case.task, case.registry.default_config(case.spec.task)
    short = {"bptt": longest(case, 12)} if "bptt" in config.fields else {}
    config = config.replace({"batch_size": size, **short})
    return next(task.train_batches(dataset or case.tiny(), config, seed=0, epoch=0))


def random_inputs(case: Case, size: int, *, seed: int = 0) -> Tensor:
    """Return random images or tokens like those of the tiny dataset, or else a random choice of its items.

    There are `size` items, or `size` streams of 12 tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    dataset, sequence = case.tiny(), isinstance(case.task, CarriesState)
    if not sequence and "image_size" not in dataset.dims:  # the form and range of its inputs are unknown
        split = dataset.split("test")
        places = torch.randperm(len(split), generator=generator).tolist()
        items = [split[places[number % len(places)]] for number in range(size)]
        return torch.cat([batch.inputs for batch in case.task.batches_of(items, dataset.preprocess)])
    usual = next(case.task.eval_batches(dataset, "test")).inputs
    shape = (longest(case, 12), size, *usual.shape[2:]) if sequence else (size, *usual.shape[1:])
    if usual.is_floating_point():
        return torch.randn(shape, generator=generator)
    return torch.randint(int(usual.max()) + 1, shape, generator=generator)


def outputs_of(case: Case) -> str:
    """Return what the outputs of the task's models are called."""
    return "logits" if case.task.spec.labels else "outputs"


def require_unchanged(case: Case, inputs: Tensor, mode: str) -> None:
    """Raise AssertionError if a model has changed the three random inputs that it read."""
    assert torch.equal(inputs, random_inputs(case, 3)), message(
        expected=f"unchanged inputs after a forward pass in {mode} mode",
        got="inputs with different values",
        usually="nn.ReLU(inplace=True) as the first layer"
        if bool((inputs >= 0).all())
        else "an in-place operation on them, such as `x.sub_(mean)` or `x += y`",
    )


@contextlib.contextmanager
def drawing_from(seed: int) -> Generator[None]:
    """Seed the CPU's generator; restore it and torch's settings on exit."""
    with torch.random.fork_rng(devices=[]), settings_kept():
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def all_drawing_from(seed: int) -> Generator[None]:
    """Seed the generators of torch, NumPy and `random`, and restore them on exit."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with drawing_from(seed):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def forward(
    case: Case, model: nn.Module, inputs: Tensor, state: State = None, *, seed: int = 0
) -> tuple[Tensor, State]:
    """Return the logits and state, without gradients; random numbers come from `seed`."""
    with torch.no_grad(), drawing_from(seed):
        if not isinstance(case.task, CarriesState):
            return model(inputs), None
        outputs, state = model(inputs, state)
        return outputs, state


def larger_images(case: Case) -> str:
    """Return a hint if the model requires larger images than the tiny dataset's; otherwise empty."""
    usual = declared(case.task.spec.load_tiny()).get("size")
    if usual is None:
        return ""
    least = max(usual.default, case.spec.smallest_image)
    for size in range(least - least % 16 + 16, 257, 16):
        dataset = case.tiny(size=size)
        images = next(iter(case.task.eval_batches(dataset, "test"))).inputs[:1]
        with contextlib.suppress(Exception):
            forward(case, build(case, dataset=dataset).eval(), images)
            return (
                f"images that are too small: the model needs {size}×{size}; set the spec's `smallest_image`"
            )
    return ""


def step(case: Case, model: nn.Module, batch: Batch, state: State = None, *, seed: int = 0) -> Step:
    """Return the loss and state of one batch, with gradients; random numbers come from `seed`."""
    with drawing_from(seed):
        return case.task.step(model, batch, state)


def model_for(registry: Registry, task: TaskSpec, dims: Mapping[str, int]) -> nn.Module:
    """Return a model of one of a task's own architectures, or of the task whose architectures it shares.

    Raises Skip if there is no such model for this data.
    """
    places = {task.name: 0, task.architectures_of: 1}
    fitting: list[tuple[int, Any]] = [
        (places[entry.spec.task], entry)
        for entry in registry.entries("architecture")
        if isinstance(entry.spec, ArchitectureSpec) and entry.spec.task in places
        if entry.plugin.ours or entry.spec.task == task.name
    ]
    if not fitting:
        raise Skip(f"no architecture is available for {task.name}")
    _, entry = min(fitting, key=lambda pair: pair[0])
    try:
        return build_model(entry, model_arguments(entry, task, dims, {}), seed=0)
    except ZooError as error:
        raise Skip(str(error)) from None


def mean_loss(result: Step) -> float:
    """Return the loss as it is reported, without the model's penalty."""
    return float(result.sums["loss"]) / result.count


def training_steps(
    case: Case, model: nn.Module, batch: Batch, optimizer_type: Any, *, lr: float, steps: int
) -> Iterator[Step]:
    """Yield each of some steps on one batch once it has gradients, before the optimizer uses them."""
    optimizer = optimizer_type([p for p in model.parameters() if p.requires_grad], lr=lr)
    for number in range(steps):
        optimizer.zero_grad()
        made = step(case, model, batch, seed=number)
        made.loss.backward()
        yield made
        optimizer.step()


def train_briefly(case: Case, model: nn.Module, *, steps: int) -> nn.Module:
    """Take a few small steps, so that weights and statistics differ from those of a fresh model."""
    batch = dataclasses.replace(train_batch(case), fresh=True)
    for _ in training_steps(case, model, batch, torch.optim.SGD, lr=1e-3, steps=steps):
        pass
    return model
