"""The kit is tested by what breaks it: every check has failing fixtures, which fail it and no other."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Literal

import pytest
from broken_plugins import entries as broken_entries
from broken_plugins import plugins as broken

from zoo.errors import UnknownName
from zoo.registry import plugins
from zoo.registry.registry import Registry
from zoo.registry.specs import ExporterSpec
from zoo.testing import Outcome, catalog_checks, check, shortfall, tracker_checks
from zoo.testing._case import message
from zoo.testing._outcomes import in_lines, in_words
from zoo.testing._suite import Suite
from zoo.testing._table import CHECKS
from zoo.testing._targets import with_ours

# All failing fixtures run in one fixture
pytestmark = pytest.mark.timeout(600)

OF_PLUGINS = {check.name for check in CHECKS if check.kind in ("plugin", "recipe", "weights")}
FAILING_PLUGINS = {
    "imports_without_torch": "imports_torch:plugin",
    "imports_quickly": "imports_slowly:plugin",
    "imports_silently": "greets_on_import:plugin",
    "import_changes_nothing": "sets_the_environment:plugin",
    "import_changes_nothing.folder": "changes_folder:plugin",
    "import_changes_nothing.warnings": "shows_warnings:plugin",
    "import_changes_nothing.signals": "ignores_ctrl_c:plugin",
    "import_changes_nothing.processes": "starts_a_process:plugin",
    **{name: f"broken_plugins:{name.replace('.', '_')}" for name in broken},
}


# Checks that start a process. The honest plugin answers for the import of its module, broken_plugins; and of
# several failing fixtures of one check the first answers for the others.
OF_IMPORTS = {
    *("imports_without_torch", "imports_quickly", "imports_silently"),
    *("import_changes_nothing", "imports_offline"),
}


def registry_of(where: str) -> Registry:
    loaded = plugins.load("mutants", EntryPoint("mutants", where, "zoo").load, where=where)
    return Registry(with_ours(loaded))


def check_here(target: str, registry: Registry) -> list[Outcome]:
    return check(target, registry=registry, thorough=True, progress=False)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Return the checks of all failing fixtures, in a folder where one may leave a file."""
    random.seed(0)
    with contextlib.chdir(tmp_path_factory.mktemp("failing")):
        yield Suite(registry_of("broken_plugins:entries"), "mutants", thorough=True)


@pytest.fixture(scope="module")
def fixtures(failing: Suite) -> dict[str, list[str]]:
    """Return the failing fixtures of each check: `CHECK`, or `CHECK.WHY`."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in dict.fromkeys(item.case.label for item in failing.items.values()):
        found[entry.split(".")[0]].append(entry)
    return found


# Their fixtures start processes that import torch, too; only the first of each check is tried by day
OF_EXPORTERS = {check.name for check in CHECKS if check.module == "exporter_checks"}
EXPORTERS = [spec.name for spec in broken_entries.specs if isinstance(spec, ExporterSpec)]


def marks_of(name: str, *, by_night: bool = False) -> list[pytest.MarkDecorator]:
    """Return when to try what takes long: a check, or by night one of its fixtures after the first."""
    check, _, further = name.partition(".")
    if check not in OF_EXPORTERS | OF_IMPORTS:
        return []
    return [pytest.mark.nightly if further or by_night else pytest.mark.slow]


@pytest.mark.parametrize(
    "check", [check.name for check in CHECKS if check.name not in OF_PLUGINS | OF_EXPORTERS]
)
def test_a_failing_fixture_fails_its_check(check, failing, fixtures):
    assert fixtures[check], f"no entry of broken_plugins fails {check}"
    found = {entry: failing.outcome(f"{entry}-{check}").outcome for entry in fixtures[check]}
    assert found == dict.fromkeys(fixtures[check], "failed")


def test_each_failure_says_what_was_expected_and_the_usual_cause(failing, fixtures):
    checks = {check.name for check in CHECKS} - OF_PLUGINS - OF_EXPORTERS
    reasons = {name: reason_of(name, failing) for check in checks for name in fixtures[check]}
    assert [name for name, reason in reasons.items() if " Usually: " not in reason] == []


@pytest.mark.parametrize("entry", [pytest.param(n, marks=marks_of(n)) for n in EXPORTERS])
def test_a_failing_exporter_fails_its_check(entry, failing):
    assert failing.outcome(f"{entry}-{entry.partition('.')[0]}").outcome == "failed"


@pytest.mark.nightly  # a minute; what one failing fixture does to other checks changes with the check alone
def test_a_failing_fixture_fails_no_other_check(failing):
    others = [
        name for name, item in failing.items.items() if item.case.label.split(".")[0] != item.check.name
    ]
    outcomes = [failing.outcome(name) for name in others]
    assert [o.name for o in outcomes if o.outcome == "failed"] == []
    assert len([o for o in outcomes if o.outcome == "passed"]) > 2000


@pytest.mark.parametrize("name", [pytest.param(n, marks=marks_of(n)) for n in FAILING_PLUGINS])
def test_a_plugin_fails_its_check_and_no_other(name, monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_MUTANT", "")
    monkeypatch.chdir(tmp_path)
    check = name.split(".")[0]
    with warnings.catch_warnings():
        suite = Suite(registry_of(FAILING_PLUGINS[name]), "mutants", thorough=True)
        left_out = OF_IMPORTS - ({check} if name in broken or name != check else OF_IMPORTS)
        outcomes = [suite.outcome(n) for n, item in suite.items.items() if item.check.name not in left_out]
    assert [o.name for o in outcomes if o.outcome == "failed"] == [f"mutants-{check}"]


# By fixture, the most common cause that its failure names
CAUSES = {
    "output_shape.state": "a state kept on the module",
    "landmarks_resolve.mean": "an activation between `features` and the mean",
    "landmarks_resolve.features": "a layer that reshapes the batch",
    "landmarks_resolve.head": "has the batch before time",
    "landmarks_resolve.tokens": "a layer that returns one vector for each image",
    "landmarks_resolve.found": "a renamed attribute",
    "builds.dim": "a misspelled dim",
    "refuses_bad_options": "`Annotated[float, Meta(ge=0)]` (`from msgspec import Meta`)",
    "output_shape.small": "the model needs 64×64; set the spec's",
    "output_shape.large": "a fixed input size",
    "builds.small": "the model needs 48×48; set the spec's",
    "output_shape": "a squeeze() that drops a batch axis of size one",
    "same_shape_in_training.inputs": "an in-place operation on them",
    "eval_is_deterministic": "F.dropout without",
    "eval_is_deterministic.counter": "state kept on the module",
    "eval_is_deterministic.numpy": "noise from NumPy",
    "batch_mates_do_not_matter.large": "only for larger batches",
    "batch_mates_do_not_matter.number": "depends on the batch size",
    "overfits_one_batch.softmax": "a softmax in the model",
    "saves_and_loads.process": "values that differ between processes",
    "exports.batch": "the batch size fixed as a number",
    "has_three_splits.stream": "an IterableDataset or a generator",
    "reads_uploads.images": "a reader of files only",
    "makes_an_optimizer.closure": "a closure that calls the model again",
    "trains.rate": "a learning rate that is too high",
    "items_fit_dims.long": "a __len__ that also counts files or lines",
    "items_fit_dims.short": "a __len__ that leaves out items",
    "same_items_twice.inverted": "an in-place operation",
    "same_items_twice.augmented": "a dataset that shuffles, augments or labels at random",
    "same_items_twice.opened": "random numbers from an unseeded generator",
    "same_items_twice.system": "a generator that the system seeds",
    "same_items_twice.process": "os.getpid()",
    "same_items_twice.clock": "time.time()",
    "same_items_twice.order": "the order of a set",
    "same_fingerprint_twice.order": "the order of a set",
    "splits_differ.bit": "slightly changed",
    "labels_in_range.missing": "a split by class",
    "labels_in_range.one": "items sorted by class",
    "preprocess_feeds_new_input.mean": "the statistics of a different dataset",
    "answers_what_was_asked.images": "only the last batch kept",
    "maps_are_upright": "maps upside down",
    "maps_are_upright.mirrored": "mirrored maps",
    "items_fit_dims.list": "split into parallel streams",
    "can_be_written": "convert it with float(), int() or tolist()",
    "fingerprint_follows_the_data": "a constant",
    "refuses_missing_files.ignored": "a file that the dataset goes without",
    "tiny_data_fits.double": "numbers from NumPy",
    "options_are_typed.dataset": "a missing annotation",
    "options_are_typed.required": "a misspelled name of a training option",
    "options_are_typed.annotation": "a misspelled type",
    "options_are_typed.function": "a class with the methods `items` and `value`",
    "makes_an_optimizer.return": "a missing `return`",
    "resumes_exactly": "a counter or an average that no checkpoint contains",
    "resumes_exactly.late": "create every tensor in the first step",
    "returns_rates": "a string, or a missing `return`",
    "returns_rates.history": "use `row.get(name)`",
    "returns_images": "numbers from 0 to 1",
    "returns_images.crop": "a crop that is not resized",
    "returns_images.fewer": "images that are left out or repeated",
    "returns_images.return": "a missing `return`",
    "draws_from_its_draws.fixed": "a seed that is fixed",
    "measures.mean": "a mean over the batch",
    "measures.value": "a missing `return`",
    "measures.methods": "a misspelled method",
    "measures.state": "counts or sums that are kept on `self`",
    "measures.sum": "a sum that value() does not divide by the count",
    "measures.nan_loss": "a logarithm of 0",
    "measures.detached_loss": "detach()",
    "programs_answer_alike.batch": "the example's batch size 2",
    "programs_answer_alike.fewer": "outputs whose names, types or shapes",
    "programs_answer_alike.names": "outputs in a different order",
    "programs_answer_alike.thousandth": "arithmetic in lower precision, or a chan",
    "programs_answer_alike.garbage": "weights of a different model",
    "programs_answer_alike.mean": "a mean over the batch",
    "programs_answer_alike.kept": "needs data that `write` kept in memory",
    "programs_answer_alike.file": "kept in memory or another file",
    "programs_answer_alike.changed": "weights or modes changed without a copy",
    "programs_answer_alike.settings": "a setting not restored",
    "equal_models_equal_files": "a time",
    "equal_models_equal_files.count": "a counter",
    "equal_models_equal_files.set": "an unsorted set or folder",
    "equal_models_equal_files.gzip": "the time in gzip's header",
    "equal_models_equal_files.place": "stack traces",
    "eval_changes_nothing.inputs": "an in-place operation on them",
}


@pytest.mark.parametrize(
    "entry", [pytest.param(name, marks=marks_of(name, by_night=True)) for name in CAUSES]
)
def test_a_failure_names_its_most_common_cause(entry, failing):
    assert CAUSES[entry] in reason_of(entry, failing).partition("Usually: ")[2]


def reason_of(entry: str, failing: Suite) -> str:
    """Return the reason of a fixture's failure."""
    return failing.outcome(f"{entry}-{entry.partition('.')[0]}").reason


def test_a_metric_may_not_have_the_name_of_a_metric_of_its_task():
    suite = Suite(registry_of("broken_plugins:namesakes"), "mutants")
    found = {name: suite.outcome(f"{name}-measures").reason for name in ("accuracy", "perplexity")}
    for name, task in (("accuracy", "classification"), ("perplexity", "language-modeling")):
        assert f"a name that {task} does not use for its own metrics; got '{name}'" in found[name]


def test_the_traceback_of_plugin_code_in_another_process_is_kept(failing):
    found = failing.outcome("processes_without_torch-processes_without_torch")
    assert "broken_processors.py" in found.traceback
    assert "ModuleNotFoundError: No module named 'torch'" in found.traceback


@pytest.mark.parametrize("entry", ["output_shape.large", "refuses_missing_files", "finite.text"])
def test_a_failure_by_an_error_of_a_library_names_the_line_of_the_plugin(entry, failing):
    assert re.search(r"Error.* \(kit/broken\.py:\d+\)\. Usually: ", reason_of(entry, failing))


def test_a_metric_of_numbers_is_checked_in_their_units():
    suite = Suite(registry_of("broken_plugins:numbers"), "mutants")
    checks = ("measures", "measures_each_item_alone", "right_outputs_score_better")
    found = {
        name: [suite.outcome(f"{name}-{check}").outcome for check in checks]
        for name in ("relative-error", "error-of-ones")
    }
    assert found == {"relative-error": ["passed"] * 3, "error-of-ones": ["passed", "passed", "failed"]}


@pytest.mark.slow  # it exports
def test_the_checks_of_an_exporter_can_run_again():
    suite = Suite(registry_of("broken_plugins:honest"), "mutants/onnx-again")
    for _ in range(2):
        for check_of in ("programs_answer_alike", "equal_models_equal_files"):
            suite.run(f"onnx-again-{check_of}")


def test_a_failure_that_asks_what_was_meant_has_no_period_after_it():
    asked = message(expected="a task", got="unknown task 'x'; did you mean 'y'?", usually="a misspelled name")
    assert asked.endswith("; did you mean 'y'? Usually: a misspelled name")
    assert message(expected="1", got="2.", usually="3") == "expected 1; got 2. Usually: 3"


def test_every_check_has_a_failing_fixture(fixtures):
    found = {*fixtures, *(name.split(".")[0] for name in FAILING_PLUGINS)} - {"mutants"}
    assert found == {check.name for check in CHECKS}
    assert {name.split(".")[0] for name in FAILING_PLUGINS} == OF_PLUGINS
    assert sum(map(len, fixtures.values())) - 1 + len(FAILING_PLUGINS) >= 130  # entries and plugins


EXPORTED = pytest.param("onnx-again-refuses_what_it_did_not_write", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["net-use_changes_nothing", EXPORTED])
def test_a_check_in_a_new_process_needs_nothing_that_others_kept_in_the_last(name):
    registry = registry_of("broken_plugins:honest")
    suite = Suite(registry, "mutants")
    done = [dataclasses.replace(suite.if_it_ends(other), outcome="passed") for other in suite.items]
    found = Suite(registry, "mutants", done=[one for one in done if one.name != name]).outcome(name)
    assert (found.outcome, found.reason) == ("passed", "")


@pytest.mark.slow
def test_an_honest_plugin_passes_everything():
    outcomes = check_here("mutants", registry_of("broken_plugins:honest"))
    others = {o.name: (o.outcome, o.reason) for o in outcomes if o.outcome not in ("passed", "inapplicable")}
    forgets = (
        "the model cannot be exported: its context is limited to {} tokens, so it must reread recent tokens, "
        "but an exported model reads each token only once"
    )
    assert others == {
        "window-exports": ("skipped", forgets.format(8)),
        "cache-exports": ("skipped", forgets.format(96)),
        "heights-exports": (
            "skipped",
            "models for measuring cannot be exported: the task does not implement export",
        ),
    }
    assert not shortfall(outcomes)
    assert {o.check for o in outcomes} == {check.name for check in CHECKS}


@pytest.mark.slow  # seconds, which a process takes to import torch
def test_pretrained_weights_that_need_the_network_are_skipped_and_no_shortfall():
    outcomes = check_here("mutants/downloads", registry_of("broken_plugins:offline"))
    (unfinished,) = [o for o in outcomes if o.outcome not in ("passed", "inapplicable")]
    assert (unfinished.name, unfinished.outcome) == ("downloads-names_its_pretrained_weights", "skipped")
    assert unfinished.reason.startswith("its pretrained weights cannot be loaded offline: ")
    assert not shortfall(outcomes)


def test_weights_that_are_not_at_hand_are_skipped_and_not_passed():
    suite = Suite(registry_of("broken_plugins:elsewhere"), "mutants", thorough=True)
    outcomes = [suite.outcome(name) for name, item in suite.items.items() if item.check.kind == "weights"]
    assert {outcome.outcome for outcome in outcomes} == {"skipped"}
    assert outcomes[-1].reason.startswith(
        "some weights cannot be checked, because checks never download files: "
    )
    assert not shortfall(outcomes)


@pytest.mark.parametrize(("loss", "result"), [(0.00192278, "passed"), (0.0021, "failed")])
def test_a_claimed_metric_may_be_rounded_to_four_decimals(loss, result, monkeypatch):
    monkeypatch.setattr(
        catalog_checks, "_measured", lambda case, path, splits: {key: {"loss": loss} for key in splits}
    )
    suite = Suite(registry_of("broken_plugins:rounded"), "mutants", thorough=True)
    assert suite.outcome("mutants-weights_score_as_claimed").outcome == result


def test_checks_of_recipes_that_were_skipped_are_told_from_those_of_the_plugin():
    suite = Suite(registry_of("broken_plugins:recipes_name_entries"), "mutants", thorough=True)
    outcomes = [suite.outcome(name) for name, item in suite.items.items() if item.check.kind == "recipe"]
    assert shortfall(outcomes) == ["mutants: 1 of 2 checks of recipes ran (recipes_name_entries failed)"]


def test_what_needs_an_extra_that_is_not_installed_is_skipped_and_told():
    outcomes = check_here("mutants", registry_of("broken_plugins:extra"))
    assert {o.outcome for o in outcomes if o.kind == "plugin"} == {"passed"}
    for kind in ("command", "exporter", "tracker"):
        reasons = {o.reason for o in outcomes if o.kind == kind} - {"programs_answer_alike failed"}
        told = "requires no_such_package, which is not installed; the extra more installs it"
        assert reasons
        assert [reason for reason in reasons if told not in reason] == []
    assert shortfall(outcomes)


def test_an_analyzer_with_an_option_that_only_its_user_knows_is_skipped_and_told():
    outcomes = check_here("mutants/concept", registry_of("broken_plugins:asking"))
    reason = "it requires a value for concept, which the kit cannot generate"
    assert {(o.outcome, o.reason) for o in outcomes} == {("skipped", reason)}
    assert shortfall(outcomes) == [f"mutants/concept: 0 of {len(outcomes)} checks ran ({reason})"]


def test_a_dataset_with_a_required_option_is_checked_with_the_sample_of_its_spec():
    outcomes = check_here("mutants/folder", registry_of("broken_plugins:asking"))
    reason = "it requires a value for root, order, which the kit cannot generate; set `sample` in its spec"
    assert ("skipped", reason) in {(o.outcome, o.reason) for o in outcomes}
    outcomes = check_here("mutants/sampled", registry_of("broken_plugins:honest"))
    found = {outcome.check: outcome.outcome for outcome in outcomes}
    assert "failed" not in found.values()
    assert found["refuses_damaged_files"] == found["fingerprint_follows_the_data"] == "passed"


def test_what_a_spec_expects_to_fail_may_fail_and_may_not_pass():
    outcomes = check_here("mutants/net", registry_of("broken_plugins:expected"))
    by_check = {outcome.check: outcome for outcome in outcomes}
    assert (by_check["output_shape"].outcome, by_check["output_shape"].reason) == ("xfailed", "issue 12")
    assert by_check["builds"].outcome == "failed"
    assert by_check["builds"].reason == "it was expected to fail, but passed: issue 13"
    skipped = [outcome for outcome in outcomes if outcome.outcome == "skipped"]
    assert {outcome.reason for outcome in skipped} == {"output_shape failed, as expected"}
    assert {outcome.cause for outcome in skipped} == {"net-output_shape"}
    assert len(skipped) > 10
    assert not shortfall(outcomes)
    assert in_lines(outcomes) == [
        ("failed", "mutants/net-builds: it was expected to fail, but passed: issue 13"),
        ("xfailed", "mutants/net-output_shape: issue 12"),
        ("skipped", f"mutants/net: {len(skipped)} skipped: output_shape failed, as expected"),
    ]


def test_an_entry_of_any_kind_may_expect_to_fail_a_check():
    suite = Suite(registry_of("broken_plugins:expected_of_others"), "mutants")
    names = ("images-splits_differ", "leak-splits_differ", "tagging-baseline_is_of_its_metrics")
    found = {name: (suite.outcome(name).outcome, suite.outcome(name).reason) for name in names}
    assert found == {
        "images-splits_differ": ("failed", "it was expected to fail, but passed: issue 14"),
        "leak-splits_differ": ("xfailed", "issue 15"),
        "tagging-baseline_is_of_its_metrics": ("xfailed", "issue 16"),
    }


def test_one_recipe_or_weights_can_be_checked_alone():
    registry = registry_of("broken_plugins:recipes_have_valid_options")
    found = {name: [*Suite(registry, f"mutants/{name}").items.values()] for name in ("shapes", "wrong", "*s")}
    assert {name: [item.check.kind for item in items] for name, items in found.items()} == {
        "shapes": ["recipe", "recipe", "weights", "weights"],
        "wrong": ["recipe", "recipe"],
        "*s": ["recipe", "recipe", "weights", "weights"],
    }
    outcomes = {name: check_here(f"mutants/{name}", registry) for name in ("shapes", "wrong")}
    assert [outcome.outcome for outcome in outcomes["shapes"]] == ["passed"] * 5
    assert [outcome.outcome for outcome in outcomes["wrong"]] == ["passed", "failed"]
    with pytest.raises(
        UnknownName, match="plugin mutants has no entry, recipe or weights 'shape'; did you mean 'shapes'"
    ):
        Suite(registry, "mutants/shape")


def test_what_takes_long_is_checked_where_it_is_asked_for():
    registry = registry_of("broken_plugins:honest")
    long = {check.name for check in CHECKS if check.thorough}
    fast, thorough = (Suite(registry, "mutants", thorough=asked).items for asked in (False, True))
    assert thorough.keys() - fast.keys() == {
        name for name, item in thorough.items() if item.check.name in long
    }
    assert long == {"exports", "weights_score_as_claimed"}


def test_a_spec_can_only_expect_a_check_to_fail_that_there_is():
    with pytest.raises(UnknownName, match="has no check 'net-output_shap'; did you mean 'net-output_shape'"):
        Suite(registry_of("broken_plugins:misspelled"), "mutants", thorough=True)


def test_a_far_first_loss_of_a_model_that_learns_is_a_warning():
    suite = Suite(registry_of("broken_plugins:warned"), "mutants", thorough=True)
    found = suite.outcome("far-off-first_loss_near_uniform")
    assert found.outcome == "warned"
    assert found.reason.startswith("expected a first loss of about ln(classes) = 2.30; got ")
    assert in_words([found]) == "1 ran, 0 skipped, 0 failed, 1 warned"
    assert suite.outcome("far-off-overfits_one_batch").outcome == "passed"


def test_labels_of_one_split_that_do_not_fit_its_items_are_a_warning():
    found = Suite(registry_of("broken_plugins:warned"), "mutants").outcome("rolled-labels_in_range")
    assert found.outcome == "warned"
    assert "test labels in a different order than the items" in found.reason


def test_an_argument_that_a_training_option_replaces_gets_a_warning():
    found = Suite(registry_of("broken_plugins:warned"), "mutants").outcome("patient-options_are_typed")
    assert found.outcome == "warned"
    assert "got 4, which the training option patience replaces, by default with 0. Usually: " in found.reason


def test_options_without_an_effect_get_a_warning():
    suite = Suite(registry_of("broken_plugins:unused"), "mutants")
    found = {
        item.case.label: suite.outcome(name).reason.partition("; got none of ")[2].partition(".")[0]
        for name, item in suite.items.items()
        if item.check.name == "uses_its_options"
    }
    dead = {
        "depth": "depth",
        "kept-depth": "odd_depth",
        "decay": "weight_decay",
        "floor": "floor",
        "scale": "scale",
        "level": "level",
        "folder": "folder",
    }
    assert found == {**dict.fromkeys(("net", "plain", "linear", "pinball", "mirrored"), ""), **dead}


def test_a_tracker_that_is_slow_or_stores_no_values_gets_a_warning(monkeypatch):
    def outcome(name):
        found = Suite(registry_of("broken_plugins:warning_trackers"), "mutants")
        return found.outcome(f"{name}-stores_what_it_logs")

    assert [outcome(name).outcome for name in ("remembers", "steps")] == ["passed", "warned"]
    assert "files without them" in outcome("steps").reason
    monkeypatch.setattr(tracker_checks, "_SLOW", 0.0)
    assert "expected six rows to be stored within 0 s" in outcome("remembers").reason


@pytest.mark.slow  # it tries to export
def test_what_torch_cannot_export_is_one_line_and_prints_no_graph(capfd):
    suite = Suite(registry_of("broken_plugins:undeclared"), "mutants", thorough=True)
    found = suite.outcome("expert-exports")
    assert found.outcome == "failed"
    assert "got GuardOnDataDependentSymNode: Could not guard on data-dependent expression" in found.reason
    assert "`unexportable` or `data_dependent`" in found.reason
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("skipped", "messages"),
    [
        ([], []),
        (["mutants/one"], []),
        (["mutants/one", "mutants/two"], ["one: 0 of 2 checks ran (gone)", "two: 0 of 2 checks ran (gone)"]),
    ],
)
def test_an_entry_may_be_skipped_beside_one_that_ran(skipped, messages):
    outcomes = [
        outcome(f"{entry}-{check}", "skipped" if f"mutants/{entry}" in skipped else "passed")
        for entry in ("one", "two")
        for check in ("works_offline", "items_fit_dims")
    ]
    assert shortfall(outcomes) == [f"mutants/{message}" for message in messages]


def test_an_entry_may_not_be_skipped_in_part():
    outcomes = [outcome("one-works_offline", "passed"), outcome("one-items_fit_dims", "skipped")]
    assert shortfall(outcomes) == ["mutants/one: 1 of 2 checks ran (gone)"]


def test_a_plugin_without_entries_provides_nothing_unless_it_failed_to_load():
    loads = Outcome(name="mutants-loads", outcome="passed", plugin="mutants", entry="mutants", kind="plugin")
    assert shortfall([loads]) == ["mutants provides nothing"]
    assert shortfall([dataclasses.replace(loads, outcome="failed")]) == []


def outcome(name: str, result: Literal["passed", "skipped", "failed"]) -> Outcome:
    reason = "gone" if result == "skipped" else ""
    entry = f"mutants/{name.partition('-')[0]}"
    return Outcome(name=name, outcome=result, reason=reason, plugin="mutants", entry=entry, kind="dataset")


def test_every_check_has_a_docstring():
    for one in CHECKS:
        assert one.load().__doc__, one.name


def test_the_table_names_every_check():
    for name in {one.module for one in CHECKS}:
        module = import_module(f"zoo.testing.{name}")
        public = {
            key
            for key, value in vars(module).items()
            if not key.startswith("_") and getattr(value, "__module__", "") == module.__name__
        }
        assert public == {one.name for one in CHECKS if one.module == name}
