"""`zoo check`: the contract kit on a plugin."""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.names import TargetType
from zoo.cli.output import json_option, notice, print_json, print_table
from zoo.cli.session import Session, pass_session
from zoo.errors import UnknownName, did_you_mean
from zoo.registry import plugins
from zoo.registry.registry import Registry

if TYPE_CHECKING:
    from zoo.testing import Outcome

COUNTED = ("ran", "skipped", "failed")


@click.command()
@click.argument("target", type=TargetType())
@json_option
@pass_session
def command(session: Session, target: str, as_json: bool) -> int:
    """Run the contract kit on TARGET: a plugin, a distribution, or a one-file plugin's path.

    PLUGIN/PATTERN checks some of a plugin's entries, such as acme/patchnet or 'acme/*-small'.

    Ends with 1 if a check fails, or if fewer ran than the kind of an entry demands. Nothing is fetched.
    """
    registry, names = _resolve(session, target)

    from zoo.testing import run_checks, shortfall

    with contextlib.redirect_stdout(sys.stderr):  # a model under check may print
        outcomes = [outcome for name in names for outcome in run_checks(registry, name)]
    counts = _counts(outcomes)
    if as_json:
        print_json({"target": target, **counts, "checks": [asdict(outcome) for outcome in outcomes]})
    else:
        _print(outcomes, counts)
    short = shortfall(outcomes)
    for message in short:
        notice(message)
    return 1 if counts["failed"] or short else 0


def _resolve(session: Session, target: str) -> tuple[Registry, list[str]]:
    """Return where the plugins behind a target are, and their names."""
    if target.endswith(".py"):
        return _one_file(Path(target))
    registry = session.registry
    names = [target for plugin in registry.plugins if plugin.name == target.partition("/")[0]]
    if not names:
        brought = [plugin for plugin in registry.plugins if plugin.dist]
        names = [plugin.name for plugin in brought if _normal(plugin.distribution) == _normal(target)]
    if not names:
        known = [word for plugin in registry.plugins for word in (plugin.name, plugin.distribution)]
        raise UnknownName(
            f"no plugin or distribution {target!r}{did_you_mean(target, known)}",
            hint="`zoo plugins` shows all; a one-file plugin is named by its path, ending in .py",
        )
    return registry, list(dict.fromkeys(names))


def _one_file(path: Path) -> tuple[Registry, list[str]]:
    if not path.is_file():
        raise UnknownName(f"there is no file {path}")
    found = plugins.discover(only=[path.stem.replace("_", "-")], local=[path.resolve()])
    return Registry(found[-1:]), [found[-1].name]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _counts(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return how many ran (whatever came of it), were skipped, failed, and failed as expected."""
    found = [outcome.outcome for outcome in outcomes]
    told = {"ran": len(found) - found.count("skipped")}
    return told | {word: found.count(word) for word in ("skipped", "failed", "xfailed")}


def _print(outcomes: list[Outcome], counts: dict[str, Any]) -> None:
    rows: list[list[str]] = []
    for entry in dict.fromkeys(outcome.entry for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.entry == entry]
        counted = _counts(own)
        if counted["ran"]:
            for outcome in own:
                if outcome.outcome in ("failed", "skipped"):
                    click.echo(f"{outcome.outcome:7}  {outcome.plugin}/{outcome.name}: {outcome.reason}")
        else:
            click.echo(f"skipped  {entry}: {own[0].reason}")
        rows.append([entry, *(str(counted[word]) for word in COUNTED)])
    print_table(["ENTRY", "RAN", "SKIPPED", "FAILED"], rows)
    click.echo(", ".join(f"{counts[word]} {word}" for word in COUNTED))
