"""The table of checks, and running them on a plugin. Nothing here needs torch or pytest."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from zoo.errors import PluginError, UnknownName, ZooError, did_you_mean
from zoo.plugins import Kind, Plugin
from zoo.registry import Entry, Registry
from zoo.specs import AnalyzerSpec, TaskName

__all__ = ["CHECKS", "Case", "Check", "Outcome", "Skip", "Suite", "run_checks", "shortfall", "told"]


class Skip(Exception):
    """A check cannot run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of a plugin. The function of the same name in `module` keeps watch over it."""

    module: str
    kind: Literal["plugin", "architecture", "dataset", "analyzer"]
    name: str
    needs: tuple[str, ...] = ()
    """Checks without which this one means nothing: it is skipped if one of them does not pass."""
    task: TaskName | None = None
    """The task it is about, if not both."""

    def load(self) -> Callable[[Case], None]:
        """Import and return the function."""
        return getattr(importlib.import_module(f"zoo.testing.{self.module}"), self.name)


def _checks(
    module: str,
    kind: Literal["plugin", "architecture", "dataset", "analyzer"],
    needs_by_name: Mapping[str, tuple[str, ...]],
    task: TaskName | None = None,
) -> tuple[Check, ...]:
    return tuple(Check(module, kind, name, needs, task) for name, needs in needs_by_name.items())


CHECKS: tuple[Check, ...] = (
    *_checks(
        "plugin_checks",
        "plugin",
        {"imports_without_torch": (), "summaries_are_one_line": (), "targets_resolve": ()},
    ),
    *_checks(
        "architecture_checks",
        "architecture",
        {
            "builds": (),
            "same_seed_same_weights": ("builds",),
            "output_shape": ("builds",),
            "first_loss_near_uniform": ("output_shape",),
            "every_parameter_gets_a_gradient": ("output_shape",),
            "overfits_one_batch": ("output_shape",),
            "batch_mates_do_not_matter": ("output_shape",),
            "eval_is_deterministic": ("output_shape",),
            "builds_on_meta": ("builds",),
            "saves_and_loads": ("output_shape", "builds_on_meta"),
            "deep_copies": ("output_shape",),
            "landmarks_resolve": ("output_shape",),
        },
    ),
    *_checks(
        "language_checks",
        "architecture",
        {
            "causal": ("output_shape",),
            "carries_state": ("causal",),
            "state_detaches": ("output_shape",),
            "penalty_trains": ("output_shape",),
        },
        "language-modelling",
    ),
    *_checks(
        "dataset_checks",
        "dataset",
        {
            "dims_are_declared": (),
            "items_fit_dims": ("dims_are_declared",),
            "splits_differ": ("items_fit_dims",),
            "same_fingerprint_twice": ("dims_are_declared",),
            "preprocess_is_json": ("dims_are_declared",),
            "order_is_reproducible": ("items_fit_dims", "preprocess_is_json"),
        },
    ),
    *_checks("dataset_checks", "dataset", {"labels_in_range": ("items_fit_dims",)}, "classification"),
    *_checks(
        "dataset_checks",
        "dataset",
        {"text_decodes": ("items_fit_dims", "preprocess_is_json")},
        "language-modelling",
    ),
    *_checks(
        "analyzer_checks",
        "analyzer",
        {"finite": (), "deterministic": ("finite",), "leaves_model_untouched": ("finite",)},
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """What a check looks at: an entry, or for a check of the plugin itself, none."""

    plugin: Plugin
    entry: Entry[Any] | None
    registry: Registry
    shared: dict[str, Any]
    """What is costly to make and used by several checks of a plugin."""

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
    """All checks of one plugin, by name.

    Raises UnknownName if there is no such plugin or an expected failure names no check, PluginError if the
    plugin failed to load or is disabled.
    """

    def __init__(
        self, registry: Registry, plugin: str, expected_failures: Mapping[str, str] | None = None
    ) -> None:
        if not __debug__:
            raise ZooError(
                "the checks are assertions, and this Python leaves them out", hint="run it without -O"
            )
        self.plugin = _healthy(registry, plugin)
        self.expected = dict(expected_failures or {})
        self.items: dict[str, _Item] = {}
        self._verdicts: dict[str, str] = {}
        shared: dict[str, Any] = {}
        entries = [entry for entry in registry.entries() if entry.plugin is self.plugin]
        for entry in (None, *entries):
            case = Case(self.plugin, entry, registry, shared)
            for check in CHECKS:
                if _applies(check, case):
                    self.items[f"{_label(case)}-{check.name}"] = _Item(case, check)
        for name in self.expected:
            if name not in self.items:
                raise UnknownName(
                    f"expected_failures: {plugin} has no check {name!r}{did_you_mean(name, self.items)}",
                    hint="a name is `<entry>-<check>`, such as lstm-carries_state",
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
            failure = _first_line(error) or "an assertion without a message"
        except Exception as error:
            failure = f"{type(error).__name__}: {_first_line(error)}"
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
    registry: Registry, plugin: str, expected_failures: Mapping[str, str] | None = None
) -> list[Outcome]:
    """Run every check of a plugin. Raises UnknownName or PluginError as Suite does."""
    suite = Suite(registry, plugin, expected_failures)
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


def _healthy(registry: Registry, name: str) -> Plugin:
    for plugin in registry.plugins:
        if plugin.name == name and plugin.status == "ok":
            return plugin
    for plugin in registry.plugins:
        if plugin.name == name:
            raise PluginError(
                f"plugin {name} ({plugin.distribution}) failed to load: {plugin.cause}"
                if plugin.status == "failed"
                else f"plugin {name} ({plugin.distribution}) is disabled",
                hint=f"`zoo plugins --traceback {name}` shows where" if plugin.trace else None,
            )
    names = [plugin.name for plugin in registry.plugins]
    raise UnknownName(f"no plugin {name!r}{did_you_mean(name, names)}", hint="`zoo plugins` shows all")


def _applies(check: Check, case: Case) -> bool:
    if case.entry is None:
        # A one-file plugin holds its model, and so may import torch.
        one_file = case.plugin.where.endswith(".py")
        return check.kind == "plugin" and not (one_file and check.name == "imports_without_torch")
    spec = case.entry.spec
    tasks = spec.tasks if isinstance(spec, AnalyzerSpec) else (spec.task,)
    return check.kind == case.entry.kind and (check.task is None or check.task in tasks)


def _label(case: Case) -> str:
    return case.spec.name if case.entry else case.plugin.name


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
