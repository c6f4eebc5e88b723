"""Checks of what a language model knows, carries from one batch to the next, and adds to the loss."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from zoo.testing._models import build, forward, inputs, step, train_batch
from zoo.testing._suite import Case, first_line, told
from zoo.testing._tiny import tiny_dataset

__all__ = ["any_length_and_batch", "carries_state", "causal", "penalty_trains", "state_detaches"]


def causal(case: Case) -> None:
    """Another token at time t leaves the logits before t as they were, bit for bit."""
    model = build(case).eval()
    tokens = inputs(case, 2)  # (T, B)
    before, _ = forward(case, model, tokens)
    for time in (1, len(tokens) // 2, len(tokens) - 1):
        changed = tokens.clone()
        changed[time] = (changed[time] + 1) % tiny_dataset(case.spec.task).dims["vocab_size"]
        after, _ = forward(case, model, changed)
        assert torch.equal(before[:time], after[:time]), told(
            expected=f"logits before time {time} that do not know the token at time {time}",
            got=f"a difference of {(before[:time] - after[:time]).abs().max().item():.2g}",
            usually="a bidirectional layer, a missing mask, or a normalisation over time",
        )


def carries_state(case: Case) -> None:
    """Two halves, the second from the state the first ended with, equal the whole to 1e-5."""
    model = build(case).eval()
    tokens = inputs(case, 2)  # (T, B)
    half = len(tokens) // 2
    whole, _ = forward(case, model, tokens)
    first, state = forward(case, model, tokens[:half])
    second, _ = forward(case, model, tokens[half:], state)
    distance = (whole - torch.cat([first, second])).abs().max().item()
    assert distance <= 1e-5 * max(1.0, whole.abs().max().item()), told(
        expected="two halves with carried state to equal the whole",
        got=f"a difference of {distance:.2g}",
        usually="`state` not handed on to the layer, or the state of some layers only",
    )


def any_length_and_batch(case: Case) -> None:
    """1, 3 or 100 tokens of 1 or 7 lanes give finite logits, from a state of zeros or a carried one."""
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
                    told(
                        expected=f"{length} tokens of {lanes} lanes to be read",
                        got=first_line(error),
                        usually="positions or a mask of a fixed length, or a state made for one batch size",
                    )
                ) from error
            wanted = (length, lanes, vocab_size)
            fits = tuple(logits.shape) == wanted and bool(logits.isfinite().all())
            assert fits, told(
                expected=f"finite logits {wanted}",
                got=f"{tuple(logits.shape)}, {int(logits.isfinite().sum())} of them finite",
                usually="a squeeze() of a length of one, or a mean over what may be a single token",
            )


def state_detaches(case: Case) -> None:
    """The state a batch ends with can be cut from its graph, so that the next batch trains by itself."""
    model = build(case)
    batch = train_batch(case)
    done = step(case, model, dataclasses.replace(batch, fresh=True))
    done.loss.backward()
    try:
        step(case, model, dataclasses.replace(batch, fresh=False), done.state).loss.backward()
    except RuntimeError as error:
        raise AssertionError(
            told(
                expected="a second batch that trains from the first one's state",
                got=str(error).split(".")[0],
                usually="a state that is not a tensor or a tuple or list of them, or one kept on the module",
            )
        ) from error


def penalty_trains(case: Case) -> None:
    """If training mode hands back a penalty, it is one finite number, and there is a gradient behind it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, *rest = build(case)(inputs(case, 2))
    for penalty in rest[:1]:
        scalar = isinstance(penalty, Tensor) and penalty.ndim == 0 and bool(penalty.isfinite())
        assert scalar, told(
            expected="a penalty that is a finite scalar tensor",
            got=str(penalty),
            usually="a mean over some of the axes only, or item()",
        )
        assert penalty.requires_grad, told(
            expected="a penalty whose gradient reaches the weights",
            got="a constant",
            usually="a detach(), or activations computed without gradients",
        )
