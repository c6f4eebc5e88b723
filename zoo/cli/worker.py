"""One of several processes of a training, which `zoo.api.processes` starts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from zoo.api.processes import report_failure
from zoo.api.training import train_job
from zoo.cli.output import warnings_as_lines
from zoo.errors import ZooError
from zoo.training.parent import end_with

__all__ = ["main"]


def main(folder: Path) -> int:
    """Do this process's part of the job in a folder, and return the exit code."""
    try:
        with warnings_as_lines():
            train_job(json.loads((folder / "job.json").read_text()))
    except ZooError as error:
        report_failure(error, folder)
        return error.exit_code
    return 0


if __name__ == "__main__":
    end_with(int(sys.argv[2]))  # before anything takes long
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of torch.distributed may abort an interpreter that ends
