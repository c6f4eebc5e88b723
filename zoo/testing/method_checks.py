"""Checks of optimizers (on a small network), schedules, augmentations, metrics and tokenizers."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, SupportsFloat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.config.train_config import TrainConfig
from zoo.data.draws import Draws
from zoo.errors import Diverged, SpecError, ZooError
from zoo.evaluation.measure import metrics_of, numbers
from zoo.evaluation.metrics import asked
from zoo.interfaces import Batch, CarriesState, Dataset, LossFunction, Metric, Task, make_task
from zoo.testing._case import Case, Inapplicable, Skip, failing, message, require_equal, require_instance
from zoo.testing._models import all_drawing_from, model_for
from zoo.testing._process import differences, random_states
from zoo.training.optimizers import SwitchesWeights
from zoo.training.readings import Readings
from zoo.training.schedules import make_schedule
from zoo.training.state import TrainState
from zoo.training.step import update_weights

_STEPS = 30
_LR = 1e-3
_EPOCHS = 4
_POSITIONS = [_EPOCHS * step / 100 for step in range(101)]
_HISTORY = [{split: {"loss": 2.0, "accuracy": 0.5} for split in ("train", "val")} for _ in range(_EPOCHS)]


def makes_an_optimizer(case: Case) -> None:
    """The target returns a torch optimizer with every parameter, in groups that keep their `scale`."""
    state = _begun(case)
    groups = state.optimizer.param_groups
    held = [parameter for group in groups for parameter in group["params"]]
    missing = [
        name for name, weight in state.model.named_parameters() if not any(weight is one for one in held)
    ]
    assert not missing, message(
        expected="an optimizer with all parameters",
        got=f"an optimizer without {', '.join(missing)}",
        usually="parameters that the target filters out, for example by their number of dimensions",
    )
    assert all(group.get("scale") == 1.0 for group in groups), message(
        expected='parameter groups that keep the key "scale" of the given groups',
        got="groups without this key",
        usually="new groups that contain only the parameters; use `group | {'params': ...}`",
    )


def follows_its_rate(case: Case) -> None:
    """At a learning rate of 0, a step changes nothing: the schedule sets the rate before each step.

    For an optimizer with `train` and `eval`, this is the first step: later, an average may move by itself.
    """
    state = _begun(case)
    if not isinstance(state.optimizer, SwitchesWeights):
        _step(state)
    before = copy.deepcopy(state.model.state_dict())
    _step(state, lr=0.0)
    require_equal(
        before,
        state.model.state_dict(),
        expected="the same weights after a step at a learning rate of 0",
        usually='the learning rate of the constructor, in place of `group["lr"]`; weight decay that is '
        "not multiplied by the learning rate",
    )


def trains(case: Case) -> None:
    """The optimizer lowers the loss of a small network, with the training options in the spec."""
    state = _begun(case)
    before = _loss(state.model).item()
    with failing(
        Diverged,
        expected=f"{_STEPS} steps at a learning rate of {state.config.lr:g}",
        usually="a learning rate that is too high for the optimizer: set one in the spec with "
        'training={"lr": ...}',
    ):
        for _ in range(_STEPS):
            _step(state)
    state.take_average()
    after = _loss(state.best).item()
    assert after < before, message(
        expected=f"a lower loss after {_STEPS} steps at a learning rate of {state.config.lr:g}",
        got=f"{before:.4g} before and {after:.4g} after",
        usually="a step in the wrong direction, or a learning rate that does not suit the optimizer: set "
        'one in the spec with training={"lr": ...}',
    )


def resumes_exactly(case: Case) -> None:
    """A checkpoint contains the whole state: training that continues from it has bit-identical results.

    All tensors of the state exist after the first step. What the checkpoint does not contain, the attributes
    and groups, does not change after it. If the optimizer has `train` and `eval`, calling them does not
    change the state.
    """
    whole, saved, resumed = (_begun(case) for _ in range(3))
    for state in (whole, saved):
        _step(state, _LR)
        first = _outside_the_state(state)
        for _ in range(11):
            _step(state, _LR)
        changed = [name for name, value in _outside_the_state(state).items() if value != first.get(name)]
        assert not changed, message(
            expected="attributes and groups of the optimizer that do not change after the first step",
            got=f"a change in {', '.join(changed)}",
            usually="a counter or an average that no checkpoint contains; keep it in "
            "`self.state[parameter]`, as a tensor",
        )
    with failing(
        SpecError,
        expected="all of the optimizer's state to exist after the first step",
        usually="a tensor that is created when it is first used, or a list of past steps; create every "
        "tensor in the first step, in its final shape",
    ):
        saved.take_average()
        captured = saved.capture()
    resumed.restore(*copy.deepcopy(captured), device="cpu")
    for state in (whole, resumed):
        for _ in range(3):
            _step(state, _LR)
    require_equal(
        whole.model.state_dict(),
        resumed.model.state_dict(),
        expected="the same weights with and without an interruption",
        usually="state in a global variable or another object; keep it in `self.state[parameter]`, as "
        "tensors; or an `eval` that changes this state",
    )


def _outside_the_state(state: TrainState) -> dict[str, Any]:
    """Return the numbers, strings and tensors in the optimizer's attributes and groups, by name."""
    known = {id(parameter) for parameter in state.model.parameters()}

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            return "a parameter" if id(value) in known else value.tolist()
        if isinstance(value, Mapping):
            return [(plain(key), plain(one)) for key, one in value.items()]
        if isinstance(value, list | tuple):
            return [*map(plain, value)]
        return value if isinstance(value, int | float | str | None) else type(value).__name__

    attributes = {name: one for name, one in vars(state.optimizer).items() if name != "state"}
    groups = attributes.pop("param_groups")
    found = {f"`self.{name}`": plain(value) for name, value in attributes.items()}
    return found | {
        f'group["{name}"]': [plain(group.get(name)) for group in groups]
        for name in dict.fromkeys(name for group in groups for name in group)
        if name != "lr"  # which zoo sets
    }


def returns_rates(case: Case) -> None:
    """The schedule returns a number of at least 0 everywhere in training, and more than 0 somewhere."""
    rates = _rates(case)
    assert max(rates) > 0, message(
        expected="a learning rate greater than 0 somewhere",
        got="0 everywhere",
        usually="an integer division, or a warmup that never ends",
    )


def remembers_nothing(case: Case) -> None:
    """The learning rate depends only on the position: a resumed run starts in the middle."""
    forward, backward = _rates(case), _rates(case, backward=True)
    differing = [p for p, a, b in zip(_POSITIONS, forward, backward, strict=True) if a != b]
    assert not differing, message(
        expected="the same learning rate at a position, regardless of earlier calls",
        got=f"a different one in epoch {differing[0]:g}" if differing else "",
        usually="a counter or the previous rate, which the function keeps, or random numbers",
    )


def returns_images(case: Case) -> None:
    """The augmentation returns new uint8 images of the same shape, and does not change its input."""
    images = _images()
    augmented: Any = _augment(case, images)
    require_instance(augmented, Tensor, "a tensor of images", usually="a missing `return`")
    expected, got = (f"{each.dtype} {tuple(each.shape)}" for each in (images, augmented))
    assert got == expected, message(
        expected=f"images of {expected}",
        got=got,
        usually="numbers from 0 to 1 in place of 0 to 255"
        if augmented.dtype != images.dtype
        else "a crop that is not resized"
        if len(augmented) == len(images)
        else "images that are left out or repeated; return every image once, changed or not",
    )
    assert torch.equal(images, _images()), message(
        expected="unchanged input images",
        got="changed images",
        usually="an in-place operation",
    )


def draws_from_its_draws(case: Case) -> None:
    """Equal draws give equal images, other draws give others, and the global generators do not change.

    These are the generators of torch, NumPy and Python.
    """
    with all_drawing_from(20_480):  # a seed that no augmentation may have set before
        before = random_states()
        first, again, other = (_augment(case, _images(), seed=seed) for seed in (0, 0, 1))
        changed = differences(before, random_states())
    assert not changed, message(
        expected="no change to the global generators",
        got=f"a change in {' and '.join(changed)}",
        usually="random numbers from it; use `draws`, or seed the generator with `draws.seeds()` inside "
        "`torch.random.fork_rng`",
    )
    assert torch.equal(first, again), message(
        expected="the same images from the same draws",
        got="different images",
        usually="a generator without a seed, such as np.random.default_rng(); use `draws`",
    )
    assert not torch.equal(first, other), message(
        expected="different images from different draws",
        got="the same images",
        usually="a seed that is fixed, or a probability of 0 by default",
    )


def augments_each_image_alone(case: Case) -> None:
    """The result for an image does not depend on which other images of its batch a process holds."""
    images, places = _images(), torch.tensor([1, 4, 5])
    whole, part = _augment(case, images)[places], _augment(case, images[places], places=places)
    assert torch.equal(whole, part), message(
        expected="the same result for an image in the whole batch and in a part of it",
        got="a different result",
        usually="one random number for the whole batch, or numbers that are generated only for the given "
        "images; use `draws`, for example `draws.uniform()`",
    )


def measures(case: Case) -> None:
    """A metric returns a finite number for the items of a split, under a name of its own.

    A loss returns a finite number with a gradient for each item.
    """
    for task, made, outputs, batch in _scored(case):
        assert isinstance(made, Metric | LossFunction), message(
            expected="an object with the methods `items` and `value`, or `losses`",
            got=f"a {type(made).__name__}",
            usually="a misspelled method, or a function that returns something else than a metric",
        )
        count = [*batch.targets.shape[: 2 if isinstance(task, CarriesState) else 1]]
        if isinstance(made, Metric):
            _require_own_name(case, task)
            items: Any = _items(made, outputs, batch)
            shapes = (
                map(_shape, items.values()) if isinstance(items, Mapping) else [f"a {type(items).__name__}"]
            )
            wrong = [shape for shape in shapes if shape[: len(count)] != count]
            assert not wrong, message(
                expected=f"items() to return a mapping of tensors with a number for each item, {count}",
                got=f"{wrong[0]}",
                usually="a mean over the batch, or a missing `return`",
            )
            value: Any = _value(task, made, outputs, batch)
            finite = isinstance(value, SupportsFloat) and math.isfinite(value)
            assert finite, message(
                expected=f"value() to return a finite number for outputs of {task.name}",
                got=f"{value!r}",
                usually="a missing `return`" if value is None else "a division by a sum that is 0",
            )
        if isinstance(made, LossFunction):
            _require_losses(_losses(made, outputs.clone().requires_grad_(), batch), count)


def measures_each_item_alone(case: Case) -> None:
    """What a metric or a loss returns for an item does not depend on the other items of its batch."""
    for task, made, outputs, batch in _scored(case):
        axis = 1 if isinstance(task, CarriesState) else 0
        first = replace(
            batch, inputs=batch.inputs.narrow(axis, 0, 1), targets=batch.targets.narrow(axis, 0, 1)
        )
        whole, alone = (
            _of_items(made, *of) for of in ((outputs, batch), (outputs.narrow(axis, 0, 1), first))
        )
        parts = {name: value.narrow(axis, 0, 1) for name, value in whole.items()}
        wrong = [n for n in parts if not torch.allclose(parts[n].double(), alone[n].double(), 1e-4, 1e-6)]
        assert not wrong, message(
            expected="the same contribution of an item in any batch",
            got=f"a different one to {wrong[0]!r}" if wrong else "",
            usually="a mean over the batch, or a threshold that is computed from it",
        )


def right_outputs_score_better(case: Case) -> None:
    """Outputs that predict each target score better than outputs that do not, and have a lower loss.

    Right outputs are known if a model predicts labels, or numbers in the shape of the targets.
    """
    known = [(*each, _right_and_wrong(each[0], *each[2:])) for each in _scored(case)]
    if not any(pair for *_, pair in known):
        raise Inapplicable("which outputs are right is unknown for its tasks")
    for task, made, _, batch, pair in known:
        if pair is None:
            continue
        if isinstance(made, Metric):
            good, bad = (_value(task, made, each, batch) for each in pair)
            assert good > bad if case.spec.higher_is_better else good < bad, message(
                expected=f"a better value for right than for wrong outputs of {task.name}",
                got=f"{good:.4g} for right and {bad:.4g} for wrong ones",
                usually="a wrong `higher_is_better`, or arguments in the wrong order",
            )
        if isinstance(made, LossFunction):
            good, bad = (float(_losses(made, each, batch).mean()) for each in pair)
            assert good < bad, message(
                expected=f"a lower loss for right than for wrong outputs of {task.name}",
                got=f"{good:.4g} for right and {bad:.4g} for wrong ones",
                usually="a wrong sign, or arguments in the wrong order",
            )


def restores_its_text(case: Case) -> None:
    """Joined tokens equal the text, also for a text that is not in the vocabulary."""
    data = [entry for entry in case.shared["entries"] if entry.kind == "dataset"]
    known: list[Mapping[str, Any]] = [{"vocabulary": ["<unk>", *"abc"], "specials": 1, "merges": []}]
    for entry in data:
        with contextlib.suppress(ZooError):
            known.append(entry.make(dict(entry.spec.config), Dataset, flag="--data").preprocess)
    for preprocess in known:
        for text in ("", "a", "The cat sat,  on\n\tthe mat.", "naïve 猫 🙂 \u00a0x"):
            tokens = case.entry.load()(text, preprocess)
            assert "".join(tokens) == text, message(
                expected=f"tokens that equal {text!r} when joined",
                got=repr(tokens),
                usually="spaces or unknown characters that are dropped, or marks such as ## and Ġ",
            )


def _scored(case: Case) -> Iterator[tuple[Task, Any, Tensor, Batch]]:
    """Yield each task that a metric is for, with the metric, random outputs, and a batch of tiny data.

    Raises Skip if the form of the outputs is unknown for all of them.
    """
    unknown = ""
    for name in case.spec.tasks or [*case.registry.tasks]:
        task = make_task(case.registry, name)
        data = task.spec.load_tiny()()
        batch = next(task.eval_batches(data, "val"))
        try:
            shape = _output_shape(case, task, data, batch)
        except Skip as skip:
            unknown = str(skip)
            continue
        outputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        yield task, case.entry.make({}, object, flag="--metric-option"), outputs, batch
        unknown = ""
    if unknown and len(case.spec.tasks) == 1:
        raise Skip(unknown)


def _output_shape(case: Case, task: Task, data: Dataset, batch: Batch) -> tuple[int, ...]:
    """Return the shape of a model's outputs. Raises Skip if there is no model whose outputs would show it."""
    if task.spec.labels is None:
        with torch.no_grad():
            return tuple(model_for(case.registry, task.spec, data.dims).eval()(batch.inputs).shape)
    if batch.targets.is_floating_point():
        return tuple(batch.targets.shape)
    first, *others = batch.targets.shape
    size = data.dims[task.spec.labels[0]]
    return (first, *others, size) if isinstance(task, CarriesState) else (first, size, *others)


def _right_and_wrong(task: Task, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor] | None:
    """Return outputs that predict each target and others that do not; None if they are unknown."""
    targets = batch.targets
    if task.spec.labels is None:
        if targets.shape != outputs.shape:
            return None
        return targets.float(), targets + 1 + outputs
    if targets.is_floating_point():
        return 20 * (2 * targets - 1), 20 * (1 - 2 * targets)
    axis = -1 if isinstance(task, CarriesState) else 1
    right = 20 * F.one_hot(targets.clamp(min=0), outputs.shape[axis]).movedim(-1, axis).float()
    return right, right.roll(1, axis)


def _require_own_name(case: Case, task: Task) -> None:
    """Raise AssertionError if the task has a metric with the same name."""
    data, known = task.spec.load_tiny()(), {*task.spec.units}
    with contextlib.suppress(Skip):  # no model is available
        model = model_for(case.registry, task.spec, data.dims).eval()
        step = task.step(model, next(task.eval_batches(data, "val")))
        known |= metrics_of(task, step.sums, step.count, data.preprocess).keys()
    assert case.spec.name not in known, message(
        expected=f"a name that {task.name} does not use for its own metrics",
        got=f"{case.spec.name!r}",
        usually="a general name; add a prefix that describes the plugin",
    )


def _require_losses(losses: Tensor, count: list[int]) -> None:
    """Raise AssertionError unless losses of shape `count` are finite and have a gradient."""
    assert _shape(losses) == count, message(
        expected=f"losses() to return a loss for each item, {count}",
        got=f"{_shape(losses)}",
        usually='the mean over the batch, or a missing `return`; use reduction="none"',
    )
    assert losses.isfinite().all(), message(
        expected="a finite loss for each item",
        got=f"{losses[~losses.isfinite()][0]:g}",
        usually="a logarithm of 0, or a division by 0",
    )
    assert losses.requires_grad, message(
        expected="losses with a gradient",
        got="losses without a gradient",
        usually="detach(), item() or argmax() in losses()",
    )


def _shape(value: object) -> list[int] | str:
    """Return the shape of a tensor, or the type of another object."""
    return [*value.shape] if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _items(metric: Metric, outputs: Tensor, batch: Batch) -> Mapping[str, Tensor]:
    return metric.items(outputs, batch.targets, **asked(metric.items, batch))


def _losses(function: LossFunction, outputs: Tensor, batch: Batch) -> Tensor:
    return function.losses(outputs, batch.targets, **asked(function.losses, batch))


def _of_items(made: object, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Return what a metric, a loss, or an object that is both returns for the items of a batch, by name."""
    found = {**_items(made, outputs, batch)} if isinstance(made, Metric) else {}
    return found | ({"the loss": _losses(made, outputs, batch)} if isinstance(made, LossFunction) else {})


def _value(task: Task, metric: Metric, outputs: Tensor, batch: Batch) -> float:
    axes = [0, 1] if isinstance(task, CarriesState) else [0]
    sums = {name: value.double().sum(axes) for name, value in _items(metric, outputs, batch).items()}
    return metric.value(numbers(sums), batch.count, **asked(metric.value, batch))


def _images() -> Tensor:
    """Return images with smooth colors, (8, 3, 16, 16), uint8."""
    along = torch.linspace(20, 230, 16)
    image = torch.stack([along[:, None].expand(16, 16), along.expand(16, 16), along.flip(0).expand(16, 16)])
    return torch.stack([(image + 3 * number) for number in range(8)]).byte()


def _augment(case: Case, images: Tensor, *, seed: int = 0, places: Tensor | None = None) -> Tensor:
    draws = Draws(torch.Generator().manual_seed(seed), 8, places, torch.arange(8) % 2 == seed)
    return case.entry.load()(images, draws)


def _config(case: Case) -> TrainConfig:
    """Return a configuration with the entry, and with the training options that suit it."""
    named = case.registry.with_methods({case.entry.kind: case.entry.name})
    config = TrainConfig(epochs=_EPOCHS, methods=case.registry.methods)
    return config.replace({**getattr(case.spec, "training", {}), **named})


def _begun(case: Case) -> TrainState:
    """Return a small network and the optimizer before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hidden = (nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh())
        model = nn.Sequential(*hidden, nn.Linear(8, 2))
    with failing(
        ZooError,
        expected="a torch.optim.Optimizer for groups of parameters",
        usually="a missing `return`, or a class that does not inherit from torch.optim.Optimizer",
    ):
        return TrainState.begin(model, _config(case), precision="fp32", device="cpu")


def _step(state: TrainState, lr: float | None = None) -> float:
    """Take a step towards outputs of a sine; return the loss before it."""
    loss = _loss(state.model)
    loss.backward()  # type: ignore[no-untyped-call]
    update_weights(state, state.config, state.config.lr if lr is None else lr, Readings())
    return loss.item()


def _loss(model: nn.Module) -> Tensor:
    """Return the loss of outputs against a sine."""
    inputs = torch.linspace(-1, 1, 64).view(16, 4)
    return F.mse_loss(model(inputs), torch.sin(3 * inputs[:, :2]))


def _rates(case: Case, *, backward: bool = False) -> list[float]:
    """Return the rates at all positions, in order, computed from the last to the first if `backward`."""
    schedule = make_schedule(_config(case).replace({"lr": 1.0}))
    asked = _POSITIONS[::-1] if backward else _POSITIONS
    with failing(
        SpecError,
        expected="numbers of at least 0",
        usually="a string, or a missing `return`; a tensor; or a formula that leaves its range at the "
        "end of training",
    ):
        rates = [schedule(position, _HISTORY[: int(position)]) for position in asked]
    return rates[::-1] if backward else rates
