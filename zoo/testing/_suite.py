"""Run the checks on a plugin. This module needs neither torch nor pytest."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import sys
import traceback
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.config.near_names import did_you_mean
from zoo.config.recipe import Recipe
from zoo.errors import OptionError, PluginError, UnknownName, ZooError, first_line
from zoo.registry.name_index import KINDS
from zoo.registry.plugins import Plugin
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Entry, Registry
from zoo.testing._case import Case, Check, Inapplicable, Skip, Warned, reason_of, traceback_of
from zoo.testing._outcomes import Outcome
from zoo.testing._table import CHECKS
from zoo.testing._targets import resolve_target

# A check that a one-file plugin is spared: it holds its model, and so may import torch
_FOR_PACKAGES = ("imports_without_torch",)

_ORDER = [check.kind for check in CHECKS]

# `what` it is, `begun`, `checking`, `outcome`, `notice` or `done`, and fields of its own
Message = dict[str, Any]

# How the reason begins why a check has failed that passed
_UNEXPECTED = "it was expected to fail, but passed: "


class _Item(NamedTuple):
    case: Case
    check: Check


class Suite:
    """The checks of one plugin, by name; for `plugin/pattern`, only those of matching entries.

    A plugin that failed to load has a single check, which fails.

    Args:
        thorough: also run the slow checks.
        done: outcomes of checks that have already run.

    Raises:
        UnknownName: there is no such plugin, entry, recipe or weights, or an expected failure names an
            unknown check.
        PluginError: the plugin is disabled.
        OptionError: an expected failure has no reason.
    """

    def __init__(
        self,
        registry: Registry,
        target: str,
        expected_failures: Mapping[str, str] | None = None,
        *,
        thorough: bool = False,
        done: Iterable[Outcome] = (),
    ) -> None:
        if not __debug__:
            raise ZooError("checks are assertions, which python -O removes", hint="run without -O")
        name, _, pattern = target.partition("/")
        self.registry = registry
        self.plugin = registry.plugin(name)
        if self.plugin.status == "disabled":
            raise PluginError(f"plugin {name} ({self.plugin.distribution}) is disabled")
        self.expected: dict[str, str] = {}
        self.items: dict[str, _Item] = {}
        entries, recipes, weights = _chosen(registry, self.plugin, pattern)
        for entry in entries:
            declared = entry.spec.expected_failures
            self.expected |= {f"{entry.spec.name}-{check}": why for check, why in declared.items()}
        self.expected |= expected_failures or {}
        shared: dict[str, Any] = {"entries": entries, "recipes": recipes, "weights": weights}
        for entry in [None, *sorted(entries, key=lambda entry: _ORDER.index(entry.kind))]:
            case = Case(self.plugin, entry, registry, shared)
            for check in CHECKS:
                if _applies(check, case) and not (pattern and check.kind == "plugin"):
                    self.items[f"{case.label}-{check.name}"] = _Item(case, check)
        self._require_known_failures(target)
        if not thorough:
            self.items = {name: item for name, item in self.items.items() if not item.check.thorough}
        self._outcomes = {outcome.name: outcome for outcome in done if outcome.plugin == self.plugin.name}

    @property
    def left(self) -> list[str]:
        """The checks that have not run yet."""
        return [name for name in self.items if name not in self._outcomes]

    def _require_known_failures(self, target: str) -> None:
        for name, reason in self.expected.items():
            if name not in self.items:
                raise UnknownName(
                    f"expected_failures: {target} has no check {name!r}{did_you_mean(name, self.items)}",
                    hint="check names have the form `<entry>-<check>`, such as lstm-carries_state",
                )
            if not reason.strip():
                raise OptionError(
                    f"expected_failures: {name} has no reason", hint="give a reason, such as an issue number"
                )

    def run(self, name: str) -> BaseException | None:
        """Run one check, and keep its outcome.

        Returns:
            Skip if it cannot run, Inapplicable if it does not apply, Warned if it passes with a warning,
            AssertionError or any other error if it fails, and None if it passes.
        """
        error: BaseException | None = None
        try:
            self._run(*self.items[name])
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # also a plugin's `sys.exit()`
            error = raised
        self._outcomes[name] = dataclasses.replace(
            self.if_it_ends(name), **_result(error, self.expected.get(name))
        )
        return error

    def _run(self, case: Case, check: Check) -> None:
        for need in check.needs:
            if f"{case.label}-{need}" not in self.items:  # it does not apply to this entry
                continue
            needed = self.outcome(f"{case.label}-{need}")
            if needed.outcome == "skipped":
                raise Skip(needed.reason, needed.cause)
            if needed.outcome == "xfailed":
                raise Skip(f"{need} failed, as expected", needed.name)
            if needed.outcome == "failed" and not needed.reason.startswith(_UNEXPECTED):
                raise Skip(f"{need} failed", needed.name)
        function = check.load()
        with _torch_kept():
            function(case)

    def outcome(self, name: str) -> Outcome:
        """Return the outcome of a check, running it if necessary."""
        if name not in self._outcomes:
            self.run(name)
        return self._outcomes[name]

    def if_it_ends(self, name: str) -> Outcome:
        """Return the outcome of a check that ends the process."""
        case, check = self.items[name]
        return Outcome(
            name=name,
            outcome="xfailed" if name in self.expected else "failed",
            reason=self.expected.get(name, ""),
            plugin=self.plugin.name,
            entry=case.subject.name if case.subject else self.plugin.name,
            kind=check.kind,
        )


def suites_of(
    target: str,
    registry: Registry | None = None,
    expected_failures: Mapping[str, str] | None = None,
    *,
    thorough: bool = False,
    done: Sequence[Outcome] = (),
) -> list[Suite]:
    """Return the checks of each plugin that a target names, in one registry."""
    registry, names = resolve_target(target, registry)
    return [Suite(registry, name, expected_failures, thorough=thorough, done=done) for name in names]


def messages(
    target: str,
    *,
    thorough: bool = False,
    strict: bool = False,
    registry: Registry | None = None,
    done: Sequence[Outcome] = (),
) -> Generator[Message]:
    """Check a target, and yield messages: one when each check begins, then one with its outcome.

    Args:
        strict: do not run any check if an installed plugin fails to load.
        done: outcomes of checks that have already run and are not run again.

    Raises:
        ZooError: the target cannot be checked.
    """
    if strict:
        registry = registry or Registry.discover()
        registry.require_healthy()
    suites = suites_of(target, registry, thorough=thorough, done=done)
    plugins = [
        {"name": plugin.name, "distribution": Path(plugin.distribution).name, "version": plugin.version}
        for plugin in (suite.plugin for suite in suites)
    ]
    yield {"what": "begun", "plugins": plugins, "total": sum(len(suite.items) for suite in suites)}
    entries = {outcome.entry for outcome in done}
    for suite in suites:
        for name in suite.left:
            yield {"what": "checking", "outcome": suite.if_it_ends(name)}
            outcome = suite.outcome(name)
            entries.add(outcome.entry)
            yield {"what": "outcome", "outcome": outcome}
    for line in _shared_names(suites[0].registry, entries):
        yield {"what": "notice", "text": line}
    yield {"what": "done"}  # before the processes that checks share end with the suites


def _shared_names(registry: Registry, checked: Collection[str]) -> list[str]:
    """Return a line for each checked entry, recipe or weights whose short name refers to a different one."""
    lines: list[str] = []
    for kind in KINDS:
        for short in registry.names.words(kind):
            first, *others = registry.names.matching(short, kind)
            meant = first.name if "/" in first.name else f"the {kind} in registry.toml"
            lines += [
                f"{short!r} refers to {meant}, so users of the {kind} {other.name} must write its full name"
                for other in others
                if other.place > first.place and {other.name, other.name.partition("/")[0]} & {*checked}
            ]
    return lines


def _result(error: BaseException | None, expected: str | None) -> dict[str, str]:
    """Return what is particular to an outcome: its status, with the reason if it is not `passed`.

    Args:
        error: error that the check raised; None if it raised none.
        expected: reason that it is expected to fail; None if it is not.
    """
    if isinstance(error, Skip):
        return {"outcome": "skipped", "reason": str(error), "cause": error.cause}
    if isinstance(error, Inapplicable) and expected is None:
        return {"outcome": "inapplicable", "reason": str(error)}
    if error is None or isinstance(error, Warned | Inapplicable):
        if expected is not None:
            return {"outcome": "failed", "reason": f"{_UNEXPECTED}{expected}"}
        return {"outcome": "warned" if error else "passed", "reason": str(error or "")}
    if expected is not None:
        return {"outcome": "xfailed", "reason": expected}
    return {"outcome": "failed", "reason": _reason(error), "traceback": traceback_of(error)}


@contextlib.contextmanager
def _torch_kept() -> Generator[None]:
    """Restore torch's settings after a check, and use one thread during the check.

    On tiny tensors, threads only wait for each other.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    from zoo.testing._process import settings_kept

    with settings_kept():
        torch.set_num_threads(1)
        yield


def _chosen(
    registry: Registry, plugin: Plugin, pattern: str
) -> tuple[list[Entry[Any]], dict[str, Recipe], dict[str, WeightsSpec]]:
    """Return the entries, recipes and weights of a plugin that match. Raises UnknownName if none match."""

    def matches(name: str) -> bool:
        return fnmatch.fnmatchcase(name.removeprefix(f"{plugin.name}/"), pattern or "*")

    entries = [entry for entry in registry.entries() if entry.plugin is plugin]
    chosen = [entry for entry in entries if matches(entry.spec.name)]
    recipes = {name: recipe for name, recipe in plugin.recipes.items() if matches(name)}
    weights = {name: spec for name, spec in plugin.weights.items() if matches(name)}
    if pattern and not (chosen or recipes or weights):
        known = [*(entry.name for entry in entries), *plugin.recipes, *plugin.weights]
        names = [name.partition("/")[2] for name in known]
        raise UnknownName(
            f"plugin {plugin.name} has no entry, recipe or weights {pattern!r}{did_you_mean(pattern, names)}",
            hint="`zoo list` shows all names; a pattern may contain *",
        )
    return chosen, recipes, weights


def _applies(check: Check, case: Case) -> bool:
    if case.subject is None:
        if case.plugin.status == "failed":
            return check.name == "loads"
        one_file = case.plugin.where.endswith(".py")
        published = {"plugin": True, "recipe": case.recipes, "weights": case.weights}
        return bool(published.get(check.kind)) and not (one_file and check.name in _FOR_PACKAGES)
    if check.kind != case.entry.kind or check.task not in (None, *case.entry.tasks):
        return False
    return check.dim is None or any(check.dim in case.registry.task(name).dims for name in case.entry.tasks)


def _reason(error: BaseException) -> str:
    """Return the reason for a failed check, on one line."""
    if isinstance(error, AssertionError):
        last = traceback.extract_tb(error.__traceback__)[-1]
        return first_line(error) or f"an assertion without a message, at {last.filename}:{last.lineno}"
    return reason_of(error)
