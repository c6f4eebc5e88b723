"""One of several processes of a training, which `zoo.api.processes` starts."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__: list[str] = []


def main(place: str, parent: str) -> int:
    """Do this process's part of the job in a folder, and return the exit code.

    What plugins print goes to stderr: stdout is for what the command prints.
    """
    from zoo.distributed.parent import end_with

    end_with(int(parent))  # before anything takes long
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or each would print lines of C++
    import json
    from pathlib import Path

    from zoo.api.suspending import can_be_stopped

    folder = Path(place)
    can_be_stopped(folder)
    from zoo.api.processes import report, report_failure, report_success
    from zoo.api.training import train_job
    from zoo.console.terminal import warnings_as_lines
    from zoo.errors import ZooError, first_line

    job = json.loads((folder / "job.json").read_text())
    with contextlib.redirect_stdout(sys.stderr), warnings_as_lines(printed=job.pop("printed")) as told:
        try:
            train_job(job)
            report_success(folder)
            return 0
        except ZooError as error:
            report_failure(error, folder)
            return error.exit_code
        except (Exception, SystemExit) as error:
            if interrupt := _interrupt(error):
                raise interrupt from None
            hint = "; ".join([*getattr(error, "__notes__", ()), "one process shows where this comes from"])
            report_failure(ZooError(f"{type(error).__name__}: {first_line(error)}", hint=hint), folder)
            return 1
        finally:
            report("warnings", told, folder)


def _interrupt(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the interrupt that an error comes from, if it does; Python 3.11 wraps some while it imports."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


class _Terminated(KeyboardInterrupt):
    """SIGTERM, before or after the training, which handles it itself."""


def _terminate(*_: object) -> None:
    raise _Terminated


if __name__ == "__main__":
    try:  # from here on, as what is imported takes long enough to be interrupted
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
            signal.signal(signal.SIGTERM, _terminate)
        code = main(*sys.argv[1:])
    except KeyboardInterrupt as error:
        code = 143 if isinstance(error, _Terminated) else 130
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # pyright: ignore[reportUnnecessaryComparison] - closed by who started zoo
            stream.flush()
    if os.getppid() != int(sys.argv[2]):  # nobody else is left to remove it
        import shutil

        shutil.rmtree(sys.argv[1], ignore_errors=True)
    os._exit(code)  # threads of torch.distributed may abort an interpreter that ends
