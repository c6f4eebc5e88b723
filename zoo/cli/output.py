"""Printing: lines, JSON documents, warnings, and the options that commands share."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click

from zoo.errors import ZooWarning, printable

__all__ = [
    "QUIET",
    "device_option",
    "echo",
    "json_option",
    "print_json",
    "quiet_option",
    "warnings_as_lines",
]

# Set in the context of a command that must be quiet
QUIET = "zoo.quiet"

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


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
    "--device", metavar="NAME", help="Device, such as cpu or cuda.  [default: cuda if available]"
)


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a line, with everything escaped that a terminal would obey or could not show."""
    click.echo(printable(str(text)), err=err)


def print_json(document: object) -> None:
    """Print a JSON document on stdout."""
    import json  # not needed to print a table

    def printable_json(line: str) -> str:
        return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in line)

    lines = json.dumps(document, ensure_ascii=False, indent=2).split("\n")
    click.echo("\n".join(map(printable_json, lines)))


@contextmanager
def warnings_as_lines() -> Generator[None]:
    """Print each ZooWarning as one line on stderr; other warnings stay as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ZooWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about damage to pictures that it can repair
        show = warnings.showwarning

        def print_line(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, ZooWarning):
                if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison] - it may be closed
                    print(printable(f"zoo: {message}"), file=sys.stderr, flush=True)  # above a live line
            else:
                show(message, category, *where, **more)

        warnings.showwarning = print_line
        yield
