"""The kit is tested by what breaks it: each check has an offender that fails it, and nothing else."""

from __future__ import annotations

import random
from collections import defaultdict
from importlib.metadata import EntryPoint

import pytest

from zoo import plugins
from zoo.registry import Registry
from zoo.testing import run_checks, shortfall
from zoo.testing._suite import CHECKS

ENTRY_CHECKS = [check.name for check in CHECKS if check.kind != "plugin"]
PLUGIN_CHECKS = {
    "imports_without_torch": "imports_without_torch:imports_without_torch",
    "summaries_are_one_line": "broken_plugins:summaries_are_one_line",
    "targets_resolve": "broken_plugins:targets_resolve",
}


def registry_of(where: str) -> Registry:
    plugin = plugins.load("mutants", EntryPoint("mutants", where, "zoo").load, where=where)
    assert plugin.status == "ok", plugin.trace
    return Registry([plugin])


@pytest.fixture(scope="module")
def failed_by_entry() -> dict[str, list[str]]:
    random.seed(0)
    failed = defaultdict(list)
    for outcome in run_checks(registry_of("broken_plugins:entries"), "mutants"):
        entry = outcome.entry.removeprefix("mutants/")
        failed[entry] += [outcome.name.removeprefix(f"{entry}-")] * (outcome.outcome == "failed")
    return failed


@pytest.mark.parametrize("check", ENTRY_CHECKS)
def test_an_offender_fails_its_check_and_no_other(check, failed_by_entry):
    offenders = {entry: failed for entry, failed in failed_by_entry.items() if entry.split(".")[0] == check}
    assert offenders, f"no entry of broken_plugins fails {check}"
    assert all(failed == [check] for failed in offenders.values()), offenders


@pytest.mark.parametrize("check", [check.name for check in CHECKS if check.kind == "plugin"])
def test_a_plugin_fails_its_check_and_no_other(check):
    outcomes = run_checks(registry_of(PLUGIN_CHECKS[check]), "mutants")
    assert [o.name for o in outcomes if o.outcome == "failed"] == [f"mutants-{check}"]


def test_an_honest_plugin_passes_everything():
    outcomes = run_checks(registry_of("broken_plugins:honest"), "mutants")
    assert [(o.name, o.outcome, o.reason) for o in outcomes if o.outcome != "passed"] == []
    assert not shortfall(outcomes)
    seen = {o.name.rpartition("-")[2] for o in outcomes}
    assert seen == {check.name for check in CHECKS}


def test_every_check_says_what_it_asks():
    for check in CHECKS:
        assert check.load().__doc__, check.name
