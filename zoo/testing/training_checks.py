"""Checks of whether an architecture learns, on tiny made-up data."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor

from zoo.errors import SpecError
from zoo.interfaces import Dataset
from zoo.testing._models import (
    build,
    forward,
    inputs,
    mean_loss,
    step,
    train_batch,
    train_briefly,
)
from zoo.testing._suite import Case, told
from zoo.testing._tiny import LargerImages, tiny_dataset

__all__ = [
    "every_parameter_gets_a_gradient",
    "first_loss_near_uniform",
    "fits_its_inputs",
    "overfits_one_batch",
    "same_shape_in_training",
    "training_is_reproducible",
]


def same_shape_in_training(case: Case) -> None:
    """In training mode the model hands back what it does in eval mode; a language model also a penalty."""
    given = inputs(case, 3)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        answer = build(case)(given)
    if case.spec.task == "language-modelling":
        parts = len(answer) if isinstance(answer, tuple) else 1
        assert parts in (2, 3), told(
            expected="(logits, state) or (logits, state, penalty) in training mode",
            got=f"{parts} parts",
            usually="what is of interest to watch handed back too",
        )
        answer = answer[0]
    wanted = tuple(forward(case, build(case).eval(), given)[0].shape)
    got = tuple(answer.shape) if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
    assert got == wanted, told(
        expected=f"logits {wanted} in training mode, as in eval mode",
        got=str(got),
        usually="the logits of auxiliary heads handed back in training too",
    )


def first_loss_near_uniform(case: Case) -> None:
    """Before training, the loss is about that of guessing: within half of ln(classes)."""
    dims = tiny_dataset(case.spec.task).dims
    guess = math.log(dims.get("num_classes") or dims["vocab_size"])
    loss = mean_loss(step(case, build(case), train_batch(case, size=8)))
    assert 0.5 * guess <= loss <= 1.5 * guess, told(
        expected=f"a first loss of about ln(classes) = {guess:.2f}",
        got=f"{loss:.2f}",
        usually="initial weights that are too large, or an output that is not logits",
    )


def every_parameter_gets_a_gradient(case: Case) -> None:
    """Within three steps every trainable parameter has had a gradient that is finite and not all zero.

    The first may be zero: behind a layer that starts as zeros, as the last of a residual block may. What has
    none with images of 32 pixels is looked at with 128: attention over a single place has nothing to learn.
    """
    waiting = _without_gradient(case, tiny_dataset(case.spec.task))
    if waiting and case.spec.task == "classification":
        with contextlib.suppress(SpecError, RuntimeError):  # it may be made for one size
            waiting &= _without_gradient(case, LargerImages())
    assert not waiting, told(
        expected="a gradient for every parameter",
        got=f"none for {', '.join(sorted(waiting)[:3])}",
        usually="a layer that forward() does not use, a detach(), or weights copied instead of shared",
    )


def _without_gradient(case: Case, dataset: Dataset) -> set[str]:
    model = build(case, dataset=dataset)
    batch = train_batch(case, dataset=dataset)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trainable.values(), lr=1e-2)
    waiting = set(trainable)
    for number in range(3):
        optimizer.zero_grad()
        step(case, model, batch, seed=number).loss.backward()
        for name, parameter in trainable.items():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), told(
                    expected=f"a finite gradient for {name}",
                    got="inf or nan",
                    usually="a square root or a norm at 0",
                )
                if parameter.grad.any():
                    waiting.discard(name)
        optimizer.step()
    return waiting


def fits_its_inputs(case: Case) -> None:
    """`fit_inputs`, where a model has it, gives finite weights, and equal ones for equal inputs."""
    given = inputs(case, 16)
    fitted: list[dict[str, Tensor]] = []
    for seed in (0, 1):
        model = build(case)
        fit = getattr(model, "fit_inputs", None)
        if fit is None:
            return
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fit(given.clone())
        fitted.append(model.state_dict())
    one, other = fitted
    odd = [name for name in one if not torch.equal(one[name], other[name])]
    odd += [name for name in one if not one[name].isfinite().all()]
    assert not odd, told(
        expected="finite weights that follow from the inputs, whatever the random state",
        got=f"something else in {', '.join(odd[:3])}",
        usually="a random choice of inputs, or an inverse of what may have no variance",
    )


def training_is_reproducible(case: Case) -> None:
    """Trained twice for three steps from the same seeds, a model has the same weights, bit for bit."""
    one, other = (train_briefly(case, build(case), steps=3).state_dict() for _ in range(2))
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differing, told(
        expected="equal weights after equal steps, so that a run that was stopped can go on bit for bit",
        got=f"other values in {', '.join(differing[:3])}",
        usually="noise from numpy, `random` or a generator of one's own; use torch's default one",
    )


def overfits_one_batch(case: Case) -> None:
    """Trained on one small batch, the loss falls to less than half, at one of two learning rates."""
    batch = train_batch(case)
    lowest = first = 0.0
    for lr in (3e-3, 3e-4):
        model = build(case)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr)
        losses: list[float] = []
        for number in range(60):
            optimizer.zero_grad()
            done = step(case, model, batch, seed=number)
            losses.append(mean_loss(done))
            if losses[-1] < 0.5 * losses[0]:
                return
            done.loss.backward()
            optimizer.step()
        first, lowest = losses[0], min(losses)
    raise AssertionError(
        told(
            expected=f"less than half of the first loss, {first:.2f}, after 60 steps of Adam on one batch",
            got=f"{lowest:.2f} at best",
            usually="a signal that is cut or scaled away, a softmax before the loss, or inputs mixed up",
        )
    )
