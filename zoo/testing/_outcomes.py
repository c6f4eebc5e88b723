"""The outcomes of checks, and whether enough checks ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo.testing._case import CheckKind
from zoo.testing._table import CHECKS

# `warned`: it passed, but there is something to know; `inapplicable`: it promises nothing about this entry;
# `xfailed`: it failed as the spec or the author expects
Result = Literal["passed", "warned", "inapplicable", "skipped", "failed", "xfailed"]

_MAY_SKIP = {check.name for check in CHECKS if check.may_skip}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one check.

    Attributes:
        name: `<entry>-<check>`, such as `lstm-causal`.
        reason: reason that the check was skipped, does not apply, failed or issued a warning; empty if it
            passed.
        entry: the entry's full name, or the plugin's name.
        cause: the full name of the failed check that caused this check to be skipped, if any.
        traceback: the traceback of an unexpected error that made the check fail; empty otherwise.
    """

    name: str
    outcome: Result
    reason: str = ""
    plugin: str
    entry: str
    kind: CheckKind
    cause: str = ""
    traceback: str = ""

    @property
    def check(self) -> str:
        """The name of the check, without the entry."""
        return self.name.rpartition("-")[2]


def counts(outcomes: list[Outcome]) -> dict[str, int]:
    """Return how many checks ran, were skipped, failed, failed as expected, warned, and did not apply."""
    results = [outcome.outcome for outcome in outcomes]
    ran = {"ran": len(results) - results.count("skipped") - results.count("inapplicable")}
    words = ("skipped", "failed", "xfailed", "warned", "inapplicable")
    return ran | {word: results.count(word) for word in words}


def left_out(outcomes: list[Outcome]) -> list[str]:
    """Return the names of thorough checks that apply but did not run."""
    kinds = {outcome.kind for outcome in outcomes}
    ran = {outcome.check for outcome in outcomes}
    return [
        check.name for check in CHECKS if check.thorough and check.kind in kinds and check.name not in ran
    ]


def in_words(outcomes: list[Outcome]) -> str:
    """Return the counts as text, such as `30 ran, 0 skipped, 1 failed`; rare outcomes are left out at 0."""
    counted = counts(outcomes)
    rare = ("xfailed", "warned", "inapplicable")
    return ", ".join(f"{count} {word}" for word, count in counted.items() if count or word not in rare)


def in_lines(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    """Return the status of each outcome of an entry that is neither `passed` nor `inapplicable`, and a line.

    Checks that were skipped for the same reason share a line.
    """
    entry = outcomes[0].entry
    lines: list[tuple[str, str]] = []
    skipped: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.outcome == "skipped":
            skipped.setdefault(outcome.reason, []).append(outcome)
        elif outcome.outcome not in ("passed", "inapplicable"):
            lines.append((outcome.outcome, f"{entry}-{outcome.check}: {outcome.reason}"))
    for reason, those in skipped.items():
        if len(those) == len(outcomes):
            lines.append(("skipped", f"{entry}: {reason}"))
        elif len(those) == 1:
            lines.append(("skipped", f"{entry}-{those[0].check}: {reason}"))
        else:
            lines.append(("skipped", f"{entry}: {len(those)} skipped: {reason}"))
    return lines


def shortfall(outcomes: list[Outcome]) -> list[str]:
    """Return a message for each entry that ran too few checks, so that skipping never looks like passing.

    Every entry must run all checks of its kind, except those that depend on an expected failure. An entry
    that cannot be opened here need not run any check, as long as checks run for another entry of its kind in
    the plugin.
    """
    messages: list[str] = []
    for plugin in dict.fromkeys(outcome.plugin for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.plugin == plugin]
        if not _provides_something(own):
            messages.append(f"{plugin} provides nothing")
        for kind in dict.fromkeys(outcome.kind for outcome in own):
            messages += _unchecked([outcome for outcome in own if outcome.kind == kind])
    return messages


def _provides_something(outcomes: list[Outcome]) -> bool:
    """Return whether a plugin has entries, or failed to load, which its check `loads` reports."""
    return any(
        outcome.kind != "plugin" or (outcome.check == "loads" and outcome.outcome == "failed")
        for outcome in outcomes
    )


def _unchecked(outcomes: list[Outcome]) -> list[str]:
    """Return a message for each entry of one kind that ran too few checks."""
    expected = {outcome.name for outcome in outcomes if outcome.outcome == "xfailed"}
    outcomes = [outcome for outcome in outcomes if outcome.outcome != "inapplicable"]
    any_ran = any(outcome.outcome != "skipped" for outcome in outcomes)
    messages: list[str] = []
    for entry in dict.fromkeys(outcome.entry for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.entry == entry]
        skipped = [outcome for outcome in own if outcome.outcome == "skipped"]
        ran = len(own) - len(skipped)
        missing = [o for o in skipped if o.check not in _MAY_SKIP and o.cause not in expected]
        if missing and (ran or not any_ran):
            which = f" of {own[0].kind.rstrip('s')}s" if own[0].kind in ("recipe", "weights") else ""
            messages.append(f"{entry}: {ran} of {len(own)} checks{which} ran ({missing[0].reason})")
    return messages
