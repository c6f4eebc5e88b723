"""Fine-tuning: what a model takes from another, and how it says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo import Recipe, Registry
from zoo.errors import OptionError, RunError, SpecError, WeightsError
from zoo.files.cards import read_card
from zoo.models import weights
from zoo.tasks.classification import Classification
from zoo.training.run import train
from zoo.training.setup import set_up

SHAPES = {"size": 16, "train_size": 40, "val_size": 16, "test_size": 0}
SOURCE = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data=SHAPES,
    model={"widths": [4, 8]},
    train={"epochs": 1, "batch_size": 16, "precision": "fp32"},
)
STILL = {"epochs": 1, "batch_size": 16, "lr": 1e-30, "weight_decay": 0.0, "freeze": ["stem", "stages"]}
PLUGIN = """
from zoo import DatasetSpec, hookimpl
from zoo.interfaces import Dataset
import torch


class Stripes(Dataset):
    fingerprint = "2" * 64

    def __init__(self, *, classes: int = 8, same: bool = False):
        names = ["circle", "ring", "square", "frame", "triangle", "diamond", "plus", "cross"]
        self.names = names if same else [f"kind {n}" for n in range(classes)]
        self.dims = {"in_channels": 3, "image_size": 16, "num_classes": len(self.names)}
        self.preprocess = {"size": 16, "mean": [0.5] * 3, "std": [0.2] * 3, "classes": self.names}

    dims = preprocess = None

    def split(self, name):
        return [(torch.full((3, 16, 16), n, dtype=torch.uint8), n % len(self.names)) for n in range(16)]


@hookimpl
def zoo_datasets():
    return [DatasetSpec(name="stripes", target="stripes:Stripes", task="classification", summary="Stripes")]
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("plugin") / "stripes.py"
    path.write_text(PLUGIN)
    return Registry.discover(local=[path])


@pytest.fixture(scope="module")
def source(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(train(SOURCE, registry, directory=tmp_path_factory.mktemp("source")).weights)


def tuned(registry: Registry, source: Path, folder: Path, **data: Any) -> tuple[Any, Any, list[str]]:
    told: list[str] = []
    recipe = Recipe(
        architecture="resnet-lite", dataset="stripes", data=data, train=STILL, start=str(source), seed=1
    )
    result = train(recipe, registry, directory=folder, notice=told.append)
    return *weights.load(result.weights, registry), told


def test_a_new_head_for_other_classes_and_all_else_kept(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    model, card, told = tuned(registry, source, tmp_path, classes=3)
    before = weights.load(source, registry)[0].state_dict()
    after = model.state_dict()
    kept = {name for name in after if after[name].shape == before[name].shape}
    assert set(after) - kept == {"out.weight", "out.bias"}
    assert all(torch.equal(after[name], before[name]) for name in kept), "statistics of BatchNorm too"
    assert card.arguments["widths"] == [4, 8], "the file's own options"
    names = "out.weight, out.bias"
    origin = "a convnet/resnet-lite trained on images/shapes"
    assert told[0] == f"starting from 20 tensors of {origin}; new: {names}"
    assert told[1] == "27 of 1,819 parameters are trained"


def test_as_many_classes_of_another_kind_get_a_new_head_too(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    before = weights.load(source, registry)[0].state_dict()
    other, _, told = tuned(registry, source, tmp_path / "other", classes=8)
    assert not torch.equal(other.state_dict()["out.weight"], before["out.weight"])
    assert "new: out.weight" in told[0]
    same, _, told = tuned(registry, source, tmp_path / "same", same=True)
    torch.testing.assert_close(same.state_dict()["out.weight"], before["out.weight"])
    assert "new" not in told[0]


def test_the_card_says_what_a_model_started_from(registry: Registry, source: Path, tmp_path: Path) -> None:
    _, card, _ = tuned(registry, source, tmp_path, classes=3)
    sha256 = read_card(source)[0].sha256
    assert card.start == {
        "architecture": "convnet/resnet-lite",
        "dataset": "images/shapes",
        "sha256": sha256,
    }
    assert read_card(source)[0].start == {}


def test_the_file_itself_is_left_alone(registry: Registry, source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    tuned(registry, source, tmp_path, classes=3)
    assert source.read_bytes() == before


def test_another_architecture_is_refused(registry: Registry, source: Path, tmp_path: Path) -> None:
    wrong = Recipe(architecture="camnet", dataset="shapes", data=SHAPES, start=str(source))
    with pytest.raises(
        SpecError, match="holds a convnet/resnet-lite, and a convnet/camnet is to be"
    ) as caught:
        train(wrong, registry, directory=tmp_path / "run")
    assert caught.value.hint is not None
    assert f"zoo train convnet/resnet-lite DATASET --from {source}" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_exist_or_do_not_fit_are_refused(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="there is no file nowhere"):
        train(replace(SOURCE, start="nowhere"), registry, directory=tmp_path / "run")
    linear = Recipe(architecture="mlp", dataset="shapes", data=SHAPES, model={"widths": []})
    file = train(replace(linear, train={"epochs": 1}), registry, directory=tmp_path / "mlp").weights
    other = Recipe(architecture="mlp", dataset="stripes", data={"classes": 3}, start=file)
    with pytest.raises(WeightsError, match=r"nothing in .* fits the convnet/mlp that is to be trained"):
        train(other, registry, directory=tmp_path / "run")
    with pytest.raises(OptionError, match="freeze=body matches no parameter"):
        train(replace(SOURCE, train={"freeze": ["body"]}), registry, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_only_from_the_weights_it_started_from(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    file = tmp_path / "start.safetensors"
    file.write_bytes(source.read_bytes())
    recipe = replace(SOURCE, start=str(file))
    train(recipe, registry, directory=tmp_path / "run")
    train(recipe, registry, directory=tmp_path / "run", resume=True)
    other = train(replace(SOURCE, seed=7), registry, directory=tmp_path / "other").weights
    file.write_bytes(Path(other).read_bytes())
    with pytest.raises(RunError, match="the data has changed since, or the weights it started from"):
        train(recipe, registry, directory=tmp_path / "run", resume=True)


def test_a_run_goes_on_without_the_weights_it_started_from_or_from_another_place(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    file = tmp_path / "start.safetensors"
    file.write_bytes(source.read_bytes())
    recipe = replace(SOURCE, model={}, start=str(file))
    before = Path(train(recipe, registry, directory=tmp_path / "run").weights).read_bytes()
    moved = file.rename(tmp_path / "moved.safetensors")
    for start in (str(file), str(moved)):
        (tmp_path / "run" / "model.safetensors").unlink()
        again = train(replace(recipe, start=start), registry, directory=tmp_path / "run", resume=True)
        assert Path(again.weights).read_bytes() == before
    assert read_card(Path(again.weights))[0].start["sha256"] == read_card(source)[0].sha256
    with pytest.raises(WeightsError, match="there is no file"):
        train(recipe, registry, directory=tmp_path / "other")


def test_what_starts_anew_cannot_be_frozen(registry: Registry, source: Path, tmp_path: Path) -> None:
    wrong = Recipe(
        architecture="resnet-lite", dataset="stripes", train={"freeze": ["out"]}, start=str(source)
    )
    with pytest.raises(OptionError, match=r"freeze=out holds out.weight, out.bias, which start anew"):
        train(wrong, registry, directory=tmp_path / "run")


def test_first_weights_that_follow_from_the_data_are_fitted_once(registry: Registry, tmp_path: Path) -> None:
    recipe = Recipe(
        architecture="airbench",
        dataset="shapes",
        model={"widths": [24, 4, 4, 4]},
        data={"train_size": 64, "val_size": 0, "test_size": 8},
        train={"epochs": 1, "batch_size": 16},
    )
    made = set_up(recipe, registry, notice=print)
    made.model.stem.bias.data.zero_()
    images = next(Classification().eval_batches(made.dataset, "train")).inputs
    variances = made.model.stem(images).var((0, 2, 3))
    torch.testing.assert_close(variances, torch.ones(24), rtol=0, atol=0.1)
    again = set_up(recipe, registry, notice=print).model
    assert torch.equal(again.stem.weight, made.model.stem.weight)
    result = train(recipe, registry, directory=tmp_path / "run")
    finer = replace(recipe, start=result.weights, data=recipe.data | {"seed": 1})
    assert torch.equal(set_up(finer, registry, notice=print).model.stem.weight, again.stem.weight)


def test_freezing_random_weights_is_told(registry: Registry, tmp_path: Path) -> None:
    told: list[str] = []
    frozen = replace(SOURCE, train=SOURCE.train | {"freeze": ["stem"]})
    train(frozen, registry, directory=tmp_path / "run", notice=told.append)
    assert told == [
        "freeze keeps weights that are random: nothing was given to start --from",
        "1,560 of 1,864 parameters are trained",
    ]


def test_a_card_that_asks_for_a_giant_is_refused_before_it_is_built(
    registry: Registry, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, card = weights.load(source, registry)
    giant = replace(card, arguments=card.arguments | {"widths": [4, 10**6]})
    weights.save(tmp_path / "giant.safetensors", model, giant)
    with pytest.raises(WeightsError, match="does not fit its architecture"):
        train(
            replace(SOURCE, model={}, start=str(tmp_path / "giant.safetensors")),
            registry,
            directory=tmp_path / "run",
        )


def test_a_card_that_does_not_say_its_classes_is_refused(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    model, card = weights.load(source, registry)
    preprocess = {name: value for name, value in card.preprocess.items() if name != "classes"}
    weights.save(tmp_path / "bare.safetensors", model, replace(card, preprocess=preprocess))
    with pytest.raises(WeightsError, match="its card does not say the classes of its data"):
        weights.load(tmp_path / "bare.safetensors", registry)


@pytest.mark.parametrize("option", [{"mixup_alpha": 0.2}, {"augment": ["flip"]}])
def test_what_is_for_images_is_refused_for_text(registry: Registry, tmp_path: Path, option: Any) -> None:
    text = Recipe(architecture="gru", dataset="stdlib", train=option)
    with pytest.raises(OptionError, match=f"{next(iter(option))} is for images, and charrnn/gru does"):
        train(text, registry, directory=tmp_path / "run")


def test_another_vocabulary_gets_new_embeddings(registry: Registry, tmp_path: Path) -> None:
    def run(text: str, name: str, start: str = "") -> tuple[Path, list[str]]:
        (tmp_path / f"{name}.txt").write_text(text)
        told: list[str] = []
        recipe = Recipe(
            architecture="gru",
            dataset="files",
            data={"paths": str(tmp_path / f"{name}.txt")},
            model={"hidden_size": 8},
            train={"epochs": 1, "batch_size": 4},
            start=start,
        )
        result = train(recipe, registry, directory=tmp_path / name, notice=told.append)
        return Path(result.weights), told

    first, _ = run("to be or not to be. " * 60, "one")
    _, told = run("ab cd ef gh ij. " * 60, "two", str(first))
    assert "new: embedding.weight, out.weight, out.bias" in told[0]
