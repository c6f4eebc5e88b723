"""Checks of optimizers (on a small network), schedules, augmentations, metrics and tokenizers."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, SupportsFloat

import torch
from torch import Tensor

from zoo.errors import Diverged, OptionError, SpecError, ZooError
from zoo.evaluation.measure import metrics_of
from zoo.interfaces import Batch, CarriesState, Dataset, LossFunction, Metric, Task
from zoo.testing._case import Case, Inapplicable, Skip, failing, message, require_equal, require_instance
from zoo.testing._methods import (
    POSITIONS,
    augmented,
    begun,
    history_of,
    images_of,
    items_of,
    loss_of,
    losses_of,
    made_of,
    rates_of,
    right_and_wrong,
    schedule_of,
    scored,
    take_step,
    value_of,
)
from zoo.testing._models import all_drawing_from, model_for
from zoo.testing._process import differences, random_states
from zoo.training.optimizers import SwitchesWeights
from zoo.training.state import TrainState

_STEPS = 30
_LR = 1e-3


def makes_an_optimizer(case: Case) -> None:
    """The target returns a torch optimizer with every parameter, in groups that keep their `scale`.

    It takes a step from the gradients of one loss.
    """
    state = begun(case)
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
    take_step(state)  # which some optimizers cannot take from one gradient


def follows_its_rate(case: Case) -> None:
    """At a learning rate of 0, a step changes nothing: the schedule sets the rate before each step.

    For an optimizer with `train` and `eval`, this is the first step: later, an average may move by itself.
    """
    state = begun(case)
    if not isinstance(state.optimizer, SwitchesWeights):
        take_step(state)
    before = copy.deepcopy(state.model.state_dict())
    take_step(state, lr=0.0)
    require_equal(
        before,
        state.model.state_dict(),
        expected="the same weights after a step at a learning rate of 0",
        usually='the learning rate of the constructor, in place of `group["lr"]`; weight decay that is '
        "not multiplied by the learning rate",
    )


def trains(case: Case) -> None:
    """The optimizer lowers the loss of a small network, with the training options in the spec."""
    state = begun(case)
    before = loss_of(state.model).item()
    with failing(
        Diverged,
        expected=f"{_STEPS} steps at a learning rate of {state.config.lr:g}",
        usually="a learning rate that is too high for the optimizer: set one in the spec with "
        'training={"lr": ...}',
    ):
        for _ in range(_STEPS):
            take_step(state)
    state.take_average()
    after = loss_of(state.best).item()
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
    whole, saved, resumed = (begun(case) for _ in range(3))
    for state in (whole, saved):
        take_step(state, _LR)
        first = _outside_the_state(state)
        for _ in range(11):
            take_step(state, _LR)
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
            take_step(state, _LR)
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
    """The schedule returns a number from 0 to 1 everywhere in training, and more than 0 somewhere.

    One that reads the history of epochs returns a rate, or raises an OptionError, if only one split has
    metrics.
    """
    rates = _first_rates(case)
    past = history_of(case)[:6]
    for split in ("train", "val"):
        with (
            contextlib.suppress(OptionError),
            failing(
                KeyError,
                expected=f"a rate, or an OptionError, after epochs with the metrics of {split} only",
                usually="`row[name]`, although data may have only one split; use `row.get(name)`",
            ),
        ):
            schedule_of(case)(len(past), [{split: row[split]} for row in past])
    assert max(rates) <= 1, message(
        expected="a fraction of the learning rate, at most 1",
        got=f"{max(rates):.4g} in epoch {POSITIONS[rates.index(max(rates))]:g}",
        usually="a learning rate in place of a fraction, or a warmup that overshoots",
    )
    assert max(rates) > 0, message(
        expected="a learning rate greater than 0 somewhere",
        got="0 everywhere",
        usually="an integer division, or a warmup that never ends",
    )


def remembers_nothing(case: Case) -> None:
    """The learning rate depends only on the position: a resumed run starts in the middle."""
    passes = _first_rates(case), rates_of(case), rates_of(case, backward=True)
    differing = [p for p, *rates in zip(POSITIONS, *passes, strict=True) if len({*rates}) > 1]
    assert not differing, message(
        expected="the same learning rate at a position, regardless of earlier calls",
        got=f"a different one in epoch {differing[0]:g}" if differing else "",
        usually="a counter or the previous rate, which the function keeps, or random numbers",
    )


def _first_rates(case: Case) -> list[float]:
    """Return the rates of the first calls, before the schedule can have kept anything."""
    return case.kept("rates", lambda: rates_of(case))


def returns_images(case: Case) -> None:
    """The augmentation returns new uint8 images of the same shape, and does not change its input."""
    images = images_of()
    found: Any = augmented(case, images)
    require_instance(found, Tensor, "a tensor of images", usually="a missing `return`")
    expected, got = (f"{each.dtype} {tuple(each.shape)}" for each in (images, found))
    assert got == expected, message(
        expected=f"images of {expected}",
        got=got,
        usually="numbers from 0 to 1 in place of 0 to 255"
        if found.dtype != images.dtype
        else "a crop that is not resized"
        if len(found) == len(images)
        else "images that are left out or repeated; return every image once, changed or not",
    )
    assert torch.equal(images, images_of()), message(
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
        first, again, other = (augmented(case, images_of(), seed=seed) for seed in (0, 0, 1))
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


def changes_what_it_says(case: Case) -> None:
    """An augmentation that `changes` colors moves no pixels, and one that `changes` places keeps colors."""
    if case.spec.changes == "both":
        raise Inapplicable("its spec says that it changes both colors and places")
    if case.spec.changes == "colors":
        swapped, places = images_of(), torch.zeros(16, 16, dtype=torch.bool)
        places[2:5, 2:5] = places[10:13, 8:11] = True
        swapped[..., 2:5, 2:5], swapped[..., 10:13, 8:11] = (
            images_of()[..., 10:13, 8:11],
            images_of()[..., 2:5, 2:5],
        )
        differing = (augmented(case, images_of()) != augmented(case, swapped)).flatten(0, 1).any(0)
        same = not (differing & ~places).any()
        expected, got = "each pixel to stay in its place", "moved pixels"
    else:
        plain = torch.full_like(images_of(), 77)
        kept = (augmented(case, plain) == 77).float().mean()
        same, expected = bool(kept > 0.5), "pixels that keep their colors"
        got = f"{1 - kept:.0%} of the pixels of a plain image in another color"
    assert same, message(
        expected=f"{expected}, since `changes` is {case.spec.changes!r}",
        got=got,
        usually='`changes` copied from another spec; set it to "both"',
    )


def augments_each_image_alone(case: Case) -> None:
    """The result for an image does not depend on which other images of its batch a process holds."""
    images, places = images_of(), torch.tensor([1, 4, 5])
    whole, part = augmented(case, images)[places], augmented(case, images[places], places=places)
    assert torch.equal(whole, part), message(
        expected="the same result for an image in the whole batch and in a part of it",
        got="a different result",
        usually="one random number for the whole batch, or numbers that are generated only for the given "
        "images; use `draws`, for example `draws.uniform()`",
    )


def measures(case: Case) -> None:
    """A metric returns a finite number for the items of a split, under a name of its own.

    A metric that was used before returns the same as a new one, and repeated items do not change its value. A
    metric in % is a fraction, unless it is an error of numbers, which has no upper limit. A loss returns a
    finite number with a gradient for each item.
    """
    for task, made, outputs, batch in scored(case):
        assert isinstance(made, Metric | LossFunction), message(
            expected="an object with the methods `items` and `value`, or `losses`",
            got=f"a {type(made).__name__}",
            usually="a misspelled method, or a function that returns something else than a metric",
        )
        count = [*batch.targets.shape[: 2 if isinstance(task, CarriesState) else 1]]
        if isinstance(made, Metric):
            _require_own_name(case, task)
            items: Any = items_of(made, outputs, batch)
            shapes = (
                map(_shape, items.values()) if isinstance(items, Mapping) else [f"a {type(items).__name__}"]
            )
            wrong = [shape for shape in shapes if shape[: len(count)] != count]
            assert not wrong, message(
                expected=f"items() to return a mapping of tensors with a number for each item, {count}",
                got=f"{wrong[0]}",
                usually="a mean over the batch, or a missing `return`",
            )
            value: Any = value_of(task, made, outputs, batch)
            finite = isinstance(value, SupportsFloat) and math.isfinite(value)
            assert finite, message(
                expected=f"value() to return a finite number for outputs of {task.name}",
                got=f"{value!r}",
                usually="a missing `return`" if value is None else "a division by a sum that is 0",
            )
            _require_same_again(case, task, made, outputs, batch)
            _require_fraction(case, task, made, outputs, batch)
        if isinstance(made, LossFunction):
            _require_losses(losses_of(made, outputs.clone().requires_grad_(), batch), count)


def measures_each_item_alone(case: Case) -> None:
    """What a metric or a loss returns for an item does not depend on the other items of its batch."""
    for task, made, outputs, batch in scored(case):
        axis = 1 if isinstance(task, CarriesState) else 0
        first = replace(
            batch, inputs=batch.inputs.narrow(axis, 0, 1), targets=batch.targets.narrow(axis, 0, 1)
        )
        whole, alone = (made_of(made, *of) for of in ((outputs, batch), (outputs.narrow(axis, 0, 1), first)))
        parts = {name: value.narrow(axis, 0, 1) for name, value in whole.items()}
        wrong = [n for n in parts if not torch.allclose(parts[n].double(), alone[n].double(), 1e-4, 1e-6)]
        assert not wrong, message(
            expected="the same contribution of an item in any batch",
            got=f"a different one to {wrong[0]!r}" if wrong else "",
            usually="a mean over the batch, or a threshold that is computed from it",
        )


def right_outputs_score_better(case: Case) -> None:
    """Outputs that predict each target score better than outputs that do not, and have a lower loss.

    Right outputs are known if a model predicts labels, or numbers in the shape of the targets, or several for
    each target. A metric with a target value is left out: an interval of no width predicts each target, but
    does not have the coverage that is best.
    """
    known = [(*each, right_and_wrong(each[0], *each[2:])) for each in scored(case)]
    if not any(pair for *_, pair in known):
        raise Inapplicable("which outputs are right is unknown for its tasks")
    has_direction = case.spec.target_value is None
    if not has_direction and not any(isinstance(made, LossFunction) for _, made, *_ in known):
        raise Inapplicable("right outputs need not be closest to its target value")
    for task, made, _, batch, pair in known:
        if pair is None:
            continue
        if isinstance(made, Metric) and has_direction:
            good, bad = (value_of(task, made, each, batch) for each in pair)
            assert good > bad if case.spec.higher_is_better else good < bad, message(
                expected=f"a better value for right than for wrong outputs of {task.name}",
                got=f"{good:.4g} for right and {bad:.4g} for wrong ones",
                usually="a wrong `higher_is_better`, or arguments in the wrong order",
            )
        if isinstance(made, LossFunction):
            good, bad = (float(losses_of(made, each, batch).mean()) for each in pair)
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


def _require_same_again(case: Case, task: Task, used: Metric, outputs: Tensor, batch: Batch) -> None:
    """Raise AssertionError if a metric keeps a state, or if its value depends on the number of items."""
    value_of(task, used, -outputs, batch)
    fresh: Any = case.entry.make({}, object, flag="--metric-option")
    first, again = (value_of(task, each, outputs, batch) for each in (fresh, used))
    assert math.isclose(first, again, rel_tol=1e-6, abs_tol=1e-9), message(
        expected=f"the same value from a metric that was used before as from a new one, {first:.4g}",
        got=f"{again:.4g}",
        usually="counts or sums that are kept on `self`; zoo adds up what items() returns",
    )
    # Many items, for which a correction such as n / (n - 1) does not matter
    many, twice = (value_of(task, used, outputs, batch, times=times) for times in (1_000, 2_000))
    assert math.isclose(many, twice, rel_tol=1e-3, abs_tol=1e-6), message(
        expected=f"the same value for twice as many equal items, {many:.4g}",
        got=f"{twice:.4g}",
        usually="a sum that value() does not divide by the count",
    )


def _require_fraction(case: Case, task: Task, metric: Metric, outputs: Tensor, batch: Batch) -> None:
    """Raise AssertionError if a metric in % exceeds 1, unless it is an error of numbers, such as sMAPE."""
    has_limit = case.spec.higher_is_better or case.spec.target_value is not None or task.spec.labels
    if case.spec.unit != "%" or not has_limit:
        return
    several = [outputs, *(right_and_wrong(task, outputs, batch) or ())]
    largest = max(float(value_of(task, metric, each, batch)) for each in several)
    assert largest <= 1 + 1e-6, message(
        expected="at most 1 for a metric in %, which is a fraction",
        got=f"{largest:g}",
        usually="a percentage from 0 to 100; divide it by 100",
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
