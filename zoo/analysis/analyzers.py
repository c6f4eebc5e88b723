"""From an analyzer's entry and options to an analyzer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.config.signatures import check_arguments
from zoo.errors import SpecError
from zoo.interfaces import Analyzer
from zoo.registry.registry import Entry
from zoo.registry.specs import AnalyzerSpec

__all__ = ["make_analyzer"]


def make_analyzer(entry: Entry[AnalyzerSpec], given: Mapping[str, Any]) -> Analyzer:
    """Make an analyzer. Raises OptionError if an option is unknown or of the wrong type."""
    target = entry.load()
    analyzer = target(**check_arguments(target, given, what=f"analyzer {entry.name}", flag="--option"))
    if not isinstance(analyzer, Analyzer):
        raise SpecError(
            f"{entry.name}: {entry.spec.target} must make a zoo.interfaces.Analyzer "
            f"(it made a {type(analyzer).__name__})"
        )
    return analyzer
