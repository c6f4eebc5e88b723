"""Trackers for the kit's own tests: honest ones, and those that fail a check, made from an honest one."""

import dataclasses
import json
from pathlib import Path

from zoo.plugin import Tracker


class Remembers(Tracker):
    """Stores rows in a file of the working folder, under the id of the run."""

    def begin(self, run):
        self._file = Path(f"{self.key(run)}.jsonl")
        self._run = run
        if not self._file.exists():
            return 0
        return max((json.loads(line)["step"] for line in self._file.read_text().splitlines()), default=0)

    def key(self, run):
        return run.id

    def log(self, rows):
        with self._file.open("a") as file:
            for row in rows:
                file.write(json.dumps({"step": row.step, "time": row.time, **row.values}) + "\n")

    def end(self, status):
        self._file.with_suffix(".status").write_text(status)


class IgnoresItsFolder(Remembers):
    def __init__(self, *, folder: str = ""):
        pass


class UntypedFolder(Remembers):
    def __init__(self, *, folder=""):
        self._folder = folder


class CannotBeAsked(Remembers):
    def begin(self, run):
        super().begin(run)


class StoresNothing(Remembers):
    def begin(self, run):
        super().begin(run)

    def log(self, rows):
        pass

    def end(self, status):
        pass


class StoresSteps(Remembers):
    def log(self, rows):
        super().log([dataclasses.replace(row, values={}) for row in rows])


class Foreign:
    """No Tracker, although it has its methods."""

    def begin(self, run):
        return 0

    def log(self, rows):
        pass

    def end(self, status):
        pass


class NeedsAnArgument(Remembers):
    def __init__(self, *, address: str):
        self.address = address


class ImportsTorch(Remembers):
    def __init__(self):
        import torch

        self.version = torch.__version__


class ImportsWhenMade(Remembers):
    def __init__(self):
        import no_such_package  # pyright: ignore[reportMissingImports]

        self.package = no_such_package


class Forgets(Remembers):
    def begin(self, run):
        super().begin(run)
        return 0


class ReturnsTheNext(Remembers):
    def begin(self, run):
        last = super().begin(run)
        return last + 1 if last else 0


class FindsByName(Remembers):
    def key(self, run):
        return run.name


class BeginsAtOne(Remembers):
    def begin(self, run):
        return super().begin(run) or 1


class Raises(Remembers):
    def log(self, rows):
        raise ConnectionError("no route to host")


class WritesToTheLog(Remembers):
    def end(self, status):
        path = self._run.directory / "steps.jsonl"
        if path.exists():
            path.write_text(path.read_text() + "{}\n")


class DeletesTheConfig(Remembers):
    def end(self, status):
        (self._run.directory / "config.toml").unlink(missing_ok=True)
