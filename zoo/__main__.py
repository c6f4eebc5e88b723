"""The `zoo` command, also run as `python -m zoo`."""

import gc
import os
import signal


def main() -> None:
    """Import the command line and run it. Ctrl-C during the import exits at once, without a traceback."""
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if listens:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if "RANK" in os.environ:  # torchrun may end while torch is imported
        from zoo.distributed.parent import end_with

        end_with(os.getppid())
    from zoo import cli

    if listens:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli.main()
    finally:
        gc.freeze()  # so that Python does not look through all that torch has imported before it ends: 0.4 s


if __name__ == "__main__":
    main()
