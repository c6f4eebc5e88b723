"""The options that a sweep varies: lists such as `128,256`, and ranges such as `1e-4..1e-1:log`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from zoo.config import options
from zoo.config.near_names import did_you_mean
from zoo.errors import OptionError

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?", re.IGNORECASE)
# Tables of options besides those whose names end with `_options`
_TABLES = ("model", "data", "lr_scales")
# Options that repeat an experiment, whose results are averaged
REPEATS = ("seed", "data.fold")


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; only integers if both are integers.

    Attributes:
        log: whether to draw numbers on a logarithmic scale, so that each order of magnitude is equally
            likely.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the range has only integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


# The values of an option, by its name: `lr`, `model.NAME`, `data.NAME` or `optimizer_options.NAME`
Space = Mapping[str, Range | tuple[Any, ...]]
# One value for each option
Point = dict[str, Any]


def parse_space(over: Mapping[str, Any]) -> Space:
    """Parse the options of a sweep. A range of seeds or folds is the list of all of them.

    Args:
        over: lists of values, or strings such as `128,256`, `1e-4..1e-1:log` and `2..10`, by option.

    Raises OptionError if there are no options, if a name before a dot is not a table of options, or if an
    option has fewer than two values.
    """
    if not over:
        raise OptionError("a sweep must vary at least one option", hint="for example, vary lr=1e-3..1e-1:log")
    for name in over:
        table, dot, key = name.partition(".")
        if dot and table not in _TABLES and not table.endswith("_options"):
            nearest = did_you_mean(name, [f"{each}_options.{key}" for each in ("optimizer", "schedule")])
            hint = "options with a dot are model.NAME, data.NAME, lr_scales.NAME and optimizer_options.NAME"
            raise OptionError(f"unknown option {name}{nearest}", hint=hint)
    return {name: _parse(name, values) for name, values in over.items()}


def _parse(name: str, values: Any) -> Range | tuple[Any, ...]:
    given = options.shown(values)
    if isinstance(values, str):
        found = _RANGE.fullmatch(values.strip())
        if found is not None:
            drawn = _range(name, *found.groups())
            every = name in REPEATS and drawn.whole
            return tuple(range(int(drawn.low), int(drawn.high) + 1)) if every else drawn
        values = [options.Typed(part.strip()) for part in values.split(",")]
    if not isinstance(values, Sequence):
        raise OptionError(f"over {name} must be a list or a range such as 1e-4..1e-1:log (got {given})")
    listed = tuple(cast("Sequence[Any]", values))
    if len({*map(options.text, listed)}) < 2 or len({*map(options.text, listed)}) < len(listed):
        message = f"over {name} must be a list of at least two values, all different, or a range"
        hint = "for example, a list such as 0.01,0.1 or a range such as 1e-4..1e-1:log"
        raise OptionError(f"{message} (got {given})", hint=hint)
    return listed


def _range(name: str, first: str, last: str, log: str | None) -> Range:
    whole = all(part.lstrip("+-").isdigit() for part in (first, last))
    low, high = (int(first), int(last)) if whole else (float(first), float(last))
    if not low < high or (log and low <= 0):
        rule = "must increase from a number greater than 0" if log else "must increase"
        raise OptionError(f"over {name}: the range {first}..{last}{log or ''} {rule}")
    return Range(low, high, log=bool(log))


def grid(space: Space) -> Iterator[Point]:
    """Yield every combination of values; the last option varies fastest.

    Raises OptionError if an option has a range.
    """
    for name, values in space.items():
        if isinstance(values, Range):
            message = (
                f"the grid method requires a list of values for {name} (got the range {as_text(values)})"
            )
            raise OptionError(message, hint="list values, such as 1e-3,1e-2, or choose a different method")
    listed = cast("Mapping[str, tuple[Any, ...]]", space)
    for values in itertools.product(*listed.values()):
        yield dict(zip(listed, values, strict=True))


def each_value(space: Space) -> Iterator[Point]:
    """Yield points with each value of an option, or both ends of its range, and first values of others."""
    listed = {
        name: (each.low, each.high) if isinstance(each, Range) else each for name, each in space.items()
    }
    first = {name: values[0] for name, values in listed.items()}
    for name, values in listed.items():
        for value in values:
            yield {**first, name: value}


def flat(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `zoo.train` by names such as `lr` and `model.depth`, without those not set."""
    tables = {key: value for key, value in training.items() if isinstance(value, Mapping)}
    named = {key: value for key, value in training.items() if key not in tables and value is not None}
    for table, values in tables.items():
        named |= {f"{table}.{key}": value for key, value in values.items()}
    return named


def is_listed(space: Space) -> bool:
    """Return whether every option has a list of values."""
    return not any(isinstance(values, Range) for values in space.values())


def as_text(values: Range | tuple[Any, ...]) -> str:
    """Return the values of an option as a user would type them."""
    if isinstance(values, Range):
        return f"{values.low}..{values.high}{':log' * values.log}"
    return ",".join(map(options.text, values))
