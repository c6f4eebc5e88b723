"""Checks of a task's epochs: each item once, shuffled, prepared as for an evaluation, and without state."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.interfaces import CarriesState
from zoo.testing._case import Case, Inapplicable, message
from zoo.testing._tasks import BATCH, items_of, measured, same, training


def trains_on_each_item_once(case: Case) -> None:
    """An epoch has each training item once, with its target; fewer items than a batch may be left out.

    For sequences, an epoch reads at least half of the tokens.
    """
    batches, count = training(case), len(case.tiny().split("train"))
    if isinstance(case.task, CarriesState):
        read, least = sum(batch.inputs.numel() for batch in batches), count / 2
        trained = evaluated = []
    else:
        trained, evaluated = map(items_of, (batches, case.task.eval_batches(case.tiny(), "train")))
        read, least = len(trained), count - BATCH + 1
    assert read >= least, message(
        expected=f"an epoch of the training split, which has {count:,} items or tokens",
        got=f"{read:,}",
        usually="an epoch that ends after some batches",
    )
    different, wanted = (len({shown for shown, _ in pairs}) for pairs in (trained, evaluated))
    once = different > wanted - BATCH and len(trained) <= count
    assert once, message(
        expected=f"each of {wanted} training items once in an epoch",
        got=f"{different} different items among {len(trained)}",
        usually="items that are sampled with replacement, or repeated",
    )
    known = {shown for shown, _ in evaluated}
    strange = [pair for pair in trained if pair[0] in known and pair not in evaluated]
    assert not strange, message(
        expected="training items with the targets that they have in an evaluation",
        got=f"different targets for {len(strange)} of {len(trained)}",
        usually="shifted targets, or targets fetched in a different order than the inputs",
    )


def shuffles_each_epoch(case: Case) -> None:
    """A different epoch or seed has a different order. Sequences may always be read from start to end."""
    if isinstance(case.task, CarriesState):
        raise Inapplicable("sequences may always be read in order")
    first = items_of(training(case))
    for name in ("epoch", "seed"):
        others = [items_of(training(case, **{name: number})) for number in (1, 2, 3)]
        assert len({*first}) == 1 or any(other != first for other in others), message(
            expected=f"a different order of the training items with a different {name}",
            got="the same order",
            usually='an order that does not depend on zoo.seed_for(seed, "order", epoch)',
        )


def trains_as_it_evaluates(case: Case) -> None:
    """Training inputs have about the same mean and standard deviation in training and evaluation."""
    evaluated = [*case.task.eval_batches(case.tiny(), "train")]
    for what in ("inputs", "targets"):
        ours, theirs = (
            torch.cat([getattr(batch, what).flatten() for batch in batches])
            for batches in (training(case), evaluated)
        )
        if not ours.is_floating_point():
            continue
        (mean, spread), (wanted, usual) = map(_level, (ours, theirs))
        alike = abs(mean - wanted) <= usual / 2 and usual / 1.5 <= spread <= usual * 1.5
        assert alike, message(
            expected=f"training {what} as in evaluation, with mean {wanted:.3g} and deviation {usual:.3g}",
            got=f"mean {mean:.3g} and deviation {spread:.3g}",
            usually="a scale or a normalization that only one of train_batches() and batches_of() applies",
        )


def _level(numbers: Tensor) -> tuple[float, float]:
    """Return the mean and the standard deviation of finite numbers; the latter is never exactly 0."""
    finite = numbers[numbers.isfinite()].double()
    mean = float(finite.mean())
    return mean, float(finite.std(correction=0)) + 1e-3 * abs(mean) + 1e-9


def keeps_no_state(case: Case) -> None:
    """A task that has been used returns the same batches and metrics as a fresh task."""
    used = case.task
    accounts = [(training(case, task), measured(case, task)) for task in (used, used, case.task)]
    _, (batches, metrics), (fresh, expected) = accounts
    alike = {"training batches": same(batches, fresh), "metrics": metrics == expected}
    wrong = [what for what, equal in alike.items() if not equal]
    assert not wrong, message(
        expected="the same batches and metrics from a used task as from a fresh task",
        got=f"different {' and '.join(wrong)}",
        usually="state on `self` or in the module; each method must be a function of its arguments",
    )
