"""Checks of a language model's context, of its state between batches, and of its penalty."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from zoo.errors import cause
from zoo.models.states import detach
from zoo.testing._case import Case, Inapplicable, failing, message
from zoo.testing._data import empty_folder
from zoo.testing._loop import begin, restored, train_one_step
from zoo.testing._models import build, drawing_from, forward, longest, random_inputs, step, train_batch
from zoo.training.state import TrainState


def causal(case: Case) -> None:
    """Changing the token at time t does not change any logits before t by more than 1e-5."""
    model = _stirred(build(case)).eval()
    tokens = random_inputs(case, 2)  # (T, B)
    before, _ = forward(case, model, tokens)
    for time in (1, len(tokens) // 2, len(tokens) - 1):
        changed = tokens.clone()
        changed[time] = (changed[time] + 1) % case.tiny().dims["vocab_size"]
        after, _ = forward(case, model, changed)
        distance = (before[:time] - after[:time]).abs().max().item()
        assert distance <= _tolerance(before), message(
            expected=f"logits before time {time} that do not depend on the token at time {time}",
            got=f"a difference of {distance:.2g}",
            usually="a bidirectional layer, a missing mask, or a normalization over time",
        )


def carries_state(case: Case) -> None:
    """A text of 200 tokens has the same logits whether it is read at once or in parts that pass on the state.

    Training, evaluation and sampling split text differently: token by token, in parts of unequal length, and
    as a part followed by single tokens. The logits must agree to 1e-5. Text is read token by token at a batch
    size of one, as in sampling. A model that declares a context length reads that many tokens; it may have no
    state at all.
    """
    model = _stirred(build(case)).eval()
    length = longest(case, 200)
    first, second = length * 8 // 25, length * 16 // 25  # 64 and 128 of 200, as evaluation may cut a text
    cuts = {
        "single tokens": [1] * length,
        "two halves": [length // 2, length - length // 2],
        f"parts of {first} and {second} tokens, then single tokens": [first, second]
        + [1] * (length - first - second),
    }
    for lanes in (1, 2):
        tokens = _random_tokens(case, length, lanes)  # (T, B)
        whole, state = forward(case, model, tokens)
        if state is None and case.spec.context_length:
            raise Inapplicable("it has a context length and no state")
        if lanes == 2:
            del cuts["single tokens"]
        for name, cut in cuts.items():
            parts, state = [], None
            for part in tokens.split(cut):
                logits, state = forward(case, model, part, state)
                parts.append(logits)
            distances = (whole - torch.cat(parts)).abs().amax((1, 2))  # (T,)
            wrong = (distances > _tolerance(whole)).nonzero()
            assert not len(wrong), message(
                expected=f"{name} with carried state to equal the whole text, at a batch size of {lanes}",
                got=f"a difference of {distances.max().item():.2g}, from token {int(wrong[0]) + 1} on",
                usually="a `state` not passed to every layer, a cache that loses entries, or positions that "
                "restart",
            )


def _random_tokens(case: Case, length: int, lanes: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(case.tiny().dims["vocab_size"], (length, lanes), generator=generator)


def _stirred(model: nn.Module) -> nn.Module:
    """Add noise to constant parameters, which would hide the effect of other parts of a fresh model."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and bool((parameter == parameter.flatten()[:1]).all()):
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.add_(noise, alpha=0.05)
    return model


def _tolerance(logits: Tensor) -> float:
    return 1e-5 * max(1.0, logits.abs().max().item())


def any_length_and_batch(case: Case) -> None:
    """For 1, 3 or 200 tokens at a batch size of 1 or 7, logits are finite, with or without a carried state.

    A model that declares a context length is given at most that many tokens.
    """
    model = build(case).eval()
    vocab_size = case.tiny().dims["vocab_size"]
    for lanes in (1, 7):
        state = None
        for length in (1, 3, longest(case, 204) - 4):
            tokens = torch.arange(length * lanes).view(length, lanes) % vocab_size
            with failing(
                expected=f"{length} tokens at a batch size of {lanes} to be read",
                usually="positions or a mask of a fixed length without `context_length` in the spec, or "
                "a state made for one batch size",
            ):
                logits, state = forward(case, model, tokens, state)
            wanted = (length, lanes, vocab_size)
            fits = tuple(logits.shape) == wanted and bool(logits.isfinite().all())
            assert fits, message(
                expected=f"finite logits {wanted}",
                got=f"{tuple(logits.shape)}, {int(logits.isfinite().sum())} of them finite",
                usually="a squeeze() of a dimension of size one, or statistics of a single token",
            )


def state_detaches(case: Case) -> None:
    """The state after a batch can be detached and kept, and the next batch trains from it."""
    model = build(case)
    batch = train_batch(case)
    with failing(
        expected="a second batch that trains from the first batch's state",
        usually="a custom class as the state, or a state that is kept on the module or changed in place",
    ):
        first = step(case, model, dataclasses.replace(batch, fresh=True))
        first.loss.backward()
        state = detach(first.state)
        step(case, model, dataclasses.replace(batch, fresh=False), state).loss.backward()


def state_can_be_saved(case: Case) -> None:
    """The state after a step can be saved in a checkpoint, and training resumes from it bit for bit."""
    state = begin(case)
    train_one_step(case, state)
    with (
        failing(
            expected="a state for a checkpoint: tensors, numbers, and tuples, lists and dicts of these",
            usually="a custom class as the state; return its tensors",
        ),
        empty_folder() as folder,
    ):
        twin = restored(case, state, folder)
    ours, theirs = _next_step(case, state), _next_step(case, twin)
    if ours == theirs and not _equal(state.model, twin.model):
        theirs += " and different weights"
    assert ours == theirs, message(
        expected=f"the next step from a saved and loaded state to result in {ours}",
        got=theirs,
        usually="a part of the state kept on the module; return the whole state",
    )


def _next_step(case: Case, state: TrainState) -> str:
    """Describe the result of one more training step."""
    try:
        return f"a loss of {train_one_step(case, state):.9g}"
    except Exception as error:
        return cause(error)


def _equal(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def penalty_trains(case: Case) -> None:
    """If the model returns a penalty in training mode, the penalty is a finite scalar with a gradient."""
    with drawing_from(0):
        _, _, *rest = build(case)(random_inputs(case, 2))
    if not rest:
        raise Inapplicable("it returns no penalty")
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
