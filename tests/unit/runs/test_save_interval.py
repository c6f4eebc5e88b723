"""The interval at which a run is saved within an epoch."""

from __future__ import annotations

import re

import pytest

from zoo.errors import OptionError
from zoo.runs.save_interval import SaveInterval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500", SaveInterval(steps=500)),
        ("90s", SaveInterval(seconds=90.0)),
        (" 1.5 m ", SaveInterval(seconds=90.0)),
        ("1h", SaveInterval(seconds=3600.0)),
        ("0", SaveInterval()),
    ],
)
def test_an_interval_is_steps_or_a_time(text: str, expected: SaveInterval) -> None:
    assert SaveInterval.parse(text) == expected


@pytest.mark.parametrize("text", ["", "often", "5 minutes", "-3", "1.5", "3d"])
def test_other_words_are_refused(text: str) -> None:
    message = f"save interval must be a step count (500), a time (90s, 5m), or 0 to disable (got {text!r})"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        SaveInterval.parse(text)
