"""What a training does where nobody says: it suits the data, and the weights that it starts from."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.configs import configured
from tests.methods import __file__ as methods
from tests.trainings import evaluated, set_up, train
from zoo.config.layers import YOU, Layers
from zoo.config.recipe import Recipe
from zoo.errors import ZooWarning
from zoo.evaluation.baseline import no_better_than_baseline, warn_of_a_wrong_sign
from zoo.files.cards import read_card
from zoo.models import weights
from zoo.registry.registry import Registry
from zoo.training.defaults import FEWEST_STEPS, fine_tuning, from_scratch
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.fields import TextFields
from zoo_text.language_modeling import LanguageModeling
from zoo_text.plugin import LANGUAGE_MODELING

USUAL = {"epochs": 6, "batch_size": 128, "optimizer": "sgd", "lr": 0.2, "augment": ("flip",)}
SMALL = {"size": 16, "train_size": 96, "val_size": 16, "test_size": 0}
SOURCE = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data=SMALL,
    model={"widths": [4, 8]},
    train={"epochs": 1, "batch_size": 48, "lr": 0.5, "augment": ["flip"], "clip_grad_norm": 0.0},
)


def usual(**given: Any) -> Layers:
    """Return the options of an architecture, and those that the user gives."""
    return Layers(configured()).suggest("architecture a", USUAL).give(YOU, given)


def steps_of(items: int, layers: Layers) -> Any:
    return lambda changes: math.ceil(items / changes.get("batch_size", layers["batch_size"]))


def messages(caught: Any) -> list[str]:
    return [str(warning.message) for warning in caught]


@pytest.fixture(scope="module")
def source(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    return train(SOURCE, registry, directory=tmp_path_factory.mktemp("source")).weights


@pytest.fixture(scope="module")
def other(source: str) -> Recipe:
    """Return a recipe that fine-tunes and says nothing more."""
    data = {name: value for name, value in SMALL.items() if name != "size"} | {"seed": 1}
    return Recipe(architecture="resnet-lite", dataset="shapes", data=data, from_weights=source)


@pytest.mark.parametrize(
    ("items", "given", "expected"),
    [
        (5_000, {}, {}),
        (168, {}, {"batch_size": 16, "lr": 0.025}),
        (168, {"optimizer": "adamw"}, {"batch_size": 16, "lr": 0.0707}),
        (10, {}, {"batch_size": 8, "lr": 0.0125}),
        (168, {"batch_size": 64}, {"lr": 0.1}),
        (5_000, {"batch_size": 256}, {}),
    ],
)
def test_from_scratch_batches_and_rate_suit_the_data(
    items: int, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    layers = usual(**given)
    assert from_scratch(layers, steps_of(items, layers)) == expected


@pytest.mark.parametrize("items", [168, 50_000])
def test_fine_tuning_takes_a_low_rate_and_enough_steps(items: int) -> None:
    layers = usual()
    chosen = fine_tuning(layers, steps_of(items, layers), 1.0, again=False)
    steps = steps_of(items, layers)(chosen)
    assert steps >= FEWEST_STEPS
    assert chosen["epochs"] * steps >= 250
    assert chosen["lr"] < 0.2 / 2
    layers = layers.suggest("weights x", chosen)
    again = fine_tuning(layers, steps_of(items, layers), 1.0, again=True)
    assert again == {"epochs": chosen["epochs"], "lr": chosen["lr"]}, "a rate that is low already stays"


def test_data_is_opened_as_the_weights_read_it(registry: Registry, other: Recipe) -> None:
    with pytest.warns(ZooWarning) as caught:
        made = set_up(other, registry, device="cpu")
    assert made.dataset.dims["image_size"] == 16
    assert made.recipe.data["size"] == 16, "recorded"
    assert made.config.groups["images"].augment == ("translate", "flip"), "the network's own"
    chosen = [line for line in messages(caught) if line.startswith("options chosen")]
    assert chosen == [
        "options chosen for this data: size=16, epochs=30, batch_size=8, lr=0.2; each can be overridden"
    ]


def test_what_is_said_holds_and_is_not_told(registry: Registry, other: Recipe) -> None:
    said = replace(other, data=other.data | {"size": 24}, train={"batch_size": 12, "lr": 0.3, "epochs": 2})
    with pytest.warns(ZooWarning) as caught:
        made = set_up(said, registry, device="cpu")
    assert made.dataset.dims["image_size"] == 24
    assert (made.config.batch_size, made.config.lr, made.config.epochs) == (12, 0.3, 2)
    assert not [line for line in messages(caught) if line.startswith("options chosen")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [({}, ("sgd", 0.2, 0.9)), ({"optimizer": "lion"}, ("lion", 0.00012, 0.9))],
    ids=["the weights'", "another"],
)
def test_fine_tuning_takes_two_fifths_of_the_rate_of_its_optimizer(
    said: Mapping[str, Any], expected: tuple[str, float, float], registry: Registry, other: Recipe
) -> None:
    with pytest.warns(ZooWarning, match="options chosen for this data"):
        config = set_up(replace(other, train=said), registry, device="cpu").config
    assert (config.optimizer, config.lr, config.momentum) == expected


def test_an_optimizer_of_the_user_does_not_get_the_rate_of_the_architectures(registry: Registry) -> None:
    entry = registry.architecture("resnet-lite")

    def rate(entry: Any, optimizer: str) -> float:
        recipe = Recipe(architecture=entry.name, dataset="", train={"optimizer": optimizer})
        return registry.training_config(recipe).lr

    rates = {name: rate(entry, name) for name in ("sgd", "adamw")}
    assert rates == {"sgd": entry.spec.training["lr"], "adamw": 0.001}
    entry = registry.architecture("gru")
    assert rate(entry, "sgd") == 0.1


# What `shapes-resnet20` was trained on, with another seed
KNOWN = {"size": 64, "objects": 3, "clutter": 8, "train_size": 16, "val_size": 0, "seed": 1}


def tuned(folder: Path, **options: Any) -> tuple[zoo.Run, str]:
    """Return a run that starts from `shapes-resnet20`, and the line that names what was chosen."""
    with pytest.warns(ZooWarning) as caught:
        run = zoo.train(
            "resnet20", "shapes", from_weights="shapes-resnet20", run=folder, progress=False, **options
        )
    return run, " ".join(line for line in messages(caught) if line.startswith("options chosen"))


@pytest.mark.slow  # ten seconds
def test_weights_keep_their_accuracy_when_fine_tuned_on_a_few_more_images(tmp_path: Path) -> None:
    run, chosen = tuned(tmp_path / "run", data={**KNOWN, "test_size": 200})
    assert run.result.metrics["test"]["accuracy"] >= 0.985, "it was 1.0"
    assert (
        chosen == "options chosen for this data: epochs=30, batch_size=8, lr=0.0024; each can be overridden"
    )
    assert run.recipe.train["lr"] == 0.0024, "recorded"


def test_the_rate_is_low_only_where_the_weights_predict_the_data_and_nobody_sets_it(tmp_path: Path) -> None:
    known, unknown = ({**data, "test_size": 0} for data in (KNOWN, {**KNOWN, "objects": 1}))
    run, _ = tuned(tmp_path / "unknown", data=unknown, epochs=1)
    assert run.recipe.train["lr"] == 0.08, "the same classes, drawn in another way"
    run, chosen = tuned(tmp_path / "set", data=known, epochs=1, lr=0.05)
    assert run.recipe.train["lr"] == 0.05
    assert "lr=" not in chosen
    run, _ = tuned(tmp_path / "known", data=known, epochs=1)
    before = (run.directory / "model.safetensors").read_bytes()
    run, _ = tuned(tmp_path / "known", data=known, epochs=1, resume=True)
    assert (run.directory / "model.safetensors").read_bytes() == before


def test_a_run_with_chosen_options_resumes_with_the_same_command(
    registry: Registry, other: Recipe, source: str, tmp_path: Path
) -> None:
    file = tmp_path / "first.safetensors"
    file.write_bytes(Path(source).read_bytes())
    recipe = replace(other, train={"epochs": 1}, from_weights=str(file))
    result = train(recipe, registry, directory=tmp_path / "run")
    before = Path(result.weights).read_bytes()
    for _ in range(2):
        again = train(recipe, registry, directory=tmp_path / "run", resume=True)
        assert Path(again.weights).read_bytes() == before
        file.unlink(missing_ok=True)  # and also without the weights that it started from
    assert read_card(Path(result.weights)).dataset.options["size"] == 16


def test_fine_tuning_a_text_keeps_how_it_was_cut(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("To be or not to be. " * 60)
    first = Recipe(
        architecture="gru",
        dataset="files",
        data={"paths": str(tmp_path / "a.txt"), "lower": True},
        model={"hidden_size": 8},
        train={"epochs": 1, "batch_size": 4, "bptt": 12, "bptt_jitter": False},
    )
    file = train(first, registry, directory=tmp_path / "first").weights
    tuned = replace(first, data={"paths": first.data["paths"]}, model={}, train={}, from_weights=file)
    made = set_up(tuned, registry, device="cpu")
    assert made.config.groups["text"] == TextFields(bptt=12, bptt_jitter=False)
    assert made.dataset.preprocess["lower"]


def test_a_text_too_short_for_the_usual_lanes_gets_fewer(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be or not to be. " * 60)
    recipe = Recipe(architecture="gru", dataset="files", data={"paths": str(tmp_path / "a.txt")})
    assert set_up(recipe, registry, device="cpu").config.batch_size == 8


BAD = Recipe(
    architecture="mlp",
    dataset="shapes",
    data=SMALL,
    train={"epochs": 1, "batch_size": 8, "lr": 100.0, "clip_grad_norm": 1.0, "schedule": "constant"},
)


def test_a_result_no_better_than_baseline_is_warned_of_and_says_so(
    registry: Registry, tmp_path: Path
) -> None:
    with pytest.warns(ZooWarning) as caught:
        result = train(BAD, registry, directory=tmp_path / "run")
    assert [
        line
        for line in messages(caught)
        if line.startswith("the result on val is no better than a random baseline")
    ]
    assert result.to_dict()["better_than_baseline"] is False
    assert result.baseline == {"accuracy": 1 / 8, "loss": math.log(8)}
    with pytest.warns(ZooWarning, match=r"^the result on val is no better than a random baseline: .*loss "):
        found = evaluated(*weights.load(result.weights, registry), registry, split="val")
    assert found["better_than_baseline"] is False
    assert found["baseline"] == result.baseline


def test_a_loss_that_rises_a_hundredfold_is_warned_of_once(registry: Registry, tmp_path: Path) -> None:
    with pytest.warns(ZooWarning) as caught:
        train(BAD, registry, directory=tmp_path / "run")
    rising = [line for line in messages(caught) if line.startswith("the loss rose from 2.")]
    assert len(rising) == 1
    assert rising[0].endswith("try lr=0.01")


CLASSIFIER = replace(BAD, train={"epochs": 2, "batch_size": 8, "optimizer": "adamw", "lr": 0.05})
READER = Recipe(
    architecture="gru",
    dataset="files",
    data={"paths": "a.txt", "splits": [90, 10, 0]},
    model={"hidden_size": 16},
    train={"epochs": 2, "batch_size": 4, "lr": 0.05},
)


@pytest.fixture
def signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a registry with both losses, in a folder with a text whose end has other letters."""
    (tmp_path / "a.txt").write_text("to be or not to be. " * 90 + "sing, my fury " * 15)
    monkeypatch.chdir(tmp_path)
    return Registry.discover(files=[methods])


@pytest.mark.parametrize(("recipe", "level"), [(CLASSIFIER, "2.079"), (READER, "2.773")])
def test_a_loss_with_the_wrong_sign_is_warned_of_once_after_the_first_epoch(
    recipe: Recipe, level: str, signs: Registry, tmp_path: Path
) -> None:
    with pytest.warns(ZooWarning) as caught:
        train(replace(recipe, train={**recipe.train, "loss": "reversed"}), signs, directory=tmp_path / "run")
    (line,) = [line for line in messages(caught) if "sign of" in line]
    assert re.fullmatch(
        rf"the training loss in epoch 1 is [\d.]+, worse than a random baseline \({level}\), although the "
        r"minimized loss fell: check the sign of the loss methods/reversed",
        line,
    )


@pytest.mark.parametrize(
    "recipe",
    [
        replace(CLASSIFIER, train={**CLASSIFIER.train, "loss": "likelihood"}),
        replace(CLASSIFIER, train={**CLASSIFIER.train, "lr": 1e-7}),
        replace(CLASSIFIER, data={**SMALL, "train_size": 8, "val_size": 1}),
        BAD,
        READER,
        replace(READER, train={**READER.train, "lr": 1e-7}),
    ],
    ids=["negative loss", "low rate", "tiny data", "high rate", "unlike text", "text at a low rate"],
)
def test_the_sign_of_an_honest_loss_is_not_warned_of(recipe: Recipe, signs: Registry, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* sign of ", ZooWarning)
        result = train(recipe, signs, directory=tmp_path / "run")
    if recipe is READER:
        assert result.better_than_baseline is False


@pytest.mark.parametrize(
    ("accuracy", "loss", "count", "worse"),
    [
        (0.02, 30.0, 1000, "accuracy"),
        (0.02, 30.0, 10, "loss"),  # of ten images, none may be right by chance
        (0.12, 30.0, 1000, "loss"),
        (0.12, 4.0, 1000, ""),
        (0.3, 30.0, 1000, ""),
    ],
)
def test_a_metric_must_be_worse_than_chance_beyond_its_fluctuation(
    accuracy: float, loss: float, count: int, worse: str
) -> None:
    task, metrics = Classification(CLASSIFICATION), {"accuracy": accuracy, "loss": loss}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_a_wrong_sign(metrics, task, {"classes": [*"abcdefgh"]}, count=count, loss="the loss x")
    assert [line.split()[2] for line in messages(caught)] == ([worse] if worse else [])


def test_a_result_better_than_baseline_is_not_warned_of(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be or not to be. " * 100)
    recipe = Recipe(
        architecture="gru",
        dataset="files",
        data={"paths": str(tmp_path / "a.txt"), "splits": [90, 10, 0]},
        model={"hidden_size": 16},
        train={"epochs": 2, "batch_size": 4, "lr": 0.02},
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the result on", ZooWarning)
        result = train(recipe, registry, directory=tmp_path / "run")
    assert result.better_than_baseline
    vocabulary = read_card(Path(result.weights)).preprocess["vocabulary"]
    assert result.baseline == {"loss": math.log(len(vocabulary))}


def test_batches_whose_gradients_are_accumulated_count_as_one() -> None:
    for given in ({"batch_size": 64, "grad_accum_steps": 2}, {"batch_size": 16, "grad_accum_steps": 8}):
        layers = usual(**given)
        assert "lr" not in from_scratch(layers, steps_of(10_000, layers))


def test_a_result_that_is_not_a_number_is_no_better_than_baseline() -> None:
    worse = no_better_than_baseline(
        {"loss": float("nan")}, LanguageModeling(LANGUAGE_MODELING), {"vocabulary": ["a", "b"]}
    )
    assert worse == {"loss": math.log(2)}
    assert (
        no_better_than_baseline(
            {"loss": 0.0, "accuracy": 1.0}, Classification(CLASSIFICATION), {"classes": ["a"]}
        )
        == {}
    )


def test_every_metric_is_compared_with_baseline_in_its_own_direction() -> None:
    class Tagging(Classification):
        def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
            return {"accuracy": 0.5, "top5_accuracy": 0.9, "loss": 0.7}

    task = Tagging(CLASSIFICATION)
    better = {"accuracy": 0.6, "top5_accuracy": 0.95, "loss": 0.6}
    assert no_better_than_baseline(better, task, {}) == {}
    worse = {"accuracy": 0.6, "top5_accuracy": 0.85, "loss": 0.6}
    assert no_better_than_baseline(worse, task, {}) == {"top5_accuracy": 0.9}
    as_good = {"accuracy": 0.5, "top5_accuracy": 0.95, "loss": 0.7}
    assert no_better_than_baseline(as_good, task, {}) == {"accuracy": 0.5, "loss": 0.7}
