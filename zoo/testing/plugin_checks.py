"""Checks of a plugin as a whole."""

from __future__ import annotations

import json

from zoo.errors import SpecError
from zoo.testing import _fresh
from zoo.testing._suite import Case, told

__all__ = [
    "import_changes_nothing",
    "imports_quickly",
    "imports_without_torch",
    "loads",
    "summaries_are_one_line",
    "targets_resolve",
]

_WIDEST = 100
_BUDGET = 0.25
"""Seconds of processor time, which other work on the machine does not lengthen as it does a clock's."""


def loads(case: Case) -> None:
    """The entry point leads to hooks that are known and give specs whose names are well formed and unique."""
    assert not case.plugin.cause, told(
        expected=f"{case.plugin.where} to load, and its hooks to return specs",
        got=case.plugin.cause,
        usually="a dependency that is not installed, a misspelt hook or field, or a name given twice; "
        f"`zoo plugins --traceback {case.plugin.name}` shows where",
    )


def imports_without_torch(case: Case) -> None:
    """The module behind the entry point loads, and its hooks answer, where torch is not installed."""
    cause, _ = _import(case)
    assert not cause, told(
        expected=f"{case.plugin.where} to load without torch",
        got=cause,
        usually="`import torch` in the plugin module; keep models in modules that only a target names",
    )


def imports_quickly(case: Case) -> None:
    """Loading the plugin and calling its hooks takes at most a quarter of a second of processor time."""
    _, seconds = _import(case)
    assert seconds <= _BUDGET, told(
        expected=f"at most {_BUDGET} s of processor time, since every `zoo list` pays for it",
        got=f"{seconds:.2f} s",
        usually="a heavy import, or specs computed from files; write them down, or import in the target",
    )


def import_changes_nothing(case: Case) -> None:
    """Importing the plugin and its targets changes nothing that others in the process share.

    That is: random states, torch's defaults, threads, logging, warnings (filters for some modules apart),
    signals, the working directory, the environment, sys.path, the locale. What other packages change when
    they are imported is theirs: a second process imports those first.
    """
    changed, others = _watch(case, [])
    if changed and others:
        changed, _ = _watch(case, others)
    assert not changed, told(
        expected="everything as it was before the import",
        got=f"a change of {', '.join(changed)}",
        usually="a seed, a default or a setting at module level; do it in a function, and undo it",
    )


def summaries_are_one_line(case: Case) -> None:
    """Every summary is one line that fits a list."""
    for _, spec in case.plugin.specs:
        summary = spec.summary
        assert [summary.strip()] == summary.splitlines(), told(
            expected=f"one line as the summary of {spec.name}",
            got=repr(summary),
            usually="a docstring used as the summary",
        )
        assert len(summary) <= _WIDEST, told(
            expected=f"at most {_WIDEST} characters as the summary of {spec.name}",
            got=f"{len(summary)}",
            usually="details that belong into the class's docstring",
        )


def targets_resolve(case: Case) -> None:
    """Every target can be imported and called."""
    for kind, spec in case.plugin.specs:
        try:
            spec.load()
        except SpecError as error:
            raise AssertionError(
                told(
                    expected=f"a class or function behind the {kind} {spec.name}",
                    got=str(error),
                    usually="a renamed class, a misspelt module, or a dependency that is not installed",
                )
            ) from error


def _import(case: Case) -> tuple[str, float]:
    """Return why the plugin did not load without torch, if so, and the seconds it took."""
    if "import" not in case.shared:
        answer = _fresh.run("import", case.plugin)
        try:
            case.shared["import"] = json.loads(answer)
        except ValueError:
            case.shared["import"] = answer, 0.0
    return case.shared["import"]


def _watch(case: Case, imported: list[str]) -> tuple[list[str], list[str]]:
    """Return what importing changes once some modules are there, and the modules of others it imports."""
    answer = _fresh.run("watch", case.plugin, imported=imported)
    try:
        found = json.loads(answer)
    except ValueError:
        return [f"the process itself ({answer})"], []
    return found["changed"], found["imported"]
