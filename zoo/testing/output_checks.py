"""Checks of what an architecture says in eval mode, on tiny made-up data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.testing._models import (
    build,
    forward,
    inputs,
)
from zoo.testing._suite import Case, first_line, told
from zoo.testing._tiny import tiny_dataset

__all__ = [
    "batch_mates_do_not_matter",
    "eval_changes_nothing",
    "eval_is_deterministic",
    "landmarks_resolve",
    "output_shape",
]


def output_shape(case: Case) -> None:
    """Batches of 1, 2 and 5 give finite floating-point logits, (B, K) or (T, B, V)."""
    model = build(case).eval()
    dims = tiny_dataset(case.spec.task).dims
    for size in (1, 2, 5):
        given = inputs(case, size)
        try:
            answer = _answer(case, model, given)
        except RuntimeError as error:
            if size == 1:
                raise
            raise AssertionError(
                told(
                    expected=f"logits from inputs {tuple(given.shape)}, as from smaller ones before",
                    got=first_line(error),
                    usually="a state kept on the module from the batch before, or a batch size written down",
                )
            ) from error
        wanted = (size, dims["num_classes"]) if given.ndim == 4 else (*given.shape, dims["vocab_size"])
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        assert got == wanted, told(
            expected=f"logits {wanted} from inputs {tuple(given.shape)}",
            got=str(got),
            usually="a squeeze() that drops a batch of one, batch and time in the other order, or a tuple",
        )
        assert answer.is_floating_point(), told(
            expected="floating-point logits", got=str(answer.dtype), usually="an argmax inside the model"
        )
        assert answer.isfinite().all(), told(
            expected="finite logits",
            got="inf or nan",
            usually="a division by a deviation that can be 0, or a log of 0",
        )


def _answer(case: Case, model: nn.Module, given: Tensor) -> Any:
    try:
        return forward(case, model, given)[0]
    except (TypeError, ValueError) as error:
        if case.spec.task == "classification":
            raise
        raise AssertionError(
            told(
                expected="model(tokens, state) to return (logits, state)",
                got=str(error).split("\n")[0],
                usually="a forward without `state=None`, logits alone, or a penalty in eval mode too",
            )
        ) from error


def batch_mates_do_not_matter(case: Case) -> None:
    """In eval mode, what the model says of an item does not depend on what else is in the batch."""
    model = build(case).eval()
    lane = 0 if case.spec.task == "classification" else 1
    ours, others = inputs(case, 3), inputs(case, 3, seed=1)
    others.select(lane, 0).copy_(ours.select(lane, 0))
    one, other = (forward(case, model, given)[0].select(lane, 0) for given in (ours, others))
    distance = (one - other).abs().max().item()
    assert distance <= 1e-5 * max(1.0, one.abs().max().item()), told(
        expected="the same logits in other company",
        got=f"a difference of {distance:.2g}",
        usually="statistics of the batch used in eval mode, or a mean over the wrong axis",
    )


def eval_is_deterministic(case: Case) -> None:
    """In eval mode, the same input gives the same bits, whatever the random state."""
    model = build(case).eval()
    given = inputs(case, 2)
    one, other = (forward(case, model, given, seed=seed)[0] for seed in (0, 1))
    assert torch.equal(one, other), told(
        expected="the same logits twice in eval mode",
        got=f"a difference of {(one - other).abs().max().item():.2g}",
        usually="F.dropout without `training=self.training`",
    )


def eval_changes_nothing(case: Case) -> None:
    """In eval mode a forward pass leaves every parameter and buffer as it was."""
    model = build(case).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    forward(case, model, inputs(case, 3))
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)]
    assert not changed, told(
        expected="weights and buffers as they were after a forward pass in eval mode",
        got=f"other values in {', '.join(changed[:3])}",
        usually="statistics that are updated without asking `self.training`",
    )


def landmarks_resolve(case: Case) -> None:
    """Every landmark is a submodule that forward() calls, so that a hook there fires, and is what it says.

    The logits are the means of `class_maps`; or what `mean_head`, a linear layer, makes of those of
    `features`.
    """
    model = build(case).eval()
    put_out: dict[str, Any] = {}
    for name, path in case.spec.landmarks.items():
        try:
            module = model.get_submodule(path)
        except AttributeError as error:
            known = ", ".join(name for name, _ in model.named_children())
            raise AssertionError(
                told(
                    expected=f"a submodule at the landmark {name}={path!r}",
                    got=f"{error}; there are {known}",
                    usually="a renamed attribute",
                )
            ) from error
        module.register_forward_hook(_noting(name, put_out))
    logits, _ = forward(case, model, inputs(case, 2))
    silent = sorted(set(case.spec.landmarks) - put_out.keys())
    assert not silent, told(
        expected=f"forward() to call the landmark {', '.join(silent)}",
        got="no call",
        usually="a module used through its weights, or through its forward(), which skips hooks",
    )
    for name, remade in _logits_by_landmark(case, model, put_out).items():
        assert remade is not None and torch.allclose(remade, logits, atol=1e-4), told(  # noqa: PT018
            expected=f"logits that follow from the landmark {name} by means over the image",
            got="others",
            usually="a maximum, a second layer or a flattening in place of the mean: leave the landmark out",
        )


def _logits_by_landmark(case: Case, model: nn.Module, put_out: Mapping[str, Any]) -> dict[str, Tensor | None]:
    """Return the logits that `class_maps` and `mean_head` promise, None where they cannot be computed."""
    remade: dict[str, Tensor | None] = {}
    if "class_maps" in put_out:
        maps = put_out["class_maps"]
        remade["class_maps"] = maps.mean((2, 3)) if maps.ndim == 4 else None
    if "mean_head" in put_out:
        head = model.get_submodule(case.spec.landmarks["mean_head"])
        features: Tensor | None = put_out.get("features")
        remade["mean_head"] = None
        if isinstance(head, nn.Linear) and features is not None and features.ndim == 4:
            means = features.mean((2, 3))
            if means.shape[1] == head.in_features:
                remade["mean_head"] = functional.linear(means, head.weight, head.bias)
    return remade


def _noting(name: str, put_out: dict[str, Any]) -> Callable[..., None]:
    def note(_: object, __: object, output: object) -> None:
        put_out[name] = output

    return note
