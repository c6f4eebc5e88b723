"""From an analyzer's entry and options to an analyzer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.interfaces import Analyzer
from zoo.registry.registry import Entry
from zoo.registry.specs import AnalyzerSpec

__all__ = ["make_analyzer"]


def make_analyzer(entry: Entry[AnalyzerSpec], given: Mapping[str, Any]) -> Analyzer:
    """Make an analyzer. Raises OptionError if an option is unknown or of the wrong type."""
    return entry.make(given, Analyzer, flag="--option")
