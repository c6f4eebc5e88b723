"""Running the checks on a plugin. Nothing here needs torch or pytest."""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from zoo.config.recipe import Recipe
from zoo.errors import OptionError, PluginError, UnknownName, ZooError, did_you_mean, first_line
from zoo.registry.plugins import Plugin
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Entry, Registry
from zoo.testing._case import Case, Check, Skip, Warned
from zoo.testing._outcomes import Outcome, Result
from zoo.testing._table import CHECKS

__all__ = ["Suite", "run_checks"]

# Checks that a one-file plugin is spared: it holds its model, and so may import torch
_FOR_PACKAGES = ("imports_without_torch", "imports_quickly", "imports_silently")

# How the reason begins why a check has failed that passed
_UNEXPECTED = "it was expected to fail, but passed: "


class _Item(NamedTuple):
    case: Case
    check: Check


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How a check ended, whatever was expected of it.

    Attributes:
        reason: why a check that needs this one is skipped; empty if it passed.
        cause: the full name of the check that failed first.
    """

    status: Literal["passed", "skipped", "failed"]
    reason: str = ""
    cause: str = ""


class Suite:
    """The checks of one plugin, by name; if `target` is `plugin/pattern`, those of what it matches.

    A plugin that failed to load has a single check, which fails.

    Args:
        thorough: also run the checks that take long.
        done: outcomes of checks that have run before.

    Raises:
        UnknownName: there is no such plugin, entry, recipe or weights, or an expected failure names no check.
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
            raise ZooError("checks are assertions, which python -O leaves out", hint="run it without -O")
        name, _, pattern = target.partition("/")
        self.plugin = _enabled(registry, name)
        self.expected: dict[str, str] = {}
        self.items: dict[str, _Item] = {}
        self._verdicts: dict[str, _Verdict] = {}
        entries, recipes, weights = _chosen(registry, self.plugin, pattern)
        for entry in entries:
            declared = entry.spec.expected_failures
            self.expected |= {f"{entry.spec.name}-{check}": why for check, why in declared.items()}
        self.expected |= expected_failures or {}
        shared: dict[str, Any] = {"entries": entries, "recipes": recipes, "weights": weights}
        for entry in [None, *entries]:
            case = Case(self.plugin, entry, registry, shared)
            for check in CHECKS:
                if _applies(check, case) and not (pattern and check.kind == "plugin"):
                    self.items[f"{case.label}-{check.name}"] = _Item(case, check)
        self._require_known_failures(target)
        if not thorough:
            self.items = {name: item for name, item in self.items.items() if not item.check.thorough}
        for outcome in done:
            if outcome.plugin == self.plugin.name:
                self._verdicts[outcome.name] = _verdict_of(outcome)

    @property
    def left(self) -> list[str]:
        """The checks that have not run yet."""
        return [name for name in self.items if name not in self._verdicts]

    def _require_known_failures(self, target: str) -> None:
        for name, reason in self.expected.items():
            if name not in self.items:
                raise UnknownName(
                    f"expected_failures: {target} has no check {name!r}{did_you_mean(name, self.items)}",
                    hint="a check is named `<entry>-<check>`, such as lstm-carries_state",
                )
            if not reason.strip():
                raise OptionError(
                    f"expected_failures: {name} has no reason", hint="say why it fails, or name an issue"
                )

    def run(self, name: str) -> None:
        """Run one check.

        Raises Skip if it cannot run, Warned if it passes with a warning, and AssertionError or any other
        error if it fails.
        """
        try:
            self._run(*self.items[name])
        except Skip as skip:
            self._verdicts[name] = _Verdict("skipped", str(skip), skip.cause)
            raise
        except Warned:
            self._verdicts[name] = _Verdict("passed")
            raise
        except BaseException:  # also a plugin's `sys.exit()`
            expected = ", as expected" if name in self.expected else ""
            reason = f"{self.items[name].check.name} failed{expected}"
            self._verdicts[name] = _Verdict("failed", reason, name)
            raise
        self._verdicts[name] = _Verdict("passed")

    def _run(self, case: Case, check: Check) -> None:
        for need in check.needs:
            if f"{case.label}-{need}" not in self.items:  # it does not apply to this entry
                continue
            verdict = self._verdict(f"{case.label}-{need}")
            if verdict.status != "passed":
                raise Skip(verdict.reason, verdict.cause)
        function = check.load()
        with _torch_kept():
            function(case)

    def _verdict(self, name: str) -> _Verdict:
        """Return how a check ended, after running it unless it has run."""
        if name not in self._verdicts:
            try:
                self.run(name)
            except KeyboardInterrupt:
                raise
            except BaseException:  # the verdict says so
                pass
        return self._verdicts[name]

    def about(self, name: str) -> dict[str, Any]:
        """Return the name of a check, and the plugin, the entry and the kind that it is of."""
        case, check = self.items[name]
        entry = case.entry.name if case.entry else self.plugin.name
        return {"name": name, "plugin": self.plugin.name, "entry": entry, "kind": check.kind}

    def outcome(self, name: str) -> Outcome:
        """Run one check and return its outcome."""
        outcome, reason, cause = self._judge(name)
        return Outcome(**self.about(name), outcome=outcome, reason=reason, cause=cause)

    def _judge(self, name: str) -> tuple[Result, str, str]:
        """Return how a check ended, why, and the check that failed first if it was skipped for that."""
        expected, warning = self.expected.get(name), ""
        try:
            self.run(name)
        except Warned as warned:
            warning = str(warned)
        except Skip as skip:
            return "skipped", str(skip), skip.cause
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return ("failed", _reason(error), "") if expected is None else ("xfailed", expected, "")
        if expected is not None:
            return "failed", f"{_UNEXPECTED}{expected}", ""
        return ("warned", warning, "") if warning else ("passed", "", "")


def _verdict_of(outcome: Outcome) -> _Verdict:
    """Return the verdict that led to an outcome."""
    if outcome.outcome == "skipped":
        return _Verdict("skipped", outcome.reason, outcome.cause)
    if outcome.outcome in ("passed", "warned") or outcome.reason.startswith(_UNEXPECTED):
        return _Verdict("passed")
    expected = ", as expected" if outcome.outcome == "xfailed" else ""
    return _Verdict("failed", f"{outcome.check} failed{expected}", outcome.name)


def run_checks(
    registry: Registry,
    target: str,
    expected_failures: Mapping[str, str] | None = None,
    *,
    thorough: bool = False,
    report: Callable[[str, int, int, str, str], None] | None = None,
    finished: Callable[[list[Outcome]], None] | None = None,
) -> list[Outcome]:
    """Run the checks of a plugin, or of some of its entries, recipes and weights.

    Args:
        registry: where the plugin is.
        target: the plugin's name, or `plugin/pattern` for what it matches.
        expected_failures: reasons by the name of a check, such as `{"lstm-carries_state": "issue 12"}`, in
            addition to those that specs declare.
        thorough: also run the checks that take long.
        report: called before each check with the work, the number of checks done, their total, `checks`, and
            the check's name.
        finished: called after the last check of each entry with the outcomes of all.

    Raises:
        UnknownName: there is no such plugin, entry, recipe or weights, or an expected failure names no check.
        PluginError: the plugin is disabled.
        OptionError: an expected failure has no reason.
    """
    suite = Suite(registry, target, expected_failures, thorough=thorough)
    outcomes: list[Outcome] = []
    for _, names in itertools.groupby(suite.items, key=lambda name: suite.items[name].case.label):
        before = len(outcomes)
        for name in names:
            if report is not None:
                report(f"checking {suite.plugin.name}", len(outcomes), len(suite.items), "checks", name)
            outcomes.append(suite.outcome(name))
        if finished is not None:
            finished(outcomes[before:])
    return outcomes


@contextlib.contextmanager
def _torch_kept() -> Generator[None]:
    """Undo what a check changes of torch's settings, and meanwhile use one thread.

    On tiny tensors threads only wait for each other.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    from zoo.testing._process import settings_kept

    with settings_kept():
        torch.set_num_threads(1)
        yield


def _enabled(registry: Registry, name: str) -> Plugin:
    for plugin in registry.plugins:  # if two want one name, the first has it
        if plugin.name == name:
            if plugin.status == "disabled":
                raise PluginError(f"plugin {name} ({plugin.distribution}) is disabled")
            return plugin
    names = [plugin.name for plugin in registry.plugins]
    raise UnknownName(f"unknown plugin {name!r}{did_you_mean(name, names)}", hint="`zoo plugins` shows all")


def _chosen(
    registry: Registry, plugin: Plugin, pattern: str
) -> tuple[list[Entry[Any]], dict[str, Recipe], dict[str, WeightsSpec]]:
    """Return the entries, recipes and weights of a plugin that match. Raises UnknownName if none do."""

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
            f"plugin {plugin.name} has nothing called {pattern!r}{did_you_mean(pattern, names)}",
            hint="`zoo list` shows all names; a pattern may contain *",
        )
    return chosen, recipes, weights


def _applies(check: Check, case: Case) -> bool:
    if case.entry is None:
        if case.plugin.status == "failed":
            return check.name == "loads"
        one_file = case.plugin.where.endswith(".py")
        published = {"plugin": True, "recipe": case.recipes, "weights": case.weights}
        return bool(published.get(check.kind)) and not (one_file and check.name in _FOR_PACKAGES)
    if check.kind != case.entry.kind or check.task not in (None, *case.entry.tasks):
        return False
    return check.dim is None or any(check.dim in case.registry.task(name).dims for name in case.entry.tasks)


def _reason(error: BaseException) -> str:
    """Return why a check failed, in one line."""
    if isinstance(error, ZooError):
        return str(error)
    if isinstance(error, AssertionError):
        return first_line(error) or f"an assertion without a message, at {_place(error)}"
    return f"{type(error).__name__}: {first_line(error)}"


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"
