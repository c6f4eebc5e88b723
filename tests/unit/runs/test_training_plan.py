"""`zoo train --dry-run`: what a training would do, and who sets each of its options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests import shell
from zoo.errors import ZooError, ZooWarning

SMALL = {"train_size": 300, "val_size": 20, "test_size": 20}
DATA = [word for name, size in SMALL.items() for word in ("--data", f"{name}={size}")]
RECIPE = """schema = 1
[recipes.mine]
architecture = "mlp"
dataset = "shapes"
model = { widths = [8] }
data = { size = 16 }
train = { epochs = 3, momentum = 0.5 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "registry.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir() if path.name != ".lock"}


def sources(plan: Any) -> dict[str, str]:
    return {name: option["source"] for name, option in plan.options.items()}


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_each_option_is_told_with_its_source_and_nothing_is_written(folder: Path) -> None:
    plan = zoo.train("mine", data=SMALL, lr=0.02, seed=1, dry_run=True, progress=False)
    found = sources(plan)
    assert found["lr"] == found["data.train_size"] == found["seed"] == "you"
    assert (
        found["epochs"] == found["momentum"] == found["data.size"] == found["model.widths"] == "recipe mine"
    )
    assert found["optimizer"] == "architecture convnet/mlp"
    assert found["batch_size"] == "this data"
    assert plan.options["epochs"] == {"value": 3, "source": "recipe mine"}
    assert [path.name for path in folder.iterdir()] == ["registry.toml"]
    lines = repr(plan).splitlines()[1:]
    starts = {len(line) - len(source) for line, source in zip(lines, found.values(), strict=False)}
    assert len(starts) == 1, "the columns are aligned"


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_fine_tuning_tells_what_comes_from_the_weights() -> None:
    plan = zoo.train(
        "resnet20", "shapes", data=SMALL, from_weights="shapes-resnet20", dry_run=True, progress=False
    )
    found = sources(plan)
    assert found["optimizer"] == found["data.size"] == "weights shapes-resnet20"
    assert found["from_weights"] == "you"
    assert (found["schedule"], found["lr"]) == ("fine-tuning", "this data")


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_fine_tuning_inherits_the_options_that_suit_the_model(tmp_path: Path) -> None:
    inherited = {
        "optimizer": "lion",
        "optimizer_options": {"beta2": 0.9},
        "momentum": 0.8,
        "weight_decay": 0.02,
        "decay_matrices_only": True,
        "norm_bias_lr_scale": 2.0,
        "lr_scales": {"out.weight": 0.5},
        "batch_size": 8,
    }
    others: dict[str, Any] = {"epochs": 1, "ema_decay": 0.5, "label_smoothing": 0.1}
    zoo.train("mlp", "shapes", data=SMALL, run=tmp_path / "run", progress=False, **inherited, **others)
    plan = zoo.train("mlp", "shapes", data=SMALL, from_weights=tmp_path / "run", dry_run=True, progress=False)
    source = f"weights {tmp_path / 'run'}"
    found = {name: each["value"] for name, each in plan.options.items() if each["source"] == source}
    assert {name: value for name, value in found.items() if "." not in name} == inherited
    words = ("train", "mlp", "shapes", *DATA, "--from", str(tmp_path / "run"), "--dry-run", "--json")
    done = shell.zoo(*words, "--optimizer-option", "beta2=0.5")
    options = json.loads(done.stdout)["options"]
    assert options["optimizer_options"] == {"value": {"beta2": 0.5}, "source": "you"}


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_another_optimizer_inherits_neither_the_learning_rate_nor_its_scales() -> None:
    options: dict[str, Any] = {"data": SMALL, "from_weights": "cifar10-resnet56", "optimizer": "sgd"}
    plan = zoo.train("resnet56", "shapes", dry_run=True, progress=False, **options)
    assert "lr_scales" not in plan.options
    assert plan.options["lr"]["value"] == 0.04, "0.4 times the architecture's own"


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_a_last_layer_is_trained_alone_after_muon() -> None:
    options: dict[str, Any] = {"data": SMALL, "from_weights": "cifar10-resnet56"}
    freeze = ["conv", "norm", "stages"]
    plan = zoo.train("resnet56", "shapes", freeze=freeze, dry_run=True, progress=False, **options)
    assert plan.options["optimizer"]["value"] == "muon"
    assert plan.trained == 64 * 8 + 8


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
def test_a_training_does_what_its_plan_says(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "data": SMALL,
        "model": {"widths": [8]},
        "epochs": 2,
        "freeze": ["hidden"],
    }
    plan = zoo.train("mlp", "shapes", run=tmp_path / "run", dry_run=True, progress=False, **options)
    run = zoo.train("mlp", "shapes", run=tmp_path / "run", progress=False, **options)
    assert (plan.epochs, plan.steps) == (run.result.epochs, run.result.steps)
    assert plan.parameters == run.model.num_parameters > plan.trained > 0
    recipe = run.recipe.to_dict()
    for name, option in plan.options.items():
        table, _, key = name.rpartition(".")
        assert option["value"] == (recipe if name == "seed" else recipe[table or "train"])[key], name
    kept = {".lock", "checkpoint.previous.safetensors"}
    assert {*plan.files} == {path.name for path in (tmp_path / "run").iterdir()} - kept


def test_the_command_prints_a_table_or_json(folder: Path) -> None:
    done = shell.zoo("train", "mine", *DATA, "--dry-run", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert lines[0] == ["convnet/mlp", "on", "images/shapes"]
    assert ["epochs", "3", "recipe mine"] in lines
    assert ["model.widths", "8", "recipe mine"] in lines, "as it is typed"
    assert ["data.train_size", "300", "you"] in lines
    assert not (folder / "runs").exists()
    done = shell.zoo("train", "mine", *DATA, "--dry-run", "--json", cwd=folder)
    plan = json.loads(done.stdout)
    assert plan["options"]["epochs"] == {"value": 3, "source": "recipe mine"}
    assert plan["steps"] == 3 * plan["steps"] // 3 > 0
    assert lines[-4:] == [
        ["parameters", f"{plan['parameters']:,}"],
        ["steps", f"{plan['steps']:,}", "in 3 epochs"],
        ["device", plan["device"]],
        ["writes", "config.toml,", f"{', '.join(plan['files'][1:])} in {plan['run']}"],
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--optimizer", "nadam"), "zoo: recipe mine: momentum=0.5 has no effect: the optimizer optim/nadam"),
        (("--optimizer", "nadam", "--momentum", "0.4"), "zoo: --momentum=0.4 has no effect: the optimizer"),
        (("--data", "size=large"), "zoo: dataset images/shapes: size must be "),
    ],
)  # fmt: skip
def test_an_error_names_the_source_of_the_option(words: tuple[str, ...], message: str, folder: Path) -> None:
    done = shell.zoo("train", "mine", *words, "--dry-run", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(message)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("epochs = 3", "epochs = 0", r"recipe mine: epochs must be at least 1 \(got 0\)"),
        ("widths", "width", "recipe mine: architecture convnet/mlp has no option 'width'"),
        ("size = 16", 'size = "large"', "recipe mine: dataset images/shapes: size must be "),
        ('"shapes"', '"shaeps"', "recipe mine: unknown dataset 'shaeps'; did you mean 'shapes'"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_called_the_recipe_s(
    right: str, wrong: str, message: str, folder: Path
) -> None:
    (folder / "registry.toml").write_text(RECIPE.replace(right, wrong))
    with pytest.raises(ZooError, match=f"^{message}"):
        zoo.train("mine", dry_run=True)


def test_the_batch_size_is_chosen_with_options_of_augmentations_as_typed() -> None:
    words = ("--augment", "random-erasing", "--augment-option", "random-erasing.p=0.25")
    done = shell.zoo("train", "mlp", "shapes", *DATA, *words, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    options = json.loads(done.stdout)["options"]
    assert options["batch_size"]["source"] == "this data"
    assert options["augment_options"]["value"] == {"random-erasing.p": 0.25}


@pytest.mark.parametrize("option", [("--seeds", "3"), ("--track", "csv"), ("--track-option", "path=here")])
def test_a_plan_for_what_only_a_training_does_is_refused(option: tuple[str, str]) -> None:
    done = shell.zoo("train", "mlp", "shapes", "--dry-run", *option)
    assert (done.returncode, done.stderr) == (2, f"zoo: --dry-run cannot be combined with {option[0]}\n")


def test_a_plan_warns_of_little_data_as_training_does() -> None:
    with pytest.warns(ZooWarning, match="an epoch has a single step: use more data"):
        zoo.train("mlp", "shapes", data={**SMALL, "train_size": 8}, dry_run=True, progress=False)


def test_a_run_that_would_be_resumed_is_planned_from_its_checkpoint(tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": SMALL, "progress": False, "run": tmp_path / "run", "epochs": 2}
    with pytest.warns(ZooWarning):
        zoo.train("mlp", "shapes", stop_after=1, **options)
    before = contents(tmp_path / "run")
    plan = zoo.train("mlp", "shapes", resume=True, dry_run=True, **options)
    assert plan.run == str(tmp_path / "run")
    assert contents(tmp_path / "run") == before
