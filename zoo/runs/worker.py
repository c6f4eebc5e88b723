"""Run one process of distributed training, as started by `zoo.runs.processes`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from zoo.distributed.parent import end_with


def die_with(parent: int) -> None:
    """End this process on SIGINT or SIGTERM, even within C++ code, or when `parent` has ended.

    This applies until training handles signals itself and saves the run before the process ends.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent dies of it, and SIGTERM follows
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    end_with(parent)


def main() -> int:
    """Run the job read from stdin, write a report as the last line of stdout, and return the exit code.

    Output from plugins goes to stderr.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or each would print lines of C++
    import json

    from zoo.config.torchrun import is_first
    from zoo.console.terminal import warnings_as_lines
    from zoo.errors import Lost, ZooError, first_line
    from zoo.runs.jobs import run_job

    job = json.load(sys.stdin)
    sys.stdout = sys.stderr
    failure: ZooError | None = None
    with warnings_as_lines(printed=job.pop("printed") and is_first()) as told:
        try:
            run_job(job)
        except ZooError as error:
            failure = error
        except (Exception, SystemExit) as error:
            hint = "; ".join([*getattr(error, "__notes__", ()), "train in one process to see the traceback"])
            failure = ZooError(f"{type(error).__name__}: {first_line(error)}", hint=hint)
    as_told = failure and {
        "kind": type(failure).__name__,
        "message": str(failure),
        "hint": failure.hint,
        "exit_code": failure.exit_code,
        "waited": failure.waited if isinstance(failure, Lost) else 0,
    }
    report = json.dumps({"warnings": told, "error": as_told, "finished": failure is None})
    with contextlib.suppress(OSError):  # the disk is full
        os.write(1, f"\n{report}".encode())
    return failure.exit_code if failure else 0


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    code = main()
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison] - closed by who started zoo
        sys.stderr.flush()
    os._exit(code)  # torch.distributed's threads may abort an interpreter that ends
