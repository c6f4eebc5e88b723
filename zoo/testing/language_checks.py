"""Checks of what a language model sees, carries from batch to batch, and adds to the loss."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from zoo.errors import SpecError, first_line
from zoo.models.states import detach
from zoo.testing._case import Case, message
from zoo.testing._models import build, forward, random_inputs, step, train_batch
from zoo.testing._tiny import tiny_dataset

__all__ = ["any_length_and_batch", "carries_state", "causal", "penalty_trains", "state_detaches"]


def causal(case: Case) -> None:
    """Another token at time t leaves the logits before t unchanged, bit for bit."""
    model = build(case).eval()
    tokens = random_inputs(case, 2)  # (T, B)
    before, _ = forward(case, model, tokens)
    for time in (1, len(tokens) // 2, len(tokens) - 1):
        changed = tokens.clone()
        changed[time] = (changed[time] + 1) % tiny_dataset(case.spec.task).dims["vocab_size"]
        after, _ = forward(case, model, changed)
        assert torch.equal(before[:time], after[:time]), message(
            expected=f"logits before time {time} that do not depend on the token at time {time}",
            got=f"a difference of {(before[:time] - after[:time]).abs().max().item():.2g}",
            usually="a bidirectional layer, a missing mask, or a normalization over time",
        )


def carries_state(case: Case) -> None:
    """Two halves, the second started from the state after the first, equal the whole to 1e-5."""
    model = build(case).eval()
    tokens = random_inputs(case, 2)  # (T, B)
    half = len(tokens) // 2
    whole, _ = forward(case, model, tokens)
    first, state = forward(case, model, tokens[:half])
    second, _ = forward(case, model, tokens[half:], state)
    distance = (whole - torch.cat([first, second])).abs().max().item()
    assert distance <= 1e-5 * max(1.0, whole.abs().max().item()), message(
        expected="two halves with carried state to equal the whole",
        got=f"a difference of {distance:.2g}",
        usually="`state` not passed to the layer, or the state of some layers only",
    )


def any_length_and_batch(case: Case) -> None:
    """1, 3 or 100 tokens of 1 or 7 lanes give finite logits, from no state or a carried one."""
    model = build(case).eval()
    vocab_size = tiny_dataset(case.spec.task).dims["vocab_size"]
    for lanes in (1, 7):
        state = None
        for length in (1, 3, 100):
            tokens = torch.arange(length * lanes).view(length, lanes) % vocab_size
            try:
                logits, state = forward(case, model, tokens, state)
            except (RuntimeError, IndexError, ValueError) as error:
                raise AssertionError(
                    message(
                        expected=f"{length} tokens of {lanes} lanes to be read",
                        got=first_line(error),
                        usually="positions or a mask of a fixed length, or a state made for one batch size",
                    )
                ) from error
            wanted = (length, lanes, vocab_size)
            fits = tuple(logits.shape) == wanted and bool(logits.isfinite().all())
            assert fits, message(
                expected=f"finite logits {wanted}",
                got=f"{tuple(logits.shape)}, {int(logits.isfinite().sum())} of them finite",
                usually="a squeeze() of a length of one, or statistics of a single token",
            )


def state_detaches(case: Case) -> None:
    """The state after a batch is one that zoo can detach and keep, and the next batch trains from it."""
    model = build(case)
    batch = train_batch(case)
    first = step(case, model, dataclasses.replace(batch, fresh=True))
    first.loss.backward()
    try:
        state = detach(first.state)
        step(case, model, dataclasses.replace(batch, fresh=False), state).loss.backward()
    except (RuntimeError, SpecError) as error:
        raise AssertionError(
            message(
                expected="a second batch that trains from the first one's state",
                got=first_line(error),
                usually="an object of a class of its own as the state, or a state kept on the module",
            )
        ) from error


def penalty_trains(case: Case) -> None:
    """If training mode returns a penalty, it is a finite scalar with a gradient."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, *rest = build(case)(random_inputs(case, 2))
    for penalty in rest[:1]:
        scalar = isinstance(penalty, Tensor) and penalty.ndim == 0 and bool(penalty.isfinite())
        assert scalar, message(
            expected="a penalty that is a finite scalar tensor",
            got=str(penalty),
            usually="a mean over some axes only, or item()",
        )
        assert penalty.requires_grad, message(
            expected="a penalty whose gradient reaches the weights",
            got="a constant",
            usually="a detach(), or activations computed without gradients",
        )
