"""Open the dataset under check again, as if at a later time, or in a different process."""

from __future__ import annotations

import os
import time
from unittest import mock

from zoo.testing._case import Case, ProcessFailed
from zoo.testing._data import described, opened, usual_options
from zoo.testing._fresh import ask_shared
from zoo.testing._models import all_drawing_from


def reopened(case: Case, *, seed: int = 0, later: float = 0, process: int = 0) -> dict[str, str]:
    """Describe the dataset when opened again, as if at a later time or in a process with a different id."""
    clock, number = time.time, os.getpid() + process

    def moved_clock() -> float:
        return clock() + later

    with (
        all_drawing_from(seed),
        mock.patch.object(time, "time", moved_clock),
        mock.patch.object(os, "getpid", return_value=number),
    ):
        return described(opened(case))


def in_new_process(case: Case) -> dict[str, str]:
    """Describe the dataset as a new process opens it; empty if opening fails."""

    def describe() -> dict[str, str]:
        try:
            return ask_shared(case, "describe", dataset=case.entry.name, options=usual_options(case))
        except ProcessFailed:
            return {}

    return case.kept("described", describe)
