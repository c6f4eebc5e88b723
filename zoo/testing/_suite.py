"""Running the checks on a plugin. Nothing here needs torch or pytest."""

from __future__ import annotations

import contextlib
import fnmatch
import sys
import traceback
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from zoo.errors import OptionError, PluginError, UnknownName, ZooError, did_you_mean
from zoo.registry.plugins import Kind, Plugin
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import AnalyzerSpec
from zoo.testing._table import CHECKS, Check

__all__ = [
    "CHECKS",
    "Case",
    "Check",
    "Outcome",
    "Skip",
    "Suite",
    "first_line",
    "run_checks",
    "shortfall",
    "told",
]


class Skip(Exception):
    """A check cannot run here; the message says why."""


_OF_PACKAGES = ("imports_without_torch", "imports_quickly")
"""A one-file plugin holds its model, and so may import torch."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a check looks at: an entry, or for a check of the plugin itself, none."""

    plugin: Plugin
    entry: Entry[Any] | None
    registry: Registry
    shared: dict[str, Any]
    """What is costly to make and used by several checks of a plugin; `entries` are those under check."""

    @property
    def spec(self) -> Any:
        """The entry's spec."""
        assert self.entry is not None
        return self.entry.spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one check."""

    name: str
    """`<entry>-<check>`, such as `lstm-causal`."""
    outcome: Literal["passed", "skipped", "failed", "xfailed"]
    reason: str = ""
    plugin: str
    entry: str
    """Full name of the entry, or the plugin's name."""
    kind: Kind | Literal["plugin"]


class _Item(NamedTuple):
    case: Case
    check: Check


class Suite:
    """All checks of one plugin, by name; or, where `target` is `plugin/pattern`, those of some entries.

    Of a plugin that failed to load there is one check, which fails.

    Raises UnknownName if there is no such plugin or entry, or an expected failure names no check; PluginError
    if the plugin is disabled; OptionError for an expected failure without a reason.
    """

    def __init__(
        self, registry: Registry, target: str, expected_failures: Mapping[str, str] | None = None
    ) -> None:
        if not __debug__:
            raise ZooError(
                "the checks are assertions, and this Python leaves them out", hint="run it without -O"
            )
        name, _, pattern = target.partition("/")
        self.plugin = _enabled(registry, name)
        self.expected = dict(expected_failures or {})
        self.items: dict[str, _Item] = {}
        self._verdicts: dict[str, str] = {}
        entries = _chosen(registry, self.plugin, pattern)
        shared: dict[str, Any] = {"entries": entries}
        for entry in entries if pattern else [None, *entries]:
            case = Case(self.plugin, entry, registry, shared)
            for check in CHECKS:
                if _applies(check, case):
                    self.items[f"{_label(case)}-{check.name}"] = _Item(case, check)
        for name, reason in self.expected.items():
            if name not in self.items:
                raise UnknownName(
                    f"expected_failures: {target} has no check {name!r}{did_you_mean(name, self.items)}",
                    hint="a name is `<entry>-<check>`, such as lstm-carries_state",
                )
            if not reason.strip():
                raise OptionError(
                    f"expected_failures: {name} has no reason", hint="say why it fails, or name an issue"
                )

    def perform(self, name: str) -> None:
        """Run one check. Raises Skip if it cannot run, and AssertionError or whatever else if it fails."""
        case, check = self.items[name]
        for need in check.needs:
            verdict = self._verdict(f"{_label(case)}-{need}")
            if verdict:
                raise Skip(verdict)
        try:
            function = check.load()
            with _one_thread():
                function(case)
        except Skip as skip:
            self._verdicts[name] = str(skip)
            raise
        except Exception:
            self._verdicts[name] = f"{check.name} does not pass"
            raise
        self._verdicts[name] = ""

    def outcome(self, name: str) -> Outcome:
        """Run one check and say what became of it."""
        case, _ = self.items[name]
        outcome, reason = self._judge(name)
        return Outcome(
            name=name,
            outcome=outcome,
            reason=reason,
            plugin=self.plugin.name,
            entry=case.entry.name if case.entry else self.plugin.name,
            kind=case.entry.kind if case.entry else "plugin",
        )

    def _judge(self, name: str) -> tuple[Literal["passed", "skipped", "failed", "xfailed"], str]:
        try:
            self.perform(name)
        except Skip as skip:
            return "skipped", str(skip)
        except ZooError as error:
            failure = str(error)
        except AssertionError as error:
            failure = first_line(error) or f"an assertion without a message, at {_place(error)}"
        except Exception as error:
            failure = f"{type(error).__name__}: {first_line(error)}"
        else:
            if name not in self.expected:
                return "passed", ""
            return "failed", f"it passes, and was expected to fail: {self.expected[name]}"
        return ("xfailed", self.expected[name]) if name in self.expected else ("failed", failure)

    def _verdict(self, name: str) -> str:
        """Return why a check did not pass, or an empty string; it runs at most once."""
        if name not in self._verdicts:
            try:
                self.perform(name)
            except Skip as skip:
                self._verdicts[name] = str(skip)
            except Exception:
                assert self._verdicts[name]
        return self._verdicts[name]


def run_checks(
    registry: Registry, target: str, expected_failures: Mapping[str, str] | None = None
) -> list[Outcome]:
    """Run every check of a plugin, or of some of its entries. Raises what Suite does."""
    suite = Suite(registry, target, expected_failures)
    return [suite.outcome(name) for name in suite.items]


def shortfall(outcomes: list[Outcome]) -> list[str]:
    """Say where fewer checks ran than the kind demands, so that skipping never looks like passing.

    An entry runs all the checks of its kind. One that cannot be opened here may run none, as long as another
    of its kind in the plugin runs.
    """
    ran, skipped = Counter[str](), Counter[str]()
    reasons: dict[str, str] = {}
    kinds: dict[tuple[str, str], list[str]] = {}
    for o in outcomes:
        kinds.setdefault((o.plugin, o.kind), [])
        if o.entry not in kinds[o.plugin, o.kind]:
            kinds[o.plugin, o.kind].append(o.entry)
        (skipped if o.outcome == "skipped" else ran)[o.entry] += 1
        if o.outcome == "skipped":
            reasons.setdefault(o.entry, o.reason)
    messages = [
        f"{plugin} provides nothing"
        for plugin in dict.fromkeys(plugin for plugin, _ in kinds)
        if [kind for owner, kind in kinds if owner == plugin] == ["plugin"]
        and not any(o.outcome == "failed" and o.name == f"{plugin}-loads" for o in outcomes)
    ]
    for entries in kinds.values():
        none_ran = not any(ran[entry] for entry in entries)
        messages += [
            f"{entry}: {ran[entry]} of {ran[entry] + skipped[entry]} checks ran ({reasons[entry]})"
            for entry in entries
            if skipped[entry] and (ran[entry] or none_ran)
        ]
    return messages


def told(*, expected: str, got: str, usually: str) -> str:
    """Return the message of a failed check: what should be, what is, and what most often causes it."""
    return f"expected {expected}; got {got}. Usually: {usually}"


@contextlib.contextmanager
def _one_thread() -> Generator[None]:
    """On tiny tensors threads only wait for each other, for long where the machine is busy."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _enabled(registry: Registry, name: str) -> Plugin:
    # Two plugins may want one name; the first has it.
    for plugin in registry.plugins:
        if plugin.name == name:
            if plugin.status == "disabled":
                raise PluginError(f"plugin {name} ({plugin.distribution}) is disabled")
            return plugin
    names = [plugin.name for plugin in registry.plugins]
    raise UnknownName(f"no plugin {name!r}{did_you_mean(name, names)}", hint="`zoo plugins` shows all")


def _chosen(registry: Registry, plugin: Plugin, pattern: str) -> list[Entry[Any]]:
    entries = [entry for entry in registry.entries() if entry.plugin is plugin]
    chosen = [entry for entry in entries if not pattern or fnmatch.fnmatchcase(entry.spec.name, pattern)]
    if pattern and not chosen:
        known = [entry.spec.name for entry in entries]
        raise UnknownName(
            f"plugin {plugin.name} has no entry {pattern!r}{did_you_mean(pattern, known)}",
            hint="`zoo list` shows all; `*` stands for anything",
        )
    return chosen


def _applies(check: Check, case: Case) -> bool:
    if case.entry is None:
        one_file = case.plugin.where.endswith(".py")
        if case.plugin.status == "failed":
            return check.name == "loads"
        return check.kind == "plugin" and not (one_file and check.name in _OF_PACKAGES)
    spec = case.entry.spec
    tasks = spec.tasks if isinstance(spec, AnalyzerSpec) else (spec.task,)
    return check.kind == case.entry.kind and (check.task is None or check.task in tasks)


def _label(case: Case) -> str:
    return case.spec.name if case.entry else case.plugin.name


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().split("\n")[0]
