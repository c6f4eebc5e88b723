"""A report of the contract kit's results that an author can publish, as Markdown or JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from textwrap import indent
from typing import Any

from zoo._version import __version__
from zoo.errors import OptionError, OutputError, printable
from zoo.files.atomic import atomic_write
from zoo.files.canonical import readable_json
from zoo.testing._outcomes import Outcome, counts, in_lines, in_words, shortfall
from zoo.testing._table import CHECKS

_FORMATS = (".md", ".json")


def require_format(path: Path) -> None:
    """Raise OptionError unless reports can have this suffix, and OutputError if the folder does not exist."""
    if path.suffix not in _FORMATS:
        raise OptionError(f"a report's file name must end in {' or '.join(_FORMATS)} (got {path.name!r})")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path.name}: no such folder: {path.parent}")


def write_report(
    path: Path, target: str, plugins: Sequence[Mapping[str, str]], outcomes: list[Outcome]
) -> None:
    """Write a report of the checks, with the versions and the outcomes.

    Args:
        path: file to write; its suffix, `.md` or `.json`, determines the format.
        target: the target of the checks, as the user named it.
        plugins: the `name`, `distribution` and `version` of each plugin that was checked.

    Raises:
        OptionError: the suffix is not supported.
        OSError: the file cannot be written.
    """
    require_format(path)
    facts: dict[str, Any] = {
        "target": Path(target).name if target.endswith(".py") else target,
        "plugins": [*plugins],
        "versions": {"zoo": __version__, "torch": version("torch"), "python": platform.python_version()},
        **counts(outcomes),
        "shortfall": shortfall(outcomes),
        "checks": [asdict(outcome) for outcome in outcomes],
    }
    text = _markdown(facts, outcomes) if path.suffix == ".md" else f"{readable_json(facts)}\n"
    with atomic_write(path) as file:
        file.write(text.encode())


def _markdown(facts: Mapping[str, Any], outcomes: list[Outcome]) -> str:
    result = "Failed" if facts["failed"] or facts["shortfall"] else "Passed"
    plugins = (
        f"{plugin['name']} ({' '.join(filter(None, [plugin['distribution'], plugin['version']]))})"
        for plugin in facts["plugins"]
    )
    versions = (f"{name} {number}" for name, number in facts["versions"].items())
    parts = [
        f"# Contract kit report for {facts['target']}\n",
        "; ".join([f"{result}: {in_words(outcomes)}", *facts["shortfall"]]) + "\n",
        f"Checked: {', '.join(plugins)}, with {', '.join(versions)}.\n",
    ]
    entries, noted = list[Sequence[object]](), list[Sequence[object]]()
    for name in dict.fromkeys(outcome.entry for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.entry == name]
        entries.append([name, *counts(own).values()])
        noted += in_lines(own)
    done = {(outcome.kind, outcome.check) for outcome in outcomes}
    asked = [
        (check.name, (check.load().__doc__ or "").split("\n")[0])
        for check in CHECKS
        if (check.kind, check.name) in done
    ]
    for title, head, rows in (
        ("Entries", ["entry", *counts(outcomes)], entries),
        ("Failures, warnings and skipped checks", ["result", "check and reason"], noted),
        ("What was checked", ["check", "promise"], asked),
    ):
        if rows:
            table = "".join(
                f"| {' | '.join(map(_cell, row))} |\n" for row in (head, [":--"] * len(head), *rows)
            )
            parts.append(f"## {title}\n\n{table}")
    for outcome in (one for one in outcomes if one.traceback):
        trace = indent(printable(outcome.traceback, keep="\n"), "    ")
        parts.append(f"## Traceback of {_cell(outcome.name)}\n\n{trace}")
    return "\n".join(parts)


def _cell(value: object) -> str:
    """Return text for a cell of Markdown."""
    return " ".join(str(value).split()).replace("<", "&lt;").replace("|", "\\|")
