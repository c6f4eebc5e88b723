"""The kit is tested by what breaks it: each check has offenders that fail it, and nothing else."""

from __future__ import annotations

import random
import warnings
from collections import defaultdict
from importlib.metadata import EntryPoint

import pytest
from broken_plugins import plugins as broken

from zoo.registry import plugins
from zoo.registry.registry import Registry
from zoo.testing import Outcome, run_checks, shortfall
from zoo.testing._table import CHECKS

OF_PLUGINS = {check.name for check in CHECKS if check.kind == "plugin"}
OFFENDING_PLUGINS = {
    "imports_without_torch": "imports_torch:plugin",
    "imports_quickly": "imports_slowly:plugin",
    "import_changes_nothing": "sets_the_environment:plugin",
    "import_changes_nothing.folder": "changes_folder:plugin",
    "import_changes_nothing.warnings": "shows_warnings:plugin",
    **{name: f"broken_plugins:{name.replace('.', '_')}" for name in broken},
}


def registry_of(where: str) -> Registry:
    return Registry([plugins.load("mutants", EntryPoint("mutants", where, "zoo").load, where=where)])


@pytest.fixture(scope="module")
def outcomes_of_offenders() -> list[Outcome]:
    random.seed(0)
    return run_checks(registry_of("broken_plugins:entries"), "mutants")


@pytest.fixture(scope="module")
def failed_by_entry(outcomes_of_offenders) -> dict[str, list[str]]:
    failed = defaultdict(list)
    for outcome in outcomes_of_offenders:
        entry = outcome.entry.removeprefix("mutants/")
        failed[entry] += [outcome.name.removeprefix(f"{entry}-")] * (outcome.outcome == "failed")
    return failed


@pytest.mark.parametrize("check", [check.name for check in CHECKS if check.kind != "plugin"])
def test_an_offender_fails_its_check_and_no_other(check, failed_by_entry):
    offenders = {entry: failed for entry, failed in failed_by_entry.items() if entry.split(".")[0] == check}
    assert offenders, f"no entry of broken_plugins fails {check}"
    assert all(failed == [check] for failed in offenders.values()), offenders


@pytest.mark.parametrize("name", OFFENDING_PLUGINS)
def test_a_plugin_fails_its_check_and_no_other(name, monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_MUTANT", "")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        outcomes = run_checks(registry_of(OFFENDING_PLUGINS[name]), "mutants")
    assert [o.name for o in outcomes if o.outcome == "failed"] == [f"mutants-{name.split('.')[0]}"]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("output_shape.state-output_shape", "a state kept on the module"),
        ("items_fit_dims.list-items_fit_dims", "cut into lanes"),
        ("can_be_written-can_be_written", "where float(), int() or tolist() should be"),
        ("fingerprint_follows_the_data-fingerprint_follows_the_data", "a constant"),
        ("reads_by_typed_options-reads_by_typed_options", "a missing annotation"),
    ],
)
def test_a_failure_says_what_usually_causes_it(name, cause, outcomes_of_offenders):
    (reason,) = [outcome.reason for outcome in outcomes_of_offenders if outcome.name == name]
    assert cause in reason.partition("Usually: ")[2]


def test_every_check_has_an_offender(failed_by_entry):
    offenders = {name.split(".")[0] for name in [*failed_by_entry, *OFFENDING_PLUGINS]} - {"mutants"}
    assert offenders == {check.name for check in CHECKS}
    assert {name.split(".")[0] for name in OFFENDING_PLUGINS} == OF_PLUGINS
    assert len(failed_by_entry) - 1 + len(OFFENDING_PLUGINS) >= 40


def test_an_honest_plugin_passes_everything():
    outcomes = run_checks(registry_of("broken_plugins:honest"), "mutants")
    assert [(o.name, o.outcome, o.reason) for o in outcomes if o.outcome != "passed"] == []
    assert not shortfall(outcomes)
    seen = {o.name.rpartition("-")[2] for o in outcomes}
    assert seen == {check.name for check in CHECKS}


def test_every_check_says_what_it_asks():
    for check in CHECKS:
        assert check.load().__doc__, check.name
