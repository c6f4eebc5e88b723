"""`zoo check`: run the contract tests on a plugin."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.name_types import PathType, complete_target
from zoo.cli.plugin_option import naming
from zoo.cli.session import Session, print_json, standard_options
from zoo.console.tables import print_table
from zoo.console.terminal import BLANKS, dim, echo
from zoo.errors import warn

if TYPE_CHECKING:
    from zoo.testing import Outcome

COLUMNS = ("ran", "skipped", "failed")


@click.command()
@click.argument("target", shell_complete=complete_target)
@click.option("--thorough", is_flag=True, help="Also check exports and re-measure published metrics.")
@click.option(
    "--report",
    type=PathType(),
    metavar="FILE",
    help="Write a report to this .md or .json file.",
)
@standard_options
def command(session: Session, target: str, thorough: bool, report: Path | None, as_json: bool) -> int:
    """Run the contract tests on TARGET: a plugin, a distribution, or the path of a one-file plugin.

    If TARGET is PLUGIN/PATTERN, such as acme/patchnet or 'acme/*-small', only matching entries, recipes and
    weights are checked. The exit code is 1 if a check fails or a required check is skipped. This command does
    not download anything.
    """
    session.begin(f"checking {target}")
    if importlib.util.find_spec("torch") is None:  # or each entry would fail by itself
        raise ModuleNotFoundError(name="torch")
    from zoo.testing import check, shortfall
    from zoo.testing._outcomes import counts, left_out

    with naming([target] if target.endswith(".py") else []):  # a dataset finds its tokenizer there
        outcomes = check(
            target, thorough=thorough, strict=session.strict, progress=session.progress, report=report
        )
    counted = counts(outcomes)
    if as_json:
        print_json({"target": target, **counted, "checks": [asdict(outcome) for outcome in outcomes]})
    else:
        _print(outcomes)
        if any(outcome.traceback for outcome in outcomes) and not session.debug:
            echo(dim("`zoo --debug check ...` shows the traceback of each unexpected error"))
        if more := left_out(outcomes):
            echo(dim(f"--thorough also runs {' and '.join(more)}"))
    for outcome in outcomes if session.debug else ():
        if outcome.traceback:
            echo(f"{outcome.name}: {outcome.traceback}", err=True, keep=BLANKS)
    short = shortfall(outcomes)
    for message in short:
        warn(message)
    return 1 if counted["failed"] or short else 0


def _print(outcomes: list[Outcome]) -> None:
    from zoo.testing._outcomes import counts, in_lines, in_words

    rows: list[list[str]] = []
    for entry in dict.fromkeys(outcome.entry for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.entry == entry]
        for result, line in in_lines(own):
            print_table([[f"{result:7}", line]])
        counted = counts(own)
        rows.append([entry, *(str(counted[word]) for word in COLUMNS)])
    print_table(rows, ["ENTRY", *(word.upper() for word in COLUMNS)], numbers=(1, 2, 3))
    echo(in_words(outcomes))
