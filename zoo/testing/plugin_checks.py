"""Checks of a plugin as a whole."""

from __future__ import annotations

from zoo.errors import SpecError
from zoo.testing import _fresh
from zoo.testing._suite import Case, told

__all__ = ["imports_without_torch", "summaries_are_one_line", "targets_resolve"]

_WIDEST = 100


def imports_without_torch(case: Case) -> None:
    """The module behind the entry point loads, and its hooks answer, where torch is not installed."""
    cause = _fresh.run("import", case.plugin)
    assert not cause, told(
        expected=f"{case.plugin.where} to load without torch",
        got=cause,
        usually="`import torch` in the plugin module; keep models in modules that only a target names",
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
