"""What the kit once accused although it was right; what once escaped it is among the failing fixtures."""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from zoo.registry import plugins
from zoo.registry.registry import Registry
from zoo.testing._suite import Suite
from zoo.testing._targets import with_ours

EXAMPLES = Path(__file__).parents[2] / "examples"

# By what was right: the honest entry, and the checks that once failed
FALSE_ALARMS = {
    "one expert for each token": ("experts", ("causal", "every_parameter_gets_a_gradient", "exports")),
    "one expert for each image": ("expert", ("moves_dtype_and_device", "exports")),
    "a layer with a version": ("versioned", ("saves_and_loads",)),
    "numbers from tensors in the constructor": ("numbers", ("builds_on_meta",)),
    "images that must be larger": ("large", ("output_shape", "saves_and_loads", "exports")),
    "a state in a dict": ("dict", ("state_detaches", "state_can_be_saved")),
    "a state in a NamedTuple": ("named", ("state_detaches", "state_can_be_saved")),
    "a state with a number": ("number", ("state_detaches", "state_can_be_saved")),
    "a buffer of -inf": ("infinite", ("use_changes_nothing", "saves_and_loads")),
    "a complex buffer": ("complex", ("saves_and_loads", "moves_dtype_and_device")),
    "one size of images only": ("one-size", ("follows_its_dims",)),
    "autocast on the device of the inputs": ("autocasts", ("moves_dtype_and_device",)),
    "a model that its constructor leaves in eval mode": ("evaluating", ("overfits_one_batch",)),
    "a processor that looks whether torch is loaded": ("measuring", ("processes_without_torch",)),
    "data that is compared by its names": ("measuring", ("refuses_other_data",)),
    "an optimizer with train() and eval()": (
        "schedule-free",
        ("makes_an_optimizer", "follows_its_rate", "trains", "resumes_exactly"),
    ),
    "an item for any number": ("endless", ("items_fit_dims",)),
    "every file of a folder": ("globbed", ("refuses_missing_files", "refuses_damaged_files")),
    "a window of a few tokens": ("window", ("carries_state", "any_length_and_batch")),
}


@cache
def suite(where: str, target: str = "mutants") -> Suite:
    """Return the checks of a plugin, which share the process that they start."""
    plugin = plugins.load("mutants", EntryPoint("mutants", where, "zoo").load, where=where)
    return Suite(Registry(with_ours(plugin)), target, thorough=True)


# To export them takes seconds
LONG = ("images that must be larger", "one expert for each image")


@pytest.mark.parametrize(
    ("entry", "checks"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] * (name in LONG))
        for name, case in FALSE_ALARMS.items()
    ],
)
def test_what_was_accused_passes(entry, checks):
    honest = suite("broken_plugins:honest")
    for check in checks:
        found = honest.outcome(f"{entry}-{check}")
        assert found.outcome in ("passed", "inapplicable")


def test_a_model_that_starts_far_off_but_learns_is_only_warned():
    found = suite("broken_plugins:warned").outcome("far-off-first_loss_near_uniform")
    assert found.outcome == "warned"


@pytest.mark.parametrize("entry", ["lights", "raw-lights"])
def test_images_of_a_task_of_numbers_need_no_label_that_is_unknown(entry):
    found = suite("broken_plugins:numbers", f"mutants/{entry}").outcome(f"{entry}-preprocess_feeds_new_input")
    assert (found.outcome, found.reason) == ("passed", "")


FORECASTS = {
    "outputs with more axes than the targets": ("quantile-mlp", ("output_shape", "follows_its_dims")),
    "tiny data that reads values": ("quantile-mlp", ("builds_on_meta",)),
    "a loss with a kink": ("forecasting", ("better_outputs_score_better", "predicts_the_targets")),
    "several outputs for each target": ("smape", ("right_outputs_score_better",)),
}


@pytest.mark.parametrize(("entry", "checks"), FORECASTS.values(), ids=FORECASTS)
def test_forecasts_pass(entry, checks, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "zoo-forecast")
    found = suite("zoo_forecast.plugin")
    assert [found.outcome(f"{entry}-{check}").outcome for check in checks] == ["passed"] * len(checks)


def test_a_forecast_of_another_length_is_accused(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "zoo-forecast")
    found = suite("broken_plugins:one_day").outcome("one-day-follows_its_dims")
    assert found.outcome == "failed"
    assert "to return outputs that begin with (1, 48, 3)" in found.reason
    found = suite("broken_plugins:without_shape").outcome("one-day-output_shape")
    assert "a task whose outputs have more axes than its targets, without `output_shape`" in found.reason


def test_models_of_numbers_read_the_items_of_the_tiny_dataset():
    miles = suite("broken_plugins:miles")
    checks = ("output_shape", "eval_is_deterministic", "batch_mates_do_not_matter", "saves_and_loads")
    assert [miles.outcome(f"logarithms-{check}").reason for check in checks] == [""] * len(checks)
    found = miles.outcome("batch-scale-batch_mates_do_not_matter")
    assert found.outcome == "failed"
    assert found.reason.startswith("expected the same outputs for an item among other items")


def test_a_metric_with_a_target_need_not_be_best_for_right_outputs(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "zoo-forecast")
    found = suite("zoo_forecast.plugin").outcome("coverage-right_outputs_score_better")
    assert (found.outcome, found.reason) == (
        "inapplicable",
        "right outputs need not be closest to its target value",
    )


def test_the_first_loss_of_a_few_numbers_is_not_that_of_guessing():
    found = suite("broken_plugins:numbers", "mutants/skewed").outcome("skewed-first_loss_near_uniform")
    assert found.outcome == "inapplicable"


def test_an_analyzer_may_be_for_a_task_with_targets_of_several_numbers():
    checks = suite("broken_plugins:numbers", "mutants/mean-error")
    found = Counter(checks.outcome(name).outcome for name in checks.items)
    assert found == {"passed": 9, "inapplicable": 9}
