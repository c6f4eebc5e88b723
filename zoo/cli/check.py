"""`zoo check`: the contract kit, run on a plugin."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from zoo.api.terminal import echo
from zoo.cli.layout import print_table
from zoo.cli.names import TargetType
from zoo.cli.output import json_option, quiet_option
from zoo.cli.session import Session, pass_session, print_json
from zoo.errors import warn

if TYPE_CHECKING:
    from zoo.testing import Outcome

COLUMNS = ("ran", "skipped", "failed")


@click.command()
@click.argument("target", type=TargetType())
@json_option
@quiet_option
@pass_session
def command(session: Session, target: str, as_json: bool) -> int:
    """Run the contract kit on TARGET: a plugin, a distribution, or the path of a one-file plugin.

    PLUGIN/PATTERN checks some of a plugin's entries, such as acme/patchnet or 'acme/*-small'.

    The exit code is 1 if a check fails, or if fewer ran than an entry of its kind requires. Nothing is
    downloaded.
    """
    session.begin(f"checking {target}")
    registry = None if target.endswith(".py") else session.registry

    from zoo.testing import check, shortfall

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no part of the output
        outcomes = check(target, progress=session.progress, registry=registry)
    counts = _counts(outcomes)
    if as_json:
        print_json({"target": target, **counts, "checks": [asdict(outcome) for outcome in outcomes]})
    else:
        _print(outcomes, counts)
    short = shortfall(outcomes)
    for message in short:
        warn(message)
    return 1 if counts["failed"] or short else 0


def _counts(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return how many ran (whatever the outcome), were skipped, failed, and failed as expected."""
    results = [outcome.outcome for outcome in outcomes]
    ran = {"ran": len(results) - results.count("skipped")}
    return ran | {word: results.count(word) for word in ("skipped", "failed", "xfailed")}


def _print(outcomes: list[Outcome], counts: dict[str, Any]) -> None:
    rows: list[list[str]] = []
    for entry in dict.fromkeys(outcome.entry for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.entry == entry]
        counted = _counts(own)
        if counted["ran"]:
            for outcome in own:
                if outcome.outcome in ("failed", "skipped"):
                    _print_outcome(outcome.outcome, f"{outcome.plugin}/{outcome.name}: {outcome.reason}")
        else:
            _print_outcome("skipped", f"{entry}: {own[0].reason}")
        rows.append([entry, *(str(counted[word]) for word in COLUMNS)])
    print_table(rows, ["ENTRY", *(word.upper() for word in COLUMNS)], numbers=(1, 2, 3))
    echo(", ".join(f"{counts[word]} {word}" for word in COLUMNS))


def _print_outcome(outcome: str, text: str) -> None:
    print_table([[f"{outcome:7}", text]])
