"""`zoo eval --dynamic` as a user types it."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.conftest import zoo
from zoo.evaluation.dynamic import Dynamic


def document(*arguments):
    done = zoo("eval", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_dynamic_evaluation_adds_figures_and_changes_no_others(lstm_file):
    before = lstm_file.read_bytes()
    plain = document(lstm_file)
    both = document(lstm_file, "--dynamic")
    dynamic = both.pop("dynamic")
    assert both == plain
    metrics, still = dynamic.pop("metrics"), dynamic.pop("unadapted")
    assert metrics.keys() == still.keys() == plain["metrics"].keys()
    assert metrics["loss"] < still["loss"]
    assert dynamic == {"lr": Dynamic().lr, "decay": Dynamic().decay, "segment": Dynamic().segment}
    assert lstm_file.read_bytes() == before


def test_text_output_names_dynamic_evaluation_on_a_line_of_its_own(lstm_file):
    plain, both = zoo("eval", lstm_file), zoo("eval", lstm_file, "--dynamic")
    first, guess, still, second = both.stdout.splitlines()
    assert re.fullmatch(r"guessing gives loss \d\.\d{4} nats", guess)
    assert still.startswith("the same in one lane: loss ")
    assert [first, guess] == plain.stdout.splitlines()
    assert "dynamic" not in first
    expected = rf"dynamic evaluation, lr {Dynamic().lr:g}, decay {Dynamic().decay:g}"
    assert re.fullmatch(
        expected + r": loss \d.\d{4} nats, \d.\d{4} bits per character, perplexity .*", second
    )
    assert both.stderr == f"evaluating {lstm_file}\n"


def test_its_options_are_passed_on(lstm_file):
    options = "--dynamic", "--dynamic-lr", "0", "--dynamic-decay", "0.5", "--split", "val"
    found = document(lstm_file, *options)
    assert (found["dynamic"]["lr"], found["dynamic"]["decay"]) == (0, 0.5)
    assert found["dynamic"]["metrics"]["loss"] == pytest.approx(found["metrics"]["loss"], rel=0.3)
    assert found["dynamic"]["metrics"] != document(lstm_file, "--dynamic")["dynamic"]["metrics"]


def test_help_names_the_defaults():
    out = " ".join(zoo("eval", "--help").stdout.split())
    assert f"{Dynamic().lr} by default" in out
    assert f"{Dynamic().decay} by default" in out


def test_progress_is_shown_on_stderr_when_it_takes_long(lstm_file, monkeypatch):
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("zoo.console.progress.time.monotonic", lambda: next(clock))
    done = zoo("eval", lstm_file, "--dynamic")
    line = r"^dynamic evaluation +\d+%  [\d,.]+ char/s  \d:\d\d left  loss \d\.\d{4}$"
    assert len(re.findall(line, done.stderr, re.MULTILINE)) > 5
    assert len(done.stdout.splitlines()) == 4


def test_ctrl_c_during_dynamic_evaluation_exits_130(lstm_file, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.console.progress.Bar.__call__", interrupt)
    done = zoo("eval", lstm_file, "--dynamic")
    assert done.returncode == 130
    assert done.stderr.split() == ["evaluating", str(lstm_file), "zoo:", "interrupted"]


@pytest.mark.parametrize("option", ["--dynamic-lr", "--dynamic-decay"])
def test_its_options_need_it(lstm_file, option):
    done = zoo("eval", lstm_file, option, "0.1")
    assert done.returncode == 2
    assert f"zoo: {option} requires dynamic evaluation" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--dynamic-lr", "-1", "dynamic lr must be between 0 (no adaptation) and 1e38 (got -1.0)"),
        ("--dynamic-decay", "2", "dynamic decay must be between 0 and 1 (got 2.0)"),
    ],
)
def test_a_value_out_of_range_is_refused(lstm_file, option, value, message):
    done = zoo("eval", lstm_file, "--dynamic", option, value)
    assert done.returncode == 2
    assert message in done.stderr


def test_dynamic_evaluation_of_an_image_model_is_refused(net_file):
    done = zoo("eval", net_file, "--dynamic")
    assert done.returncode == 2
    assert "zoo: dynamic evaluation is for sequences, but this model is for classification" in done.stderr


def test_a_step_that_is_too_large_exits_3(lstm_file):
    done = zoo("eval", lstm_file, "--dynamic", "--dynamic-lr", "1e38")
    assert done.returncode == 3
    assert "try a --dynamic-lr below 1e+38" in done.stderr
    assert done.stdout == ""


def test_an_option_that_does_not_suit_the_model_is_refused(lstm_file):
    done = zoo("eval", lstm_file, "--data", "backwards=true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "zoo: the model requires backwards=false (got backwards=true)" in done.stderr
    assert "leave out --data backwards=true: the weights decide it" in done.stderr
