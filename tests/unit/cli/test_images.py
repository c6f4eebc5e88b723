"""Image models as a user trains, fine-tunes and evaluates them."""

from __future__ import annotations

import json

from tests.shell import SMALL_NET, SMALL_SHAPES, zoo
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


def test_the_best_epoch_is_named(tmp_path):
    few = ("--epochs", "3", "--batch-size", "32", "--lr", "1e-9")
    done = zoo("train", "resnet-lite", "shapes", *SMALL_NET[:2], *SMALL_SHAPES, *few, "--json",
               "--run", tmp_path / "run")  # fmt: skip
    result = json.loads(done.stdout)
    card = read_card(tmp_path / "run" / "best.safetensors")
    assert result["weights"] == str(tmp_path / "run" / "best.safetensors")
    assert result["epoch"] == card.progress["epochs"]
    again = zoo("train", "resnet-lite", "shapes", *SMALL_NET[:2], *SMALL_SHAPES, *few, "--resume",
                "--run", tmp_path / "run")  # fmt: skip
    accuracy = f"val accuracy {100 * result['metrics']['val']['accuracy']:.2f}%"
    assert again.stdout.splitlines()[:3] == [
        f"weights  {result['weights']}",
        f"         epoch {result['epoch']} of 3, the best by validation: {accuracy}",
        f"last     {tmp_path / 'run' / 'model.safetensors'}",
    ]


def test_patience_ends_a_run(tmp_path):
    done = zoo("train", "resnet-lite", "shapes", *SMALL_NET[:2], *SMALL_SHAPES, "--epochs", "9",
               "--lr", "1e-30", "--ema-decay", "0.9999", "--patience", "1", "--json",
               "--run", tmp_path / "run")  # fmt: skip
    result = json.loads(done.stdout)
    assert result["epochs"] == result["epoch"] + 1 < 9


def test_eval_counts_by_class(net_file):
    plain = json.loads(zoo("eval", net_file, "--json").stdout)
    assert len(plain["classes"]) == len(plain["confusion"]) == 8
    assert sum(map(sum, plain["confusion"])) == plain["count"] == 16
    right = sum(row[index] for index, row in enumerate(plain["confusion"]))
    assert plain["metrics"]["accuracy"] == right / 16
    assert plain["classes"][0].keys() == {"class", "count", "accuracy", "interval"}


def test_tta_changes_the_answers_and_is_for_images(net_file, lstm_file):
    plain, views = (json.loads(zoo("eval", net_file, *more, "--json").stdout) for more in ([], ["--tta"]))
    assert (plain["tta"], views["tta"]) == (False, True)
    assert plain["count"] == views["count"]
    assert plain["metrics"]["loss"] != views["metrics"]["loss"]
    refused = zoo("eval", lstm_file, "--tta")
    assert refused.returncode == 2
    assert "does not support test-time augmentation" in refused.stderr
