"""Checks of an architecture's output in eval mode, on random inputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import OptionError, ZooError, first_line
from zoo.interfaces import CarriesState
from zoo.models.building import build_model, model_arguments
from zoo.models.features import CapturedFeatures, features_of, pooled
from zoo.models.landmarks import with_landmarks
from zoo.registry.specs import Landmark, TaskSpec
from zoo.testing._case import Case, Failure, Inapplicable, failing, located, message
from zoo.testing._models import build, forward, larger_images, outputs_of, random_inputs, require_unchanged


def output_shape(case: Case) -> None:
    """For batches of 1, 2 and 5, logits are finite floating-point numbers, (B, K) or (T, B, V).

    If a task declares an `output_shape`, they are (B, *output_shape). Otherwise, if a task predicts a class
    for each of several positions, they are (B, K, ...), as torch's losses expect; if it predicts numbers,
    they have the shape of the targets.
    """
    model = build(case).eval()
    for size in (1, 2, 5):
        inputs = random_inputs(case, size)
        try:
            answer: Any = forward(case, model, inputs)[0]
        except Exception as error:
            raise _refusal(case, inputs, error, first=size == 1) from error
        wanted = _wanted_shape(case, inputs)
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        assert got == wanted, message(
            expected=f"{outputs_of(case)} {wanted} from inputs {tuple(inputs.shape)}",
            got=str(got),
            usually=_misshapen(got, wanted, case.task.spec),
        )
        assert answer.is_floating_point(), message(
            expected=f"floating-point {outputs_of(case)}",
            got=str(answer.dtype),
            usually="an argmax inside the model",
        )
        assert answer.isfinite().all(), message(
            expected=f"finite {outputs_of(case)}",
            got="nan" if answer.isnan().any() else "inf",
            usually="0 / 0, such as a division by a standard deviation that can be 0"
            if answer.isnan().any()
            else "a log of 0, or an exp() of a large number",
        )


def _misshapen(got: tuple[int, ...] | str, wanted: tuple[int, ...], task: TaskSpec) -> str:
    """Return the most common cause of logits with the wrong shape, or of an output that is not logits."""
    if isinstance(got, str):
        return "other values returned besides the logits, such as features or a state"
    if len(got) < len(wanted) and math.prod(got) == math.prod(wanted):
        return "a squeeze() that drops a batch axis of size one; name the axis to squeeze"
    if len(got) == len(wanted) and got[:2] == wanted[1::-1] != wanted[:2]:
        return "the first two axes swapped; a language model reads and returns time-first tensors, (T, B)"
    if len(got) > len(wanted) and math.prod(got) == math.prod(wanted):
        return "an extra axis of size one, which the targets lack: the loss would compare all pairs"
    if not (task.labels or task.output_shape) and wanted == got[: len(wanted)]:
        return "a task whose outputs have more axes than its targets, without `output_shape` in its spec"
    sizes = [f"`{size}`" for size in task.output_shape if isinstance(size, str)] or ["`num_classes`"]
    number = " or ".join(sizes)
    return f"a hard-coded number in place of {number}, or a view() that moves items to another axis"


def _wanted_shape(case: Case, inputs: Tensor) -> tuple[int, ...]:
    """Return the shape of the logits for some inputs, from the targets of the tiny dataset."""
    dataset, labels = case.tiny(), case.task.spec.labels
    if case.task.spec.output_shape:
        items = inputs.shape[: 1 + isinstance(case.task, CarriesState)]
        return (*items, *case.task.spec.shape_of_outputs(dataset.dims))
    if isinstance(case.task, CarriesState):
        return (*inputs.shape, dataset.dims[labels[0]] if labels else 1)
    targets = next(iter(case.task.eval_batches(dataset, "test"))).targets
    classes = () if targets.is_floating_point() or not labels else (dataset.dims[labels[0]],)
    return (len(inputs), *classes, *targets.shape[1:])


def _refusal(case: Case, inputs: Tensor, error: Exception, *, first: bool) -> Failure:
    """Return the failure of a model that cannot read some inputs; the first inputs are a batch of one."""
    if isinstance(error, TypeError | ValueError) and isinstance(case.task, CarriesState):
        return Failure(
            expected="model(tokens, state) to return (logits, state)",
            got=first_line(error),
            usually="a forward() without `state=None`, logits alone, or a penalty in eval mode too",
        )
    if not first:
        return Failure(
            expected=f"{outputs_of(case)} from inputs {tuple(inputs.shape)}, after a smaller batch",
            got=located(error),
            usually="a state kept on the module from the previous batch, or a hard-coded batch size",
        )
    return Failure(
        expected=f"{outputs_of(case)} from inputs {tuple(inputs.shape)}",
        got=located(error),
        usually=larger_images(case) or "a fixed input size, or axes in the wrong order",
    )


def follows_its_dims(case: Case) -> None:
    """A model built for one more class or for other inputs supports them, or its constructor rejects them.

    Each dim of the task is changed separately: the number of labels by one, any other dim to twice its value.
    """
    task = case.registry.task(case.spec.task)
    counted = (case.task.spec.labels or ("",))[0]
    for name, value in {dim: case.tiny().dims[dim] for dim in task.dims}.items():
        changed = {**case.tiny().dims, name: value + 1 if name == counted else 2 * value}
        try:
            model = build_model(case.entry, model_arguments(case.entry, task, changed, {}), seed=0).eval()
        except ZooError:  # the constructor rejects these dims
            continue
        inputs = random_inputs(case, 1) if name == counted else _example(case, changed)
        sizes = task.shape_of_outputs(changed) or ((changed[counted],) if counted else ())
        wanted = inputs.shape[: 1 + isinstance(case.task, CarriesState)] + sizes
        try:
            got = str(tuple(forward(case, model, inputs)[0].shape[: len(wanted)]))
        except Exception as error:
            got = located(error)
        assert got == str(tuple(wanted)), message(
            expected=f"a model built for {name}={changed[name]} to return {outputs_of(case)} that begin with "
            f"{tuple(wanted)} for inputs {tuple(inputs.shape)}",
            got=got,
            usually=f"a hard-coded number in place of the argument {name}; "
            "if only some values work, reject others in the constructor",
        )


def _example(case: Case, dims: Mapping[str, int]) -> Tensor:
    """Return a random input for some dims."""
    example = case.task.example(dims)
    return torch.randn(example.shape, generator=torch.Generator().manual_seed(0)).to(example.dtype)


def batch_mates_do_not_matter(case: Case) -> None:
    """In eval mode, the logits of the first and the last item do not depend on the rest of the batch.

    The check tries batches of 3 and of 16, and the first item alone.
    """
    model = build(case).eval()
    lane = 1 if isinstance(case.task, CarriesState) else 0
    for size, place in itertools.product((3, 16), (0, -1)):
        ours, others = random_inputs(case, size), random_inputs(case, size, seed=1)
        others.select(lane, place).copy_(ours.select(lane, place))
        one, other = (forward(case, model, inputs)[0].select(lane, place) for inputs in (ours, others))
        distance = (one - other).abs().max().item()
        assert distance <= 1e-5 * max(1.0, one.abs().max().item()), message(
            expected=f"the same {outputs_of(case)} for an item among other items, in a batch of {size}",
            got=f"a difference of {distance:.2g}",
            usually="batch statistics in eval mode, or a wrong axis: text has the shape (T, B)"
            if size == 3
            else "batch statistics in eval mode, but only for larger batches",
        )
    many = random_inputs(case, 16)
    together, alone = (forward(case, model, x)[0].select(lane, 0) for x in (many, many.narrow(lane, 0, 1)))
    distance = (together - alone).abs().max().item()
    assert distance <= 1e-4 * max(1.0, alone.abs().max().item()), message(
        expected=f"the same {outputs_of(case)} for an item alone and in a batch of 16",
        got=f"a difference of {distance:.2g}, regardless of the other items",
        usually="a result for each item that depends on the batch size, such as `x / len(x)`",
    )


def eval_is_deterministic(case: Case) -> None:
    """In eval mode, equal inputs have identical logits, regardless of earlier inputs and random state."""
    model = build(case).eval()
    inputs, others = random_inputs(case, 2), random_inputs(case, 2, seed=1)
    one = forward(case, model, inputs)[0]
    forward(case, model, others)
    again = forward(case, model, inputs)[0]
    if not torch.equal(one, again):
        fresh = torch.equal(one, forward(case, build(case).eval(), inputs)[0])
        raise Failure(
            expected=f"the same {outputs_of(case)} in eval mode and random state, after other inputs",
            got=f"a difference of {(one - again).abs().max().item():.2g}",
            usually="state kept on the module between calls, such as a counter or a hidden state"
            if fresh
            else "noise from NumPy, `random` or a private generator; eval mode must not be random",
        )
    other = forward(case, model, inputs, seed=1)[0]
    assert torch.equal(one, other), message(
        expected=f"the same {outputs_of(case)} twice in eval mode",
        got=f"a difference of {(one - other).abs().max().item():.2g}",
        usually="F.dropout without `training=self.training`",
    )


def eval_changes_nothing(case: Case) -> None:
    """In eval mode, a forward pass leaves parameters, buffers and inputs unchanged."""
    model, inputs = build(case).eval(), random_inputs(case, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    forward(case, model, inputs)
    require_unchanged(case, inputs, "eval")
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)]
    assert not changed, message(
        expected="unchanged weights and buffers after a forward pass in eval mode",
        got=f"different values in {', '.join(changed[:3])}",
        usually="statistics that are updated without checking `self.training`",
    )


def landmarks_resolve(case: Case) -> None:
    """Every landmark is a submodule with the correct output, and forward() calls it, so that hooks run.

    The logits are the means of `class_maps`, or the output of the linear layer `mean_head` for the means of
    `features`. `features` are a vector or maps for each item, or for a sequence a vector at each time step;
    if there are no `features`, this applies to the input of the `head`. `tokens` are (B, N, C) or (B, h, w,
    C).
    """
    model = build(case).eval()
    landmarks = with_landmarks(case.spec, model).landmarks
    if not landmarks:
        raise Inapplicable("it has no landmarks")
    outputs: dict[str, Any] = {}
    for name, path in landmarks.items():
        try:
            module = model.get_submodule(path)
        except AttributeError as error:
            known = ", ".join(name for name, _ in model.named_children())
            raise Failure(
                expected=f"a submodule at the landmark {name}={path!r}",
                got=f"{first_line(error)} (known: {known})",
                usually="a renamed attribute",
            ) from error
        module.register_forward_hook(_recorder(name, outputs))
    kept: AbstractContextManager[CapturedFeatures | None] = nullcontext()
    if landmarks.keys() & {"features", "head"}:
        kept = features_of(model, {**landmarks}, time_first=isinstance(case.task, CarriesState))
    with kept as features:
        logits, _ = forward(case, model, random_inputs(case, 2))
    silent = sorted(set(landmarks) - outputs.keys())
    assert not silent, message(
        expected=f"forward() to call the landmark {', '.join(silent)}",
        got="no call",
        usually="a module whose weights or forward() are used directly, which bypasses hooks",
    )
    for name, promised in _logits_by_landmark(landmarks, model, outputs).items():
        distance = math.inf
        if promised is not None and promised.shape == logits.shape:
            distance = float((promised - logits).detach().abs().max())
        assert distance <= 1e-4, message(
            expected=f"logits computed from the landmark {name} by means over the image",
            got="different logits",
            usually="an activation between `features` and the mean (put it inside `features`); or a maximum, "
            "a second layer or a flatten() instead of the mean (remove the landmark)",
        )
    if "tokens" in outputs:
        _require_tokens(outputs["tokens"])
    if features is not None:
        _require_features(features)


def _require_tokens(tokens: object) -> None:
    """Raise AssertionError unless tokens are (2, N, C) or (2, h, w, C)."""
    shape = [*tokens.shape] if isinstance(tokens, Tensor) else []
    assert len(shape) in (3, 4) and shape[0] == 2, message(  # noqa: PT018
        expected="tokens (B, N, C) or (B, h, w, C) from the landmark tokens",
        got=f"a tensor of shape {(*shape,)}" if shape else f"a {type(tokens).__name__}",
        usually="a layer that returns one vector for each image, or reshapes the batch",
    )


def _require_features(features: CapturedFeatures) -> None:
    """Raise AssertionError unless features have one entry per item."""
    with failing(
        OptionError,
        expected="features of each item, (B, F, ...), or for a sequence (T, B, F)",
        usually="a layer that reshapes the batch, has the batch before time, or runs once per time step",
    ):
        pooled(features.output)


def _logits_by_landmark(
    landmarks: Mapping[Landmark, str], model: nn.Module, outputs: Mapping[str, Any]
) -> dict[str, Tensor | None]:
    """Compute the logits from `class_maps` or `mean_head`; None if that is impossible."""
    promised: dict[str, Tensor | None] = {}
    if "class_maps" in outputs:
        maps = outputs["class_maps"]
        promised["class_maps"] = maps.mean((2, 3)) if maps.ndim == 4 else None
    if "mean_head" in outputs:
        head = model.get_submodule(landmarks["mean_head"])
        features: Tensor | None = outputs.get("features")
        promised["mean_head"] = None
        if isinstance(head, nn.Linear) and features is not None and features.ndim == 4:
            means = features.mean((2, 3))
            if means.shape[1] == head.in_features:
                promised["mean_head"] = functional.linear(means, head.weight, head.bias)
    return promised


def _recorder(name: str, outputs: dict[str, Any]) -> Callable[..., None]:
    def record(_: object, __: object, output: object) -> None:
        outputs[name] = output

    return record
