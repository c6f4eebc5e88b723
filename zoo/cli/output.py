"""The options that commands share, and what they mean for stdout and stderr."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

import click

from zoo.errors import ZooWarning

__all__ = [
    "LAST",
    "QUIET",
    "device_option",
    "json_option",
    "last_option",
    "quiet_option",
]

# Set in the context of a command that must be quiet
QUIET = "zoo.quiet"
# Set in the context of a command that takes the last weights of a run
LAST = "zoo.last"


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


def _take_last(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    ctx.meta[LAST] = value


last_option = click.option(
    "--last",
    is_flag=True,
    expose_value=False,
    callback=_take_last,
    help="Use the last weights of a run directory rather than its best ones.",
)
device_option = click.option(
    "--device", metavar="NAME", help="Device, such as cpu or cuda.  [default: a GPU if there is one]"
)
