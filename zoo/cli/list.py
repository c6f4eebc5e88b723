"""`zoo list`: list registry entries without importing them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from zoo.api.entry_lists import rows, shortest, with_weights_of
from zoo.cli.flags import flags_in_errors
from zoo.cli.name_types import PLURALS, complete_kind
from zoo.cli.session import Session, print_json, standard_options
from zoo.config.near_names import did_you_mean
from zoo.config.synonyms import ways
from zoo.console.figures import figure
from zoo.console.tables import columns, print_paragraph, print_table, print_title
from zoo.console.terminal import dim, echo
from zoo.errors import UnknownName
from zoo.registry.name_index import KINDS
from zoo.registry.registry import Registry
from zoo.registry.specs import TaskSpec

# Columns of a terminal that the table of weights fits
_WIDE = 80
# How many entries of a kind a plugin may have to be listed one by one on a terminal, without a pattern: in
# the list of everything, and in that of one kind
_FEW, _MANY = 20, 100
# Kinds whose entries have a line each in the list of everything; the others' names share a paragraph
_DESCRIBED = ("architecture", "dataset", "analyzer", "weights", "task")
# What a kind may be called
_KINDS = {
    **{word: kind for kind, plural in PLURALS.items() for word in (kind, plural)},
    "model": "architecture",
    "models": "architecture",
    "weight": "weights",
}


@click.command("list")
@click.argument("kind", required=False, shell_complete=complete_kind)
@click.argument("pattern", required=False)
@click.option(
    "--where", metavar="EXPR", help="Filter, such as 'task=classification' or 'params<1e6 and plugin=acme'."
)
@click.option(
    "--remote", metavar="ZOO", help="List the weights of a zoo: the name of a remote, a folder or an address."
)
@flags_in_errors
@standard_options
def command(
    session: Session,
    kind: str | None,
    pattern: str | None,
    where: str | None,
    remote: str | None,
    as_json: bool,
) -> None:
    """List all entries, or only those of one KIND or with names that match PATTERN (a substring or a glob).

    KIND is one of architectures (or models), datasets, analyzers, recipes, weights, tasks, groups (of
    training options), optimizers, schedules, augmentations, metrics, tokenizers, commands (from plugins),
    options (that plugins add to commands), exporters and trackers. On a terminal, long lists are shortened;
    pass a KIND or a PATTERN, or pipe the output, to see every entry. Weights of remotes are listed as they
    were when the remote was last used; --remote reads the current list.

    \b
    zoo list models 'resnet*'
    zoo list weights --where 'accuracy>0.9'
    """
    wanted = _KINDS.get(kind.lower()) if kind else None
    if kind is not None and wanted is None:
        if pattern is not None:
            message = f"must be one of {', '.join(PLURALS.values())} (got {kind!r})"
            raise click.BadParameter(message, param_hint="KIND")
        pattern = kind
    registry = with_weights_of(session.registry, remote)
    if remote is not None and wanted not in ("recipe", "weights"):
        wanted = "weights"
    chosen = rows(registry, wanted, pattern, where)
    registry.tell_replaced(row["name"] for row in chosen if row["kind"] == "recipe")
    problem = "" if chosen else _why_empty(registry, wanted, pattern)
    if as_json:
        print_json(chosen)
    elif chosen:
        in_short = bool(columns()) and not (pattern or where)
        if in_short:
            chosen = _in_short(chosen, _MANY if wanted else _FEW)
        _print(chosen, registry, describe=KINDS if wanted or not in_short else _DESCRIBED)
    else:
        echo(f"zoo: {problem}", err=True)


def _in_short(chosen: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return the rows; if a plugin has more than `most` entries of one kind, replace them with one row."""
    counts = Counter((row["kind"], row.get("plugin", "")) for row in chosen)
    short: dict[tuple[str, str], dict[str, Any]] = {}
    for row in chosen:
        (kind, plugin), name = (row["kind"], row.get("plugin", "")), row["name"]
        if plugin and counts[kind, plugin] > most:
            plural, name = PLURALS[kind], f"{plugin}/*"
            summary = f"{counts[kind, plugin]:,} entries: `zoo list {plural} '{name}'`"
            row = {"kind": kind, "plugin": plugin, "task": row["task"], "name": name, "summary": summary}
        short.setdefault((kind, name), row)
    return [*short.values()]


def _print(chosen: list[dict[str, Any]], registry: Registry, *, describe: Collection[str]) -> None:
    """Print entries by kind and task, each kind in `describe` with a line for each entry."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(chosen, key=lambda row: (KINDS.index(row["kind"]), row["task"])):
        groups.setdefault((row["kind"], row["task"] if row["kind"] in describe else ""), []).append(row)
    for number, ((kind, task), members) in enumerate(groups.items()):
        if number:
            echo()
        first, *others = task.split(", ")
        tasks = f"{first} and {len(others)} other tasks" if len(others) > 1 else task
        print_title(PLURALS[kind].capitalize(), f"for {tasks}" if task else "")
        if kind not in describe:
            print_paragraph(", ".join(shortest(registry, row) for row in members), indent=2)
            continue
        complete = all("seeds" in row for row in members)
        if kind == "weights" and task in registry.tasks and complete and (columns() or _WIDE) >= _WIDE:
            _print_weights(members, registry.tasks[task])
            continue
        width = max(len(row["name"]) for row in chosen if row["kind"] == kind)
        print_table([[row["name"].ljust(width), _summary(row)] for row in members], indent=2, cut=True)
    if columns():
        echo()
        more = " You can omit the plugin name and the slash." if "/" in chosen[0]["name"] else ""
        kinds = (
            "" if describe is KINDS else "`zoo list KIND` describes each entry, as in `zoo list optimizers`. "
        )
        print_paragraph(f"{kinds}`zoo show NAME` shows the details of an entry.{more}")


def _print_weights(members: Sequence[Mapping[str, Any]], task: TaskSpec) -> None:
    """Print weights by data, the best first, with an asterisk if the file is not on this machine."""
    header = ["NAME", "DATA", task.primary_metric.upper(), "SEEDS", "PARAMETERS", "SIZE"]
    unit = task.units.get(task.primary_metric, "")
    sign = -1 if task.primary_metric in task.higher_is_better else 1
    members = sorted(
        members, key=lambda row: (row["dataset"], sign * row.get(task.primary_metric, sign * math.inf))
    )
    cells = [
        [
            row["name"],
            row["dataset"].rpartition("/")[2],
            figure(row[task.primary_metric], unit) if task.primary_metric in row else "",
            str(row["seeds"]),
            f"{row['params']:,}",
            f"{row['bytes'] / 1e6:.1f} MB{' ' if row['at_hand'] else '*'}",
        ]
        for row in members
    ]
    print_table(cells, header, indent=2, numbers=(2, 3, 4, 5))
    if not all(row["at_hand"] for row in members):
        echo(dim("  * not on this machine; `zoo inspect NAME` explains how to get it"))


def _summary(row: Mapping[str, Any]) -> str:
    """Return the summary of an entry, with the number of parameters if an architecture declares it."""
    counted = row["kind"] == "architecture" and row.get("params")
    return f"{row['summary']}, {row['params']:,} parameters" if counted else row["summary"]


def _why_empty(registry: Registry, kind: str | None, pattern: str | None) -> str:
    """Return the reason for an empty list. Raises UnknownName for a pattern that does not match any name."""
    everything = rows(registry, kind)
    plural = PLURALS[kind] if kind else "entries"
    hint = f"`zoo list{f' {plural}' if kind else ''}` shows all names"
    if everything and pattern and not any(mark in pattern for mark in "*?["):
        if kind is None and (way := next(iter(ways(pattern, "commands")), "")):
            raise UnknownName(f"unknown kind {pattern!r}; did you mean `{way}`?")
        known = registry.names.words(kind) if kind else [*registry.names.words(), *PLURALS.values()]
        nearest = did_you_mean(pattern, known)
        raise UnknownName(f"no matches for {pattern!r}{nearest}", hint=hint)
    nothing = f"no {plural} found; `zoo plugins` shows what each plugin provides"
    return f"no matches; {hint}" if everything else nothing
