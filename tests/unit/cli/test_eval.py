"""`zoo eval` and `zoo analyze dynamic-evaluation` as a user types them."""

from __future__ import annotations

import json
import re

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


def test_tta_changes_the_answers(net_file):
    plain, views = (json.loads(zoo("eval", net_file, *more, "--json").stdout) for more in ([], ["--tta"]))
    assert (plain["tta"], views["tta"]) == (False, True)
    assert plain["count"] == views["count"]
    assert plain["metrics"]["loss"] != views["metrics"]["loss"]
