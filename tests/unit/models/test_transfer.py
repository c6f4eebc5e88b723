"""Fine-tuning: what a model takes over from another, and what its card says of that."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from msgspec import structs
from torch import nn

import zoo
from tests.trainings import set_up, train
from zoo.config.recipe import Recipe
from zoo.console.reports import Progress
from zoo.errors import OptionError, WeightsError, ZooWarning
from zoo.files.cards import read_card
from zoo.models import weights
from zoo.models.transfer import BaseModel
from zoo.registry.catalog import Catalog
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Registry
from zoo_images.classification import Classification
from zoo_images.plugin import CLASSIFICATION
from zoo_text.plugin import LANGUAGE_MODELING

SHAPES = {"size": 16, "train_size": 40, "val_size": 16, "test_size": 0}
SOURCE = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data=SHAPES,
    model={"widths": [4, 8]},
    train={"epochs": 1, "batch_size": 16, "precision": "fp32"},
)
NAMES = ("circle", "ring", "square", "frame", "triangle", "diamond", "plus", "cross")
STILL = {"epochs": 1, "batch_size": 16, "lr": 1e-30, "weight_decay": 0.0, "freeze": ["stem", "stages"]}
PLUGIN = """
from zoo import DatasetSpec, hookimpl
from zoo.interfaces import Dataset
import torch
from msgspec import structs
from torch import nn


class Stripes(Dataset):
    fingerprint = "2" * 64

    def __init__(self, *, classes: int = 8, names: tuple[str, ...] = ()):
        self.names = [*names] or [f"kind {n}" for n in range(classes)]
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
    return Registry.discover(Catalog(), files=[path])


@pytest.fixture(scope="module")
def source(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(train(SOURCE, registry, directory=tmp_path_factory.mktemp("source")).weights)


class Revised(nn.Module):
    """A layer that converts weights without a version as old ones, as in MNASNet of torchvision."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: Any, local_metadata: Any, *rest: Any, **more: Any
    ) -> None:
        assert local_metadata.get("version") == 2
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest, **more)


def test_the_versions_of_layers_survive_a_transfer(card: Any) -> None:
    theirs, ours = Revised(), Revised()
    nn.init.ones_(theirs.weight)
    task: Any = SimpleNamespace(spec=LANGUAGE_MODELING, name=LANGUAGE_MODELING.name)
    entry: Any = None
    source = BaseModel(path=Path(), entry=entry, task=task, model=theirs, card=card(), options={})
    with pytest.warns(ZooWarning, match="starting from 1 tensors of "):
        assert source.copy_into(ours, task, {}, card().preprocess).fresh == []
    assert torch.equal(ours.weight, torch.ones(2))


def messages(caught: Any) -> list[str]:
    return [str(warning.message) for warning in caught]


def tuned(registry: Registry, source: Path, folder: Path, **data: Any) -> tuple[Any, Any, list[str]]:
    recipe = Recipe(
        architecture="resnet-lite",
        dataset="stripes",
        data=data,
        train=STILL,
        from_weights=str(source),
        seed=1,
    )
    with pytest.warns(ZooWarning) as caught:
        result = train(recipe, registry, directory=folder)
    return *weights.load(result.weights, registry), messages(caught)


def test_other_classes_get_a_new_head_and_everything_else_is_kept(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    content = source.read_bytes()
    model, card, warned = tuned(registry, source, tmp_path, classes=3)
    before = weights.load(source, registry)[0].state_dict()
    after = model.state_dict()
    kept = {name for name in after if after[name].shape == before[name].shape}
    assert set(after) - kept == {"out.weight", "out.bias"}
    assert all(torch.equal(after[name], before[name]) for name in kept), "BatchNorm's statistics too"
    assert card.arguments["widths"] == [4, 8], "the options of the file"
    names = "out.weight, out.bias"
    origin = "convnet/resnet-lite trained on images/shapes"
    assert warned[:3] == [
        f"starting from 20 tensors of {origin}; newly initialized: {names}",
        "the new layer out starts from a fit to the features of 16 training images",
        "training 27 of 1,819 parameters",
    ]
    sha256 = read_card(source).sha256
    start = {"architecture": "convnet/resnet-lite", "dataset": "images/shapes", "sha256": sha256}
    assert (card.base_model, read_card(source).base_model) == (start, {})
    assert source.read_bytes() == content


def test_as_many_classes_with_other_names_get_a_new_head_too(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    before = weights.load(source, registry)[0].state_dict()
    other, _, warned = tuned(registry, source, tmp_path / "other", classes=8)
    assert not torch.equal(other.state_dict()["out.weight"], before["out.weight"])
    assert warned[0].endswith("; newly initialized: out.weight, out.bias")
    same, _, warned = tuned(registry, source, tmp_path / "same", names=NAMES)
    torch.testing.assert_close(same.state_dict()["out.weight"], before["out.weight"])
    assert warned[0].endswith("; classes: 8 copied, 0 new, 0 absent")


def test_the_rows_of_classes_are_copied_by_name_in_any_order(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    names = ("CROSS", "star", "ring", "tri-angle")  # three of the eight, and a new one
    before = weights.load(source, registry)[0].state_dict()
    model, _, warned = tuned(registry, source, tmp_path, names=names)
    rows = [NAMES.index(name) for name in ("cross", "ring", "triangle")]
    for name in ("out.weight", "out.bias"):
        after = model.state_dict()[name]
        torch.testing.assert_close(after[[0, 2, 3]], before[name][rows])
        assert not any(torch.equal(after[1], row) for row in before[name])
    assert warned[0].endswith("images/shapes; classes: 3 copied, 1 new, 5 absent")


def test_weights_that_know_a_class_are_measured_as_epoch_0_and_can_be_the_best(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    tuned(registry, source, tmp_path / "known", names=("ring", "star"))  # trained without effect
    start, first = zoo.Run(tmp_path / "known", registry=registry).history
    assert (start["epoch"], start["steps"], first["epoch"]) == (0, 0, 1)
    assert start["val"] == first["val"]
    best = read_card(tmp_path / "known/best.safetensors")
    assert (best.progress, best.metrics) == ({"epochs": 0, "steps": 0}, {"val": start["val"]})
    (row,) = zoo.list_runs(tmp_path / "known", registry=registry)
    assert (row["epochs"], row["metrics"]) == (1, {"val": start["val"]})


def test_a_last_layer_that_was_fitted_is_measured_as_epoch_0(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    _, _, warned = tuned(registry, source, tmp_path, classes=2)
    assert "the new layer out starts from a fit to the features of 16 training images" in warned
    assert [row["epoch"] for row in zoo.Run(tmp_path, registry=registry).history] == [0, 1]


def test_a_run_that_is_best_early_says_so(registry: Registry, source: Path, tmp_path: Path) -> None:
    still = replace(SOURCE, train=STILL | {"epochs": 4}, from_weights=str(source))
    score = r"accuracy \d+\.\d\d%, and \d+\.\d\d% at the end; try lr=\S+ or fewer epochs$"
    with pytest.warns(ZooWarning, match=f"^validation was best at the start, before any training: {score}"):
        train(still, registry, directory=tmp_path)


@pytest.mark.parametrize("dataset", ["shapes", "stripes"])  # the classes of the weights, and others
def test_a_fine_tuning_that_is_killed_ends_like_one_that_is_not(
    dataset: str, registry: Registry, source: Path, tmp_path: Path
) -> None:
    recipe = replace(SOURCE, train={"epochs": 1, "batch_size": 8}, from_weights=str(source))
    if dataset == "stripes":
        recipe = replace(recipe, dataset=dataset, data={})

    def kill(progress: Progress) -> None:
        if progress.batch == 1:
            raise MemoryError  # after epoch 0 was saved

    with pytest.raises(MemoryError):
        train(recipe, registry, directory=tmp_path / "cut", report=kill)
    for directory in (tmp_path / "cut", tmp_path / "whole"):
        train(recipe, registry, directory=directory, resume=True)
    rows = [zoo.Run(tmp_path / name, registry=registry).history for name in ("cut", "whole")]
    assert [[row["epoch"], row["val"]] for row in rows[0]] == [[row["epoch"], row["val"]] for row in rows[1]]
    cut, whole = (read_card(tmp_path / name / "model.safetensors").sha256 for name in ("cut", "whole"))
    assert cut == whole


def test_weights_that_do_not_fit_are_refused(registry: Registry, tmp_path: Path) -> None:
    linear = Recipe(architecture="mlp", dataset="shapes", data=SHAPES, model={"widths": []})
    file = train(replace(linear, train={"epochs": 1}), registry, directory=tmp_path / "mlp").weights
    other = Recipe(architecture="mlp", dataset="stripes", data={"classes": 3}, from_weights=file)
    with pytest.raises(WeightsError, match=r"no tensor in .* matches convnet/mlp"):
        train(other, registry, directory=tmp_path / "run")
    with pytest.raises(OptionError, match="freeze=body matches no parameter"):
        train(replace(SOURCE, train={"freeze": ["body"]}), registry, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_resumes_only_with_the_weights_it_started_from(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    file = tmp_path / "first.safetensors"
    file.write_bytes(source.read_bytes())
    recipe = replace(SOURCE, from_weights=str(file))
    train(recipe, registry, directory=tmp_path / "run")
    train(recipe, registry, directory=tmp_path / "run", resume=True)
    other = train(replace(SOURCE, seed=7), registry, directory=tmp_path / "other").weights
    with pytest.warns(
        ZooWarning, match=f"--from {other} has no effect on a resumed run, which started from {file}"
    ):
        train(replace(recipe, from_weights=str(other)), registry, directory=tmp_path / "run", resume=True)


def test_a_run_resumes_although_its_first_weights_are_gone_or_moved(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    file = tmp_path / "first.safetensors"
    file.write_bytes(source.read_bytes())
    recipe = replace(SOURCE, model={}, from_weights=str(file))
    before = Path(train(recipe, registry, directory=tmp_path / "run").weights).read_bytes()
    moved = file.rename(tmp_path / "moved.safetensors")
    for start in (str(file), str(moved)):
        (tmp_path / "run" / "model.safetensors").unlink()
        again = train(replace(recipe, from_weights=start), registry, directory=tmp_path / "run", resume=True)
        assert Path(again.weights).read_bytes() == before
    assert read_card(Path(again.weights)).base_model["sha256"] == read_card(source).sha256
    with pytest.raises(WeightsError, match=r"^no such file or run directory: "):
        train(recipe, registry, directory=tmp_path / "other")


def test_a_run_resumes_although_its_published_weights_are_gone(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    file = tmp_path / "published.safetensors"
    file.write_bytes(source.read_bytes())
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    entry = WeightsSpec(
        recipe="", sha256=sha256, bytes=file.stat().st_size, params=1, metrics={}, file=str(file)
    )
    published = Registry(registry.plugins, Catalog(weights={"tiny": entry}))
    recipe = replace(SOURCE, from_weights="tiny")
    train(recipe, published, directory=tmp_path / "run")
    file.unlink()
    result = train(recipe, published, directory=tmp_path / "run", resume=True)
    assert read_card(Path(result.weights)).base_model["sha256"] == read_card(source).sha256


def test_what_is_newly_initialized_cannot_be_frozen(registry: Registry, source: Path, tmp_path: Path) -> None:
    wrong = Recipe(
        architecture="resnet-lite", dataset="stripes", train={"freeze": ["out"]}, from_weights=str(source)
    )
    message = r"^freeze=out matches newly initialized tensors: out.weight, out.bias(?m:$)"
    with pytest.raises(OptionError, match=message):
        train(wrong, registry, directory=tmp_path / "run")


def test_weights_that_depend_on_the_data_are_fitted_once(registry: Registry, tmp_path: Path) -> None:
    recipe = Recipe(
        architecture="airbench",
        dataset="shapes",
        model={"widths": [24, 4, 4, 4]},
        data={"train_size": 64, "val_size": 0, "test_size": 8},
        train={"epochs": 1, "batch_size": 16},
    )
    made = set_up(recipe, registry, device="cpu")
    stem = made.model.get_submodule("stem")
    stem.get_parameter("bias").data.zero_()
    images = next(Classification(CLASSIFICATION).eval_batches(made.dataset, "train")).inputs
    variances = stem(images).var((0, 2, 3))
    torch.testing.assert_close(variances, torch.ones(24), rtol=0, atol=0.1)
    weight = stem.get_parameter("weight")
    again = set_up(recipe, registry, device="cpu").model
    assert torch.equal(again.get_parameter("stem.weight"), weight)
    result = train(recipe, registry, directory=tmp_path / "run")
    finer = replace(recipe, from_weights=result.weights, data=recipe.data | {"seed": 1})
    fine_tuned = set_up(finer, registry, device="cpu").model
    assert torch.equal(fine_tuned.get_parameter("stem.weight"), weight)


def test_freezing_random_weights_is_warned_of(registry: Registry, tmp_path: Path) -> None:
    frozen = replace(SOURCE, train=SOURCE.train | {"freeze": ["stem"]})
    with pytest.warns(ZooWarning) as caught:
        train(frozen, registry, directory=tmp_path / "run")
    assert messages(caught)[:2] == [
        "the frozen weights are randomly initialized; add --from to start from trained weights",
        "training 1,560 of 1,864 parameters",
    ]


def test_a_card_that_asks_for_a_giant_is_refused_before_it_is_built(
    registry: Registry, source: Path, tmp_path: Path
) -> None:
    model, card = weights.load(source, registry)
    giant = structs.replace(card, arguments=card.arguments | {"widths": [4, 10**6]})
    weights.save(tmp_path / "giant.safetensors", model, giant)
    with pytest.raises(WeightsError, match="does not match its architecture"):
        train(
            replace(SOURCE, model={}, from_weights=str(tmp_path / "giant.safetensors")),
            registry,
            directory=tmp_path / "run",
        )


def test_a_card_without_classes_is_refused(registry: Registry, source: Path, tmp_path: Path) -> None:
    model, card = weights.load(source, registry)
    preprocess = {name: value for name, value in card.preprocess.items() if name != "classes"}
    weights.save(tmp_path / "bare.safetensors", model, structs.replace(card, preprocess=preprocess))
    with pytest.raises(WeightsError, match="its card is invalid: preprocess: classes is missing"):
        weights.load(tmp_path / "bare.safetensors", registry)


def test_tokens_that_both_texts_have_keep_their_embeddings(registry: Registry, tmp_path: Path) -> None:
    def run(text: str, name: str, first: str = "") -> str:
        (tmp_path / f"{name}.txt").write_text(text)
        recipe = Recipe(
            architecture="gru",
            dataset="files",
            data={"paths": str(tmp_path / f"{name}.txt")},
            model={"hidden_size": 8},
            train={"epochs": 1, "batch_size": 4},
            from_weights=first,
        )
        return train(recipe, registry, directory=tmp_path / name).weights

    first = run("to be or not to be. " * 60, "one")
    with pytest.warns(ZooWarning, match="; vocabulary: 6 copied, 8 new, 4 absent$"):
        run("ab cd ef gh ij. " * 60, "two", first)
