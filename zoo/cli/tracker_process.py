"""`zoo train --track NAME`: start `zoo track` in a separate process, so that training never waits for it."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo.cli.flags import words_of
from zoo.cli.session import Session
from zoo.config import options
from zoo.config.torchrun import is_first
from zoo.console.terminal import echo
from zoo.errors import OptionError, warn
from zoo.files import run_files
from zoo.files.regular import open_regular
from zoo.registry.extras import needing_extra
from zoo.registry.plugins import CORE

# Seconds between two looks for the first file of the run, and to wait for the last rows after training
_POLL, _PATIENCE = 0.2, 10.0
# Niceness of the process, so that it yields to the training
_NICE = 10


@contextlib.contextmanager
def tracking(session: Session, tracker: str, words: Sequence[str], run: str | None) -> Generator[None]:
    """Track a run in a separate process while it trains in the `with` block, as soon as it has begun.

    In distributed training, only the first process starts a tracker.

    Args:
        tracker: name of the tracker; empty for none.
        words: options of the tracker, such as `project=mine`.

    Raises UnknownName for an unknown tracker, OptionError for an invalid option, and SpecError if the library
    of one of zoo's own is missing.
    """
    given = options.parse(words, what="--track-option")
    if not tracker:
        if given:
            raise OptionError("--track-option requires --track")
        yield
        return
    entry = session.registry.tracker(tracker)
    if entry.plugin.name == CORE and find_spec(entry.spec.extra) is None:
        with needing_extra(entry, f"the tracker {entry.spec.name}"):
            raise ModuleNotFoundError(name=entry.spec.extra)
    own = entry.check(given, flag="--track-option") if given else {}
    if run is None or not is_first():
        yield
        return
    beside = _Beside(Path(run), entry.name, own, session)
    beside.start()
    try:
        yield
    finally:
        beside.finish()


class _Beside(threading.Thread):
    """Waits for the run to begin, then for `zoo track` to end."""

    def __init__(self, directory: Path, name: str, own: Mapping[str, Any], session: Session) -> None:
        super().__init__(daemon=True)
        self._directory, self._short = directory, name.rpartition("/")[2]
        files = [word for file in session.plugin_files for word in ("--plugin", str(file))]
        self._words = ["track", str(directory), "--to", name, *words_of("--option", own), *files]
        self._progress = session.progress
        self._over = threading.Event()
        self._before = self._begun()

    def run(self) -> None:
        """Start `zoo track` once the run has written its options, and warn if it fails."""
        while self._begun() == self._before:
            if self._over.wait(_POLL) and self._begun() == self._before:
                return
        log = self._directory / f"track-{self._short}.log"
        try:
            opened = open_regular(log, write=True)
        except OSError as error:
            warn(f"tracking has not started: {log} cannot be written: {error.strerror}")
            return
        with opened as output:
            output.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zoo", *self._words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        if process.wait():
            again = shlex.join(["zoo", *self._words])
            warn(f"tracking has stopped: see {log} for the reason, and run `{again}` to continue")

    def finish(self) -> None:
        """Wait a few seconds until the last rows are sent; then the process continues on its own."""
        self._over.set()
        self.join(_PATIENCE)
        if self.is_alive() and self._progress:
            echo(f"the last metrics are still being sent to {self._short}, in the background", err=True)

    def _begun(self) -> int:
        """Return when the run last wrote its options, which it does as soon as it owns its directory."""
        try:
            return (self._directory / run_files.CONFIG).stat().st_mtime_ns
        except OSError:
            return 0
