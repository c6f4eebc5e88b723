"""Printing: JSON documents, plain tables, and the options commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

__all__ = ["bytes_text", "json_option", "notice", "print_json", "print_pairs", "print_table"]

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(command)


def print_json(document: object) -> None:
    """Print a JSON document on stdout."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, each as wide as its widest cell."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """Print `name  value` lines, leaving out what is empty."""
    shown = [(name, str(value)) for name, value in pairs if value not in ("", None, {}, (), [])]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def notice(text: str) -> None:
    """Tell something in passing, on stderr."""
    click.echo(f"zoo: {text}", err=True)


def bytes_text(count: int) -> str:
    """Return a size for people.

    >>> bytes_text(600_901)
    '601 kB'
    """
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
