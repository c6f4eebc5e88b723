"""One of several processes of a training, which `zoo.api.processes` starts."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from pathlib import Path

from zoo.errors import ZooError, ZooWarning, first_line
from zoo.training.parent import end_with

__all__ = ["main"]


def main(folder: Path) -> int:
    """Do this process's part of the job in a folder, and return the exit code.

    What plugins print goes to stderr: stdout is for what the command prints.
    """
    # They import torch, which takes long enough to be interrupted
    from zoo.api.processes import report_failure
    from zoo.api.terminal import warnings_as_lines
    from zoo.api.training import train_job

    job = json.loads((folder / "job.json").read_text())
    quiet = job.pop("quiet")
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings_as_lines():
            if quiet:
                warnings.simplefilter("ignore", ZooWarning)
            train_job(job)
    except ZooError as error:
        report_failure(error, folder)
        return error.exit_code
    except Exception as error:
        hint = "; ".join([*getattr(error, "__notes__", ()), "one process shows where this comes from"])
        report_failure(ZooError(f"{type(error).__name__}: {first_line(error)}", hint=hint), folder)
        return 1
    return 0


if __name__ == "__main__":
    end_with(int(sys.argv[2]))  # before anything takes long
    try:
        code = main(Path(sys.argv[1]))
    except KeyboardInterrupt:
        code = 130
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # pyright: ignore[reportUnnecessaryComparison] - closed by who started zoo
            stream.flush()
    os._exit(code)  # threads of torch.distributed may abort an interpreter that ends
