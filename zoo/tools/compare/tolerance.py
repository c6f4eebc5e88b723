"""Check whether a metric that was measured again agrees with the published one. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.files.cards import Card

# The largest relative difference that rounding may cause; docs/how-to/verify.md explains the value
ROUNDING = 1e-5
# The same on another kind of machine, for a task without intervals
ELSEWHERE = 1e-3
# How far an end of a confidence interval may be from the published one, as a share of the interval's width;
# 1,000 other resamples of a bootstrap move it by about 2%
RESAMPLING = 0.1
# What rounding to four decimals may have changed
_FOUR_DECIMALS = 5e-5


class Machine(NamedTuple):
    """The properties of a machine that a result depends on."""

    processor: str
    device: str
    torch: str

    def differing(self, card: Card) -> list[str]:
        """Return the card's values that differ here; a value that it lacks is assumed to be the same."""
        environment = card.environment
        theirs = Machine(environment.processor, environment.device, card.versions.get("torch", ""))
        named = zip(self._fields, theirs, self, strict=True)
        return [f"{name} {value}" for name, value, here in named if value and value != here]


def disagreement(
    published: float, measured: float, *, count: int, same: bool, interval: Sequence[float] | None
) -> str:
    """Return how a metric differs from the published one, or an empty string if they agree.

    Args:
        count: number of items measured.
        same: whether both were measured on the same kind of machine.
        interval: the 95% confidence interval of `measured`, if there is one.
    """
    difference = abs(measured - published)
    rounded = _FOUR_DECIMALS if round(published, 4) == published else 0.0
    if is_count(measured, count):
        agrees = difference * count < 0.5 or difference <= rounded
        found = f"differs by {round(difference * count):,} of {count:,}"
    else:
        agrees = difference <= max(ROUNDING * abs(measured), rounded)
        found = f"differs by {difference:.2g}"
    if agrees:
        return ""
    if not same and interval is not None:
        low, high = interval
        return "" if low <= published <= high else f"{found}, and is outside {low:.4g} to {high:.4g}"
    if not same:
        return "" if difference <= max(ELSEWHERE * abs(measured), rounded) else found
    return found


def interval_disagreement(published: Sequence[float], measured: Sequence[float]) -> str:
    """Return how a confidence interval differs from the published one, or an empty string if they agree."""
    low, high = measured
    if max(abs(published[0] - low), abs(published[1] - high)) <= RESAMPLING * (high - low):
        return ""
    return f"the published interval is {published[0]:.4g} to {published[1]:.4g}, not {low:.4g} to {high:.4g}"


def is_count(value: float, count: int) -> bool:
    """Return whether a metric is a number of items divided by their total number, as accuracy is."""
    return abs(value * count - round(value * count)) < 1e-6
