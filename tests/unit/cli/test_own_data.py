"""Trained models measured on data of the user's own: a folder of labeled images, a table, a text."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.shell import SMALL_NET, SMALL_SHAPES, zoo
from zoo import load, open_dataset

SIZES: dict[str, Any] = {"train_size": 64, "val_size": 16, "test_size": 16}


def written(root: Path, dataset: str = "shapes") -> list[tuple[Path, list[int]]]:
    """Write the test images that the small models were not trained on, a folder per class; return labels."""
    data = open_dataset(dataset, **SIZES, progress=False)
    names, files = data.preprocess["classes"], []
    for number, (image, label) in enumerate(data.split("test")):
        several = label.nonzero()[:, 0].tolist() if dataset == "scenes" else [label]
        path = root / ("images" if dataset == "scenes" else names[label]) / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
        files.append((path, several))
    return files


@pytest.fixture
def home(tmp_path: Path) -> Path:
    written(tmp_path / "home")
    return tmp_path / "home"


def measured(weights, root, *more, dataset="folder", code=0):
    done = zoo("eval", weights, "--dataset", dataset, "--data", f"root={root}", *more, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def same(measured, usual):
    """Return whether two results are of the same images, in whatever order."""
    close = measured["metrics"] == pytest.approx(usual["metrics"], abs=1e-6)
    return close and measured["confusion"] == usual["confusion"] and measured["classes"] == usual["classes"]


def test_a_folder_is_measured_whole_as_the_weights_read_images(net_file, home):
    usual, found = json.loads(zoo("eval", net_file, "--json").stdout), measured(net_file, home)
    assert sorted(path.name for path in home.iterdir()) != [row["class"] for row in usual["classes"]]
    assert same(found, usual)
    assert (found["dataset"], found["split"], found["count"]) == ("images/folder", "all", 16)
    assert found["missing_classes"] == usual["missing_classes"] == []
    plain = zoo("eval", net_file, "--dataset", "folder", "--data", f"root={home}")
    assert plain.stdout.startswith("images/folder, all 16 images: accuracy ")
    assert "was trained on" not in plain.stderr
    if not found["better_than_baseline"]:
        assert "zoo: the result on images/folder is no better than a random baseline" in plain.stderr
    in_python = load(net_file, progress=False).evaluate(
        dataset="folder", data={"root": str(home)}, progress=False
    )
    assert in_python == found


def test_classes_are_matched_by_name_whatever_case_and_punctuation(net_file, home):
    usual = measured(net_file, home)
    for old, new in {"circle": "CIRCLE", "square": "Squ_are", "ring": " ring"}.items():
        (home / old).rename(home / new)
    assert same(measured(net_file, home), usual)
    (home / "circle").mkdir()
    (home / "circle" / "x.png").write_bytes((home / "CIRCLE" / "00.png").read_bytes())
    found = measured(net_file, home, code=1)
    assert (
        found["error"]
        == "the classes 'CIRCLE' and 'circle' in the data match the same class of the model, 'circle'"
    )


def test_classes_may_be_missing_and_are_reported(net_file, home):
    for name in ("ring", "cross"):
        for path in (home / name).iterdir():
            path.unlink()
    (home / "ring").rmdir()  # the other is left as an empty folder
    found = measured(net_file, home)
    assert (found["count"], found["missing_classes"]) == (12, ["ring", "cross"])
    assert found["baseline"]["accuracy"] == 1 / 8
    assert len(found["confusion"]) == 8
    assert found["metrics"]["accuracy"] == sum(row[k] for k, row in enumerate(found["confusion"])) / 12
    plain = zoo("eval", net_file, "--dataset", "folder", "--data", f"root={home}").stdout
    lacking = "no images for 2 of the model's 8 classes: ring, cross\n"
    assert plain.endswith(lacking)
    words = ("--dataset", "folder", "--data", f"root={home}", "--metric", "macro-f1")
    noted = zoo("eval", net_file, *words).stdout
    assert noted.endswith(f"{lacking}macro-f1 counts such a class as 0 if the model predicts it\n")
    single = home.parent / "single"
    single.mkdir()
    (home / "plus").rename(single / "plus")
    assert measured(net_file, single)["count"] == 2


def test_an_unknown_class_is_refused_by_name(net_file, home):
    (home / "square").rename(home / "squares")
    found = measured(net_file, home, code=1)
    assert found["error"] == "the model has no class 'squares'"
    lacking = "its classes that the data lacks: "
    assert found["hint"].startswith(f"{lacking}square; rename a class of the data"), "ring is taken"
    (home / "ring").rename(home / "zebra")
    assert measured(net_file, home, code=1)["error"].startswith(
        "the model has no classes 'squares' and 'zebra'"
    )
    assert measured(net_file, home, code=1)["hint"].startswith(f"{lacking}ring, square; rename")


@pytest.mark.parametrize(("option", "value"), [("size", 32), ("channels", 3)])
def test_the_weights_decide_how_images_are_read(net_file, home, option, value):
    assert measured(net_file, home, "--data", f"{option}={value}")["count"] == 16
    other = {"size": 64, "channels": 1}[option]
    found = measured(net_file, home, "--data", f"{option}={other}", code=2)
    assert found["error"] == f"the model requires {option}={value} (got {option}={other})"
    assert found["hint"] == f"omit --data {option}={other}: the weights determine this value"


def test_splits_are_measured_if_the_folder_or_the_user_has_them(net_file, home):
    for name in ("train", "val", "test"):
        written(home.parent / "splits" / name)
    next((home.parent / "splits" / "test" / "plus").iterdir()).unlink()
    found = measured(net_file, home.parent / "splits")
    assert (found["split"], found["count"]) == ("test", 15)
    found = measured(net_file, home.parent / "splits", "--split", "train")
    assert (found["split"], found["count"]) == ("train", 16)
    for asked in (["--split", "test"], []):
        found = measured(net_file, home, "--data", "test_share=0.5", *asked)
        assert (found["split"], found["count"]) == ("test", 8)


def test_a_model_of_a_folder_is_measured_on_its_test_split_or_on_another_folder(home, tmp_path):
    run = tmp_path / "run"
    share = "--data", "test_share=0.5", "--data", "val_share=0", "--data", f"root={home}", "--data", "size=32"
    done = zoo("train", "resnet-lite", "folder", *SMALL_NET, *share, "--run", run)
    assert done.returncode == 0, done.stderr
    found = measured(run, home)
    assert (found["split"], found["count"]) == ("test", 8)
    home.rename(home.with_name("moved"))
    found = measured(run, home.with_name("moved"))
    assert (found["split"], found["count"]) == ("test", 8)
    written(tmp_path / "other")
    (tmp_path / "other" / "plus" / "x.png").write_bytes(
        next((tmp_path / "other" / "ring").iterdir()).read_bytes()
    )
    found = measured(run, tmp_path / "other")
    assert (found["split"], found["count"]) == ("all", 17)


def test_a_table_of_labels_is_measured_whole(tmp_path):
    run, root = tmp_path / "run", tmp_path / "home"
    done = zoo("train", "resnet-lite", "scenes", *SMALL_NET, *SMALL_SHAPES, "--run", run)
    assert done.returncode == 0, done.stderr
    usual = json.loads(zoo("eval", run, "--json").stdout)
    names = [row["class"] for row in usual["classes"]]
    files = written(root, "scenes")
    order = sorted(names, reverse=True)

    def table(columns):
        with (root / "labels.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["file", *columns])
            for path, labels in files:
                rows.writerow([path.name, *(int(names.index(name.lower()) in labels) for name in columns)])

    table([name.title() for name in order])
    found = measured(run, root, dataset="labeled")
    assert (found["split"], found["count"], found["classes"]) == ("all", 16, usual["classes"])
    assert found["metrics"] == pytest.approx(usual["metrics"], abs=1e-6)
    table(order[2:])
    found = measured(run, root, dataset="labeled")
    assert {*order[:2]} <= {*found["missing_classes"]}
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("ring", "rinng"))
    found = measured(run, root, dataset="labeled", code=1)
    assert found["error"] == "the model has no class 'rinng'"
    assert "ring" in found["hint"]


def test_a_text_is_measured_whole_with_the_vocabulary_of_the_weights(lstm_file, text_file, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("the lazy dog, and the quick brown fox!? " * 50)
    arguments = "eval", lstm_file, "--dataset", "files", "--data", f"paths={own}"
    found = json.loads(zoo(*arguments, "--json").stdout)
    assert (found["split"], found["count"]) == ("all", 40 * 50 - 1)
    assert found["counts"] == {"tokens": 2000, "unknown": 100}
    scored = load(lstm_file, progress=False).predict(own, progress=False)[0]["predictions"][0]
    assert found["metrics"]["loss"] == pytest.approx(scored["loss"], rel=0.1)  # in lanes
    lines = zoo(*arguments).stdout.splitlines()
    assert lines[0].startswith("text/files, all 1,999 characters: loss ")
    assert "100 of 2,000 characters are not in the model's vocabulary and are read as <unk>" in lines
    done = zoo("eval", lstm_file, "--data", f"paths={text_file}")
    assert done.stdout.startswith("text/files test, ")
    assert "vocabulary" not in done.stdout
    done = zoo(*arguments, "--data", "lower=true")
    assert done.returncode == 2
    assert "zoo: the model requires lower=false (got lower=true)" in done.stderr


def test_an_analysis_of_a_folder_is_of_all_of_it(net_file, home, tmp_path):
    arguments = "--dataset", "folder", "--data", f"root={home}", "--out", tmp_path / "out"
    done = zoo("analyze", "confusion", net_file, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    usual = measured(net_file, home)
    assert (found["split"], found["matrix"]) == ("all", usual["confusion"])


def test_classes_are_renamed_where_the_model_calls_them_otherwise(net_file, home):
    usual = measured(net_file, home)
    for old, new in {"square": "quadrat", "ring": "annulus"}.items():
        (home / old).rename(home / new)
    found = measured(net_file, home, "--data", "classes=quadrat=square,annulus=ring")
    assert same(found, usual)
    found = measured(net_file, home, "--data", "classes=quadrt=square", code=2)
    assert found["error"].endswith("(got 'quadrt'); did you mean 'quadrat'?")
    assert "--data classes=OLD=NEW" in measured(net_file, home, code=1)["hint"]


def test_weights_of_a_fold_know_their_fold_and_are_measured_on_all_of_other_data(home, tmp_path):
    data = [f"root={home}", "fold=1", "folds=2", "train_share=0.9", "size=8", "classes=ring=circle"]
    words = [word for option in data for word in ("--data", option)]
    done = zoo("train", "mlp", "folder", *words, "--epochs", "1", "--run", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    weights = (tmp_path / "run" / "best.safetensors").rename(tmp_path / "best.safetensors")
    found = json.loads(zoo("eval", weights, "--data", f"root={home}", "--split", "val", "--json").stdout)
    assert found["count"] == 8
    assert "ring" not in [row["class"] for row in found["classes"]]
    done = zoo("eval", weights, "--data", f"root={home}", "--split", "val")
    assert "was trained on" not in done.stderr
    (home / "circle" / "more.png").write_bytes((next((home / "cross").iterdir())).read_bytes())
    assert measured(weights, home)["count"] == 17
