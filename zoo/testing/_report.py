"""A report on the contract kit that an author can publish: as Markdown or as JSON."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zoo._version import __version__
from zoo.errors import OptionError, OutputError
from zoo.files.atomic import atomic_write
from zoo.files.canonical import readable_json
from zoo.testing._outcomes import Outcome, counts, in_lines, in_words, shortfall
from zoo.testing._table import CHECKS

__all__ = ["require_format", "write_report"]

_COUNTS = ("ran", "skipped", "failed", "xfailed", "warned")


def require_format(path: Path) -> None:
    """Raise OptionError unless a report can have this suffix, OutputError if there is no such folder."""
    if path.suffix not in _FORMATS:
        raise OptionError(f"a report must end in {' or '.join(_FORMATS)} (got {path.name!r})")
    if not path.parent.is_dir():
        raise OutputError(f"there is no folder {path.parent} to write {path.name} to")


def write_report(
    path: Path, target: str, plugins: Sequence[Mapping[str, str]], outcomes: list[Outcome]
) -> None:
    """Write what was checked, with which versions, and how it ended.

    Args:
        path: file to write, whose suffix `.md` or `.json` says as what.
        target: what was checked, as it was named.
        plugins: the `name`, `distribution` and `version` of each plugin that was checked.

    Raises:
        OptionError: the suffix is another.
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
    with atomic_write(path) as file:
        file.write(_FORMATS[path.suffix](facts, outcomes).encode())


def _as_json(facts: Mapping[str, Any], outcomes: list[Outcome]) -> str:  # noqa: ARG001
    return f"{readable_json(facts)}\n"


def _markdown(facts: Mapping[str, Any], outcomes: list[Outcome]) -> str:
    parts = [
        f"# The contract kit on {facts['target']}\n",
        f"{_verdict(facts, outcomes)}\n",
        _about(facts) + "\n",
    ]
    for title, rows, numbers in _tables(outcomes):
        parts.append(f"## {title}\n\n{_table(rows, numbers)}")
    return "\n".join(parts)


def _table(rows: Sequence[Sequence[str]], numbers: bool) -> str:
    head, *others = [[_marked(cell) for cell in row] for row in rows]
    rule = [":--", *(["--:"] if numbers else [":--"]) * (len(head) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *others))


def _marked(text: str) -> str:
    """Return text for a cell of Markdown."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def _verdict(facts: Mapping[str, Any], outcomes: list[Outcome]) -> str:
    result = "Failed" if facts["failed"] or facts["shortfall"] else "Passed"
    return "; ".join([f"{result}: {in_words(outcomes)}", *facts["shortfall"]])


def _about(facts: Mapping[str, Any]) -> str:
    """Return a line on what was checked and with what."""
    plugins = (
        f"{plugin['name']} ({' '.join(filter(None, [plugin['distribution'], plugin['version']]))})"
        for plugin in facts["plugins"]
    )
    versions = (f"{name} {number}" for name, number in facts["versions"].items())
    return f"Checked: {', '.join(plugins)}, with {', '.join(versions)}."


def _tables(outcomes: list[Outcome]) -> list[tuple[str, list[list[str]], bool]]:
    """Return the title and the rows of each table, the first one the header, and whether they are numbers."""
    entries = [["entry", *_COUNTS]]
    noted = [["result", "check and reason"]]
    for name in dict.fromkeys(outcome.entry for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.entry == name]
        counted = counts(own)
        entries.append([name, *(str(counted[word]) for word in _COUNTS)])
        noted += [[result, line] for result, line in in_lines(own)]
    done = {(outcome.kind, outcome.check) for outcome in outcomes}
    asked = [
        [check.name, (check.load().__doc__ or "").split("\n")[0]]
        for check in CHECKS
        if (check.kind, check.name) in done
    ]
    tables = [("Entries", entries, True), ("Failures, warnings and skipped checks", noted, False)]
    tables.append(("What was asked", [["check", "promise"], *asked], False))
    return [table for table in tables if len(table[1]) > 1]


_FORMATS: Mapping[str, Callable[[Mapping[str, Any], list[Outcome]], str]] = {
    ".md": _markdown,
    ".json": _as_json,
}
