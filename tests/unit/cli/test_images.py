"""Image models as a user trains, fine-tunes and evaluates them."""

from __future__ import annotations

import json

from tests.shell import zoo
from zoo.files.cards import read_card

FEW = ("--batch-size", "32", "--epochs", "1")


def test_a_model_starts_from_another_and_says_so(net_file, tmp_path):
    shapes = ("--data", "train_size=64", "--data", "val_size=16", "--data", "objects=2")
    done = zoo("train", "resnet-lite", "shapes", *shapes, *FEW, "--freeze", "stem", "--from", net_file,
               "--run", tmp_path / "run")  # fmt: skip
    assert done.returncode == 0, done.stderr
    origin = "convnet/resnet-lite trained on images/shapes"
    assert f"starting from 22 tensors of {origin}; classes: 8 copied, 0 new, 0 absent\n" in done.stderr
    card = read_card(tmp_path / "run" / "model.safetensors")
    assert card.base_model["sha256"] == read_card(net_file).sha256
    assert card.arguments["widths"] == [4, 8]
    inspected = zoo("inspect", tmp_path / "run" / "model.safetensors")
    assert card.base_model["sha256"] in inspected.stdout


def test_tta_changes_the_answers(net_file):
    plain, views = (json.loads(zoo("eval", net_file, *more, "--json").stdout) for more in ([], ["--tta"]))
    assert (plain["tta"], views["tta"]) == (False, True)
    assert plain["count"] == views["count"]
    assert plain["metrics"]["loss"] != views["metrics"]["loss"]
