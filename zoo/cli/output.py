"""What goes to stdout and stderr: documents, warnings, and the options that commands share."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import click

from zoo.api.terminal import BLANKS, echo
from zoo.errors import ZooWarning

__all__ = [
    "QUIET",
    "device_option",
    "json_option",
    "quiet_option",
    "warnings_as_lines",
]

# Set in the context of a command that must be quiet
QUIET = "zoo.quiet"


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json. While the command runs, what a plugin prints goes to stderr: the document is alone."""

    @functools.wraps(command)
    def alone(*arguments: Any, as_json: bool, **settings: Any) -> Any:
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            return command(*arguments, as_json=as_json, **settings)

    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(alone)


def _be_quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        ctx.meta[QUIET] = True
        warnings.simplefilter("ignore", ZooWarning)  # until `warnings_as_lines` ends


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_be_quiet,
    help="Show no progress and no notices.",
)
device_option = click.option(
    "--device", metavar="NAME", help="Device, such as cpu or cuda.  [default: a GPU if there is one]"
)


@contextmanager
def warnings_as_lines() -> Generator[set[str]]:
    """Print each ZooWarning as one line on stderr; other warnings as Python does. Yields what was printed."""
    told: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", ZooWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about damage to pictures that it can repair
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of matplotlib, which draws a box instead

        def print_line(message: Warning | str, category: type[Warning], *where: Any, **_: Any) -> None:
            if issubclass(category, ZooWarning):
                echo(f"zoo: {message}", err=True)  # above a live line
                told.add(str(message))
            else:
                text = warnings.formatwarning(message, category, *where[:2])
                echo(text.rstrip(), err=True, keep=BLANKS)

        warnings.showwarning = print_line
        yield told
