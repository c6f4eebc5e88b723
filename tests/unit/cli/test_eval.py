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
    assert re.fullmatch(r"one stream without adaptation: loss \d\.\d{4} nats", still)
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
