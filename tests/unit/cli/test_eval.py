"""`zoo eval` and `zoo analyze dynamic-evaluation` as a user types them."""

from __future__ import annotations

import json
import re

import pytest

from tests.shell import zoo


def test_dynamic_evaluation_is_printed_beside_the_same_lane_without_adaptation(lstm_file, tmp_path):
    before = lstm_file.read_bytes()
    done = zoo("analyze", "dynamic-evaluation", lstm_file, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    still, dynamic, *scores = done.stdout.splitlines()
    assert re.fullmatch(r"one lane without adaptation: loss \d\.\d{4} nats", still)
    assert dynamic == "dynamic evaluation, lr 0.0003, decay 0.001:"
    assert re.search(r"loss +\d\.\d{4} nats", "\n".join(scores))
    assert lstm_file.read_bytes() == before


def test_its_figures_and_options_are_in_the_manifest(lstm_file, tmp_path):
    words = ["analyze", "dynamic-evaluation", lstm_file, "--split", "val", "--json", "--out", tmp_path]
    lane, dynamic = json.loads(zoo(*words).stdout)["tables"]["evaluations"]
    assert dynamic["loss"] < lane["loss"]
    plain = json.loads(zoo("eval", lstm_file, "--split", "val", "--json").stdout)["metrics"]
    assert lane["loss"] == pytest.approx(plain["loss"], rel=0.3)
    found = json.loads(zoo(*words, "--option", "lr=0").stdout)
    assert found["scores"]["loss"] == pytest.approx(lane["loss"])


def test_dynamic_evaluation_of_an_image_model_is_refused(net_file):
    done = zoo("analyze", "dynamic-evaluation", net_file)
    assert done.returncode == 1
    assert "dynamic-evaluation is for language-modeling, but convnet/resnet-lite is for cl" in done.stderr


def test_a_step_that_is_too_large_exits_3(lstm_file):
    done = zoo("analyze", "dynamic-evaluation", lstm_file, "--option", "lr=1e38")
    assert done.returncode == 3
    assert "try a learning rate below --option lr=1e+38" in done.stderr
    assert done.stdout == ""


def test_an_option_that_does_not_suit_the_model_is_refused(lstm_file):
    done = zoo("eval", lstm_file, "--data", "backwards=true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "zoo: the model requires backwards=false (got backwards=true)" in done.stderr
    assert "leave out --data backwards=true: the weights decide it" in done.stderr
