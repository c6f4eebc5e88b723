"""`zoo show`: what a dataset contains and how long an epoch is, and the facts of other names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.configs import FIELDS
from tests.shell import TEXT, zoo
from zoo.registry.registry import Registry

PLUGIN = """
from dataclasses import dataclass

from zoo import ArchitectureSpec, DatasetSpec, FieldsSpec, hookimpl
from zoo_images.tiny import TinyImages


def absent(*, depth: int = 1):
    raise FileNotFoundError("no such disk")


def absent_net():
    raise AssertionError


@hookimpl
def zoo_architectures():
    fields = {"target": "sealed:absent_net", "task": "classification", "summary": "Sealed"}
    return [ArchitectureSpec(name="absent", **fields)]


class numbered(TinyImages):  # a target by its entry's name
    @property
    def preprocess(self):
        return {**super().preprocess, "classes": [*range(10)]}


@dataclass(frozen=True)
class Fields:
    strength: float = 1.0


@hookimpl
def zoo_training_options():
    return [FieldsSpec(name="bare", summary="Nothing is described", fields=Fields)]


def particular(*, first: int, second: int, third: int = 3):
    raise AssertionError


@hookimpl
def zoo_datasets():
    return [
        DatasetSpec(name=name, target=f"sealed:{name}", task="classification", summary="Sealed")
        for name in ("absent", "particular", "numbered")
    ]
"""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a plugin whose two datasets cannot be opened."""
    path = tmp_path_factory.mktemp("sealed") / "sealed.py"
    path.write_text(PLUGIN)
    return path


def shown(*arguments: str | Path, **options) -> dict:
    done = zoo("show", *arguments, "--json", **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_text_is_counted_by_split(text_file):
    facts = shown("files", "--data", f"paths={text_file}")
    assert facts["splits"] == {
        "train": {"tokens": len(TEXT) * 8 // 10, "unknown": 0},
        "val": {"tokens": len(TEXT) // 10, "unknown": 0},
        "test": {"tokens": len(TEXT) // 10, "unknown": 0},
    }
    assert facts["dims"] == {"vocab_size": len({*TEXT}) + 2}
    assert "unknown" not in facts


def test_the_percentage_of_unknown_tokens_is_shown(tmp_path):
    for name, text in [
        ("train.txt", "ab" * 2_000),
        ("val.txt", "abc?" * 5),
        ("test.txt", "x" + "ab" * 4_000),
    ]:
        (tmp_path / name).write_text(text)
    data = [f"paths={tmp_path}/train.txt", f"val={tmp_path}/val.txt", f"test={tmp_path}/test.txt"]
    words = [word for option in data for word in ("--data", option)]
    assert shown("files", *words)["splits"] == {
        "train": {"tokens": 4_000, "unknown": 0},
        "val": {"tokens": 20, "unknown": 10},
        "test": {"tokens": 8_001, "unknown": 1},
    }
    out = zoo("show", "files", *words).stdout
    assert re.search(r"^  train +4,000 tokens, 0 unknown$", out, re.M)
    assert re.search(r"^  val +20 tokens, 10 unknown \(50%\)$", out, re.M)
    assert re.search(r"^  test +8,001 tokens, 1 unknown \(0\.012%\)$", out, re.M)


def test_images_and_classes_are_counted():
    sizes = ["--data", "train_size=65", "--data", "val_size=3", "--data", "test_size=2"]
    facts = shown("shapes", *sizes)
    assert facts["splits"] == {"train": {"images": 65}, "val": {"images": 3}, "test": {"images": 2}}
    assert facts["dims"]["num_classes"] == len(facts["classes"]) == 8
    assert re.search(r"^  val +3 images$", zoo("show", "shapes", *sizes).stdout, re.M)


RECIPES = """
schema = 1

[recipes.slow]
architecture = "charrnn/lstm"
dataset = "text/stdlib"
train = { lr = 0.125, epochs = 3 }

[recipes.gone]
architecture = "gone/model"
dataset = "text/stdlib"
train = { lr = 0.125 }
"""


SIMILAR = """
schema = 1
[recipes.first]
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = ["a.txt"] }
train = { epochs = 3 }
[recipes.second]
architecture = "charrnn/gru"
dataset = "text/files"
data = { paths = ["a.txt"] }
train = { epochs = 4, lr = 0.5 }
[recipes.third]
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = ["a.txt"], tokens = "words" }
model = { hidden_size = 8 }
train = { epochs = 5 }
[recipes.later]
architecture = "charrnn/lstm"
dataset = "text/files"
data = { paths = ["a.txt"] }
model = { hidden_size = 8 }
train = { epochs = 5, lr = 0.5 }
"""


def test_a_recipe_is_shown_with_the_training_configuration_of_its_architecture(tmp_path):
    (tmp_path / "registry.toml").write_text(RECIPES)
    facts = shown("slow", cwd=tmp_path)
    assert facts["train"] == {"lr": 0.125, "epochs": 3}
    registry = Registry.discover()
    own = registry.usual_config(registry.architecture("lstm"))
    assert facts["training"] == own.replace(facts["train"]).to_dict()
    bptt = own.to_dict()["bptt"]
    assert bptt != FIELDS["bptt"].default
    out = zoo("show", "slow", cwd=tmp_path).stdout
    for key, value in (("epochs", "3"), ("lr", "0.125"), ("bptt", str(bptt))):
        assert re.search(rf"^  {key} +{re.escape(value)}$", out, re.M), key
    assert "warmup_epochs" not in out, "it has its default"


def test_a_recipe_is_shown_with_its_published_weights():
    facts = shown("cifar10-convnet-bn")
    assert facts["kind"] == "recipe"
    weights = facts["weights"]["cifar10-convnet-bn"]
    assert weights["metrics"]["test"]["accuracy"] > 0.77
    out = zoo("show", "cifar10-convnet-bn").stdout
    assert out.startswith("Recipe cifar10-convnet-bn for classification\n")
    assert "\nPublished weights cifar10-convnet-bn\n" in out
    accuracy = 100 * weights["metrics"]["test"]["accuracy"]
    assert re.search(rf"^  test +accuracy {accuracy:.2f}%, loss [\d.]+ nats$", out, re.M)
    assert re.search(r"^  show the card +zoo inspect cifar10-convnet-bn$", out, re.M)
    assert out.index("\n  trained in ") < out.index("\nRecipe\n"), "what the recipe achieves comes first"


def test_a_recipe_is_compared_with_the_most_similar_one_before_it(tmp_path):
    (tmp_path / "registry.toml").write_text(SIMILAR)
    assert shown("third", cwd=tmp_path)["similar"] == {
        "name": "first",
        "differences": {"model.hidden_size": [None, 8], "data.tokens": [None, "words"], "epochs": [3, 5]},
    }
    out = zoo("show", "third", cwd=tmp_path).stdout
    assert "\nDifferences from first\n" in out
    assert re.search("^  model.hidden_size +8 instead of default$", out, re.M)
    assert re.search("^  epochs +5 instead of 3$", out, re.M)


def test_the_first_recipe_of_a_dataset_is_not_compared(tmp_path):
    (tmp_path / "registry.toml").write_text(SIMILAR)
    assert "similar" not in shown("first", cwd=tmp_path)


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("focal-loss", "zoo train ... --loss focal-loss"),
        ("lion", "zoo train ... --optimizer lion"),
    ],
)
def test_the_usage_of_what_a_training_option_selects_is_shown(name, usage):
    assert f"\n  usage   {usage}\n" in zoo("show", name).stdout


@pytest.mark.parametrize(("name", "option"), [("onnx", "opset  20"), ("mlflow", 'experiment  ""')])
def test_the_options_of_an_exporter_and_a_tracker_are_shown(name, option):
    assert f"Options (--option KEY=VALUE) with their defaults\n  {option}\n" in zoo("show", name).stdout


def test_a_recipe_of_an_unknown_architecture_is_shown_as_written(tmp_path):
    (tmp_path / "registry.toml").write_text(RECIPES)
    facts = shown("gone", cwd=tmp_path)
    assert facts["train"] == {"lr": 0.125}
    assert facts["unknown"].startswith("training: unknown architecture 'gone/model'")


def test_missing_data_is_named_in_a_line_and_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    monkeypatch.setattr("requests.Session", None)
    empty = {"ZOO_DATA": "", "ZOO_CACHE": str(tmp_path)}
    facts, home = shown("nietzsche", env=empty), tmp_path / "downloads"
    assert facts["unknown"].startswith(f"splits: nietzsche.txt is not in {home}, and")
    assert facts["unknown"].endswith(
        "; download it from https://s3.amazonaws.com/text-datasets/nietzsche.txt"
    )
    assert facts["options"]["min_freq"] == 3
    assert "splits" not in facts
    out = zoo("show", "nietzsche", env=empty).stdout
    assert re.search(r"^  splits +nietzsche.txt is not in", out, re.M)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["files"], "splits: dataset text/files requires paths; add --data paths=..."),
        (["files", "--data", "paths=gone.txt"], "there is no file or folder 'gone.txt'"),
        (
            ["sealed/particular"],
            "sealed/particular requires first, second; add --data first=... --data second=...",
        ),
        (
            ["sealed/absent", "--kind", "dataset"],
            "splits: FileNotFoundError: no such disk",
        ),
    ],
)
def test_a_dataset_that_cannot_be_opened_is_shown_with_the_reason(sealed, arguments, reason):
    facts = shown(*arguments, env={"ZOO_PLUGIN_FILES": str(sealed)})
    assert reason in facts["unknown"]
    assert facts["options"]


def test_classes_without_names_and_fields_without_descriptions_are_shown(sealed):
    where = {"ZOO_PLUGIN_FILES": str(sealed)}
    done = zoo("show", "sealed/numbered", env=where)
    assert done.returncode == 0, done.stderr
    assert "0, 1, 2, 3" in done.stdout
    done = zoo("show", "sealed/bare", env=where)
    assert re.search(r"--strength +\(not described\)", done.stdout), done.stdout


def test_a_kind_tells_entries_of_one_name_apart(sealed):
    where = {"ZOO_PLUGIN_FILES": str(sealed)}
    done = zoo("show", "sealed/absent", env=where)
    assert done.returncode == 1
    assert "architecture sealed/absent, dataset sealed/absent; choose one with --kind" in done.stderr
    for kind in ("architecture", "dataset"):
        assert shown("sealed/absent", "--kind", kind, env=where)["kind"] == kind
    done = zoo("show", "sealed/absent", "--kind", "data", env=where)
    assert done.returncode == 2
    assert "--kind must be one of architecture, dataset, " in done.stderr


def test_analyzers_and_architectures_name_each_other():
    def shown(name):
        return json.loads(zoo("show", name, "--json").stdout)

    assert {"cam/cam", "cam/grad-cam", "analyzers/confusion"} <= set(shown("resnet20")["analyzers"])
    assert "cam/cam" not in shown("convnet")["analyzers"]
    of_every_classifier = {
        f"analyzers/{name}" for name in ("activations", "confusion", "filters", "suspects")
    }
    analyzers = {*shown("convnet/mlp")["analyzers"]}
    assert of_every_classifier <= analyzers
    assert "analyzers/feature-maps" not in analyzers, "an mlp has no feature maps"
    cam = shown("cam/cam")
    assert "convnet/camnet" in cam["architectures"]
    assert not {"convnet/convnet", "charrnn/lstm"} & set(cam["architectures"])
    assert cam["options"] == {"flips": False, "rectify": True}


def test_a_dataset_is_shown_with_the_images_of_each_class_by_split(tmp_path: Path) -> None:
    for split, counts in {"train": (3, 2), "test": (1, 2)}.items():
        for name, count in zip(("cat", "dog"), counts, strict=True):
            for number in range(count):
                path = tmp_path / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (9, 9 + number), 10 * len(f"{split}{name}{count}")).save(path)
    words = ("show", "folder", "--data", f"root={tmp_path}", "--data", "size=8")
    lines = [line.split() for line in zoo(*words).stdout.splitlines()]
    table = lines[lines.index(["CLASS", "TRAIN", "VAL", "TEST"]) :]
    assert table[1:3] == [["cat", "3", "0", "1"], ["dog", "2", "0", "2"]]
    facts = json.loads(zoo(*words, "--json").stdout)
    expected = {"train": {"cat": 3, "dog": 2}, "val": {"cat": 0, "dog": 0}, "test": {"cat": 1, "dog": 2}}
    assert facts["by_class"] == expected


def test_images_with_several_labels_count_for_each(tmp_path: Path) -> None:
    facts = json.loads(zoo("show", "scenes", "--data", "train_size=50", "--json").stdout)
    assert sum(facts["by_class"]["train"].values()) > 50


def test_a_text_has_no_counts_by_class(text_file: Path) -> None:
    assert "by_class" not in json.loads(zoo("show", "files", "--data", f"paths={text_file}", "--json").stdout)
