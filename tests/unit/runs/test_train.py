"""A whole training, from a recipe to a run directory."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import tomllib
import warnings
from dataclasses import replace
from itertools import count, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.trainings import evaluated, train
from zoo.config.recipe import Recipe
from zoo.console.reports import Progress
from zoo.errors import (
    DataError,
    Interrupted,
    OptionError,
    RunError,
    SpecError,
    UnknownName,
    ZooWarning,
)
from zoo.files.cards import read_card
from zoo.models import weights
from zoo.registry.catalog import Catalog
from zoo.registry.registry import Registry
from zoo.runs.resolving import resolve_recipe
from zoo.runs.setup import build
from zoo.runs.signals import listening

SHAPES = {"size": 16, "train_size": 40, "val_size": 16, "test_size": 16}
RECIPE = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data=SHAPES,
    model={"widths": [4, 8]},
    train={"epochs": 2, "batch_size": 16, "precision": "fp32"},
    seed=3,
)
OTHER_DATA = "^this is not the {} data that the model was trained on$"


def evaluated_file(path: Path | str, registry: Registry, **options: Any) -> dict[str, Any]:
    return evaluated(*weights.load(path, registry), registry, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Any:
    return train(RECIPE, registry, directory=tmp_path_factory.mktemp("run"))


def test_a_run_leaves_its_result_its_config_and_its_metrics(run: Any) -> None:
    names = {path.name for path in Path(run.run).iterdir()}
    assert {
        "model.safetensors",
        "best.safetensors",
        "checkpoint.safetensors",
        "config.toml",
        "metrics.jsonl",
        "curve.png",
    } <= names
    assert (run.epochs, run.steps) == (2, 6)
    assert run.metrics.keys() == {"val"}
    assert run.to_dict()["last"] == str(Path(run.run) / "model.safetensors")


def test_the_best_epoch_s_weights_are_kept_apart_and_score_as_that_epoch_did(
    run: Any, registry: Registry
) -> None:
    rows = [json.loads(line) for line in (Path(run.run) / "metrics.jsonl").read_text().splitlines()]
    scores = [(row["val"]["accuracy"], -row["val"]["loss"]) for row in rows]
    best = scores.index(max(scores)) + 1
    assert (run.epoch, run.weights) == (best, str(Path(run.run) / "best.safetensors"))
    card = read_card(Path(run.weights))
    assert card.progress["epochs"] == best
    assert card.metrics == run.metrics == {"val": rows[best - 1]["val"]}
    measured = evaluated_file(run.weights, registry, split="val")
    assert measured["metrics"] == card.metrics["val"]


def test_batch_norm_from_scratch_scores_the_same_after_loading(registry: Registry, tmp_path: Path) -> None:
    recipe = replace(RECIPE, model={"widths": [4, 8], "norm": "scratch"})
    result = train(recipe, registry, directory=tmp_path / "run")
    measured = evaluated_file(result.weights, registry, split="val")
    assert measured["metrics"] == result.metrics["val"]


def test_the_card_says_how_the_model_was_made(run: Any) -> None:
    card = read_card(Path(run.weights))
    assert (card.architecture, card.dataset.name, card.seed) == ("convnet/resnet-lite", "images/shapes", 3)
    assert card.arguments["widths"] == [4, 8]
    assert card.arguments["num_classes"] == 8
    assert card.dataset.options == SHAPES
    assert card.training["epochs"] == 2
    assert card.training["optimizer"] == "sgd", "fields left at their defaults are listed too"
    assert card.progress == {"epochs": 2, "steps": 6}
    assert card.metrics == run.metrics
    assert card.versions["plugin"].startswith("zoo-registry ")


def test_evaluation_repeats_the_metrics_on_the_card(run: Any, registry: Registry) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", OTHER_DATA.format(".*"), ZooWarning)
        result = evaluated_file(run.weights, registry, split="val")
    assert result["metrics"] == run.metrics["val"]
    assert (result["count"], result["unit"]) == (16, "images")
    assert (result["dataset"], result["split"]) == ("images/shapes", "val")


def test_evaluation_on_other_data_says_so(run: Any, registry: Registry) -> None:
    with pytest.warns(ZooWarning, match=OTHER_DATA.format("images/shapes")):
        evaluated_file(run.weights, registry, data={"seed": 9})
    with pytest.raises(
        SpecError, match="the model is for classification, but text/stdlib is for language-modeling"
    ):
        evaluated_file(run.weights, registry, dataset="stdlib")
    with pytest.raises(OptionError, match=r"^the model requires size=16 \(got size=32\)(?m:$)"):
        evaluated_file(run.weights, registry, data={"size": 32})


def test_the_config_repeats_the_run(run: Any, registry: Registry, tmp_path: Path) -> None:
    config = tomllib.loads((Path(run.run) / "config.toml").read_text())
    (config,) = config["recipes"].values()
    again = train(Recipe(**config), registry, directory=tmp_path)
    assert read_card(Path(again.weights)).sha256 == read_card(Path(run.weights)).sha256


def test_a_text_is_counted_in_characters(registry: Registry, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("to be or not to be " * 40)
    recipe = Recipe(
        architecture="lstm",
        dataset="text/files",
        data={"paths": str(text)},
        model={"hidden_size": 4},
        train={"epochs": 1, "batch_size": 4},
    )
    trained = train(recipe, registry, directory=tmp_path / "run")
    result = evaluated_file(trained.weights, registry, split="val", data=recipe.data)
    assert result["metrics"] == trained.metrics["val"]
    assert result["unit"] == "characters"
    assert result["count"] == 75, "all 76 but the first"


@pytest.mark.parametrize(
    ("data", "batch_size", "messages"),
    [
        (
            {"val_size": 0, "test_size": 0},
            4,
            ["the data has no val or test split, so only the training loss is measured"],
        ),
        ({}, 64, ["an epoch has a single step: use a batch_size smaller than 64, or more data"]),
        ({}, 10, ["an epoch has only 4 steps: use a batch_size smaller than 10, or more data"]),
        ({}, 5, ["an epoch has only 8 steps: use more data"]),
        ({}, 4, []),
    ],
)
def test_scarce_data_is_warned_of(
    registry: Registry, tmp_path: Path, data: dict[str, int], batch_size: int, messages: list[str]
) -> None:
    scarce = replace(RECIPE, data=SHAPES | data, train={"epochs": 1, "batch_size": batch_size, "lr": 0.1})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ZooWarning)
        warnings.filterwarnings("ignore", "the result on")
        train(scarce, registry, directory=tmp_path / "run")
    assert [str(warning.message) for warning in caught] == messages


TINY: dict[str, Any] = {
    "data": SHAPES,
    "model": {"widths": [4]},
    "batch_size": 16,
    "epochs": 2,
    "progress": False,
}


def test_a_folder_with_folders_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(RunError, match="is not a run directory: it contains cats/"):
        zoo.train("mlp", "shapes", run=tmp_path, **TINY)
    assert not (tmp_path / "config.toml").exists()


def test_a_text_run_can_be_used_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "val"):
        Path(f"{name}.txt").write_text("the quick brown fox jumps over the lazy dog " * 20)
    data = {"paths": ["train.txt"], "val": "val.txt", "test": []}
    run = zoo.train(
        "rnn", "files", data=data, model={"hidden_size": 4}, epochs=1, bptt=8, batch_size=4, progress=False
    )
    (tmp_path / "elsewhere").mkdir()
    directory = run.directory.absolute()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert zoo.Run(directory).model.evaluate(progress=False)["split"] == "val"
    (recipe,) = tomllib.loads((directory / "config.toml").read_text())["recipes"].values()
    assert recipe["data"]["paths"] == [str(tmp_path / "train.txt")]


def test_a_finished_run_without_its_checkpoints_is_finished(tmp_path: Path) -> None:
    zoo.train("mlp", "shapes", run=tmp_path / "run", **TINY)
    for name in ("model.safetensors", "checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    with warnings.catch_warnings(action="error", category=ZooWarning):
        zoo.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"architecture": "resnet-life"}, UnknownName),
        ({"dataset": "stdlib"}, SpecError),
        ({"train": {"epoch": 1}}, OptionError),
        ({"model": {"width": 3}}, OptionError),
        ({"model": {"widths": []}}, OptionError),
        ({"data": {"size": 3}}, OptionError),
    ],
)
def test_a_wrong_recipe_touches_no_directory(
    registry: Registry, tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        train(replace(RECIPE, **changes), registry, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_stopped_by_a_signal_resumes_and_ends_like_an_uninterrupted_one(
    run: Any, registry: Registry, tmp_path: Path
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.batch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted) as caught:
        train(RECIPE, registry, directory=tmp_path, report=interrupt)
    assert caught.value.exit_code == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(RunError, match="already contains a run"):
        train(RECIPE, registry, directory=tmp_path)
    resumed = train(RECIPE, registry, directory=tmp_path, resume=True)
    assert read_card(Path(resumed.weights)).sha256 == read_card(Path(run.weights)).sha256


def test_the_time_before_an_interruption_counts(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()  # a second passes whenever the clock is read
    monkeypatch.setattr(
        "zoo.training.clock.time", SimpleNamespace(perf_counter=lambda: next(ticks), time=time.time)
    )

    def kill(progress: Progress) -> None:
        if progress.batch == 2:
            raise MemoryError  # not saved, as by SIGKILL

    whole = train(RECIPE, registry, directory=tmp_path / "whole")
    with pytest.raises(MemoryError):
        train(RECIPE, registry, directory=tmp_path / "cut", save_every="1", report=kill)
    resumed = train(RECIPE, registry, directory=tmp_path / "cut", resume=True)
    assert resumed.seconds == whole.seconds
    assert read_card(Path(resumed.last)).environment.seconds == whole.seconds


def test_a_resumed_run_computes_with_the_threads_it_started_with(registry: Registry, tmp_path: Path) -> None:
    train(RECIPE, registry, directory=tmp_path)  # on one thread
    seen: list[int] = []
    torch.set_num_threads(2)
    try:
        (tmp_path / "checkpoint.previous.safetensors").replace(tmp_path / "checkpoint.safetensors")
        train(
            RECIPE, registry, directory=tmp_path, resume=True,
            report=lambda progress: seen.append(torch.get_num_threads()),
        )  # fmt: skip
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_finished_run_and_an_early_end_are_reported(registry: Registry, tmp_path: Path) -> None:
    early = replace(RECIPE, train=RECIPE.train | {"epochs": 9, "patience": 1, "lr": 1e-30})
    with pytest.warns(
        ZooWarning,
        match=r"^stopped early after epoch 2 of 9: the validation accuracy has not improved \(patience=1\)$",
    ):
        train(early, registry, directory=tmp_path)
    with pytest.warns(ZooWarning, match=r"^the run in .* is already finished: 2 of 9 epochs are done$"):
        train(early, registry, directory=tmp_path, resume=True)


def test_a_finished_run_keeps_its_weights_under_another_zoo(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(RECIPE, registry, directory=tmp_path)
    names = ("model.safetensors", "best.safetensors")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    monkeypatch.setattr("zoo.runs.environment.__version__", "9.9.9")
    train(RECIPE, registry, directory=tmp_path, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before
    (tmp_path / "model.safetensors").unlink()
    train(RECIPE, registry, directory=tmp_path, resume=True)
    assert read_card(tmp_path / "model.safetensors").versions["zoo"] == "9.9.9"
    longer = replace(RECIPE, train=RECIPE.train | {"epochs": 3})
    train(longer, registry, directory=tmp_path, resume=True, accept_changes=True)
    assert read_card(tmp_path / "model.safetensors").progress["epochs"] == 3


def test_a_run_that_goes_on_on_another_cpu_says_that_its_bits_may_differ(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(RECIPE, registry, directory=tmp_path)
    here = torch.backends.cpu.get_cpu_capability()
    with pytest.warns(ZooWarning) as caught:
        train(RECIPE, registry, directory=tmp_path, resume=True)
    assert not [warning for warning in caught if "CPU" in str(warning.message)]
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "RISC9")
    message = f"the run used {here} CPU instructions, but this process uses RISC9: results may differ"
    with pytest.warns(ZooWarning, match=message):
        train(RECIPE, registry, directory=tmp_path, resume=True)


def test_the_first_signal_is_a_request_and_the_second_acts_as_before() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        with listening() as stop:
            assert stop() == 0
            os.kill(os.getpid(), signal.SIGINT)
            assert stop() == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listening() as stop:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
            assert stop() == 0
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop() == signal.SIGTERM
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_no_handlers_are_set() -> None:
    seen: list[int] = []

    def work() -> None:
        with listening() as stop:
            seen.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]


def test_a_text_is_read_with_the_model_s_vocabulary(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("to be or not to be " * 40)
    # the training split of the other text has none of the characters of its test split
    (tmp_path / "train.txt").write_text("xyz" * 100)
    (tmp_path / "test.txt").write_text("to be or not to be " * 4)
    recipe = Recipe(
        architecture="lstm",
        dataset="text/files",
        data={"paths": str(tmp_path / "a.txt")},
        model={"hidden_size": 16},
        train={"epochs": 3, "batch_size": 4, "lr": 0.02, "schedule": "constant"},
    )
    file = train(recipe, registry, directory=tmp_path / "run").weights
    other = {"paths": str(tmp_path / "train.txt"), "test": str(tmp_path / "test.txt")}
    ours = evaluated_file(file, registry, data=recipe.data)
    with pytest.warns(ZooWarning, match=OTHER_DATA.format("text/files")):
        theirs = evaluated_file(file, registry, data=other)
    assert theirs["metrics"]["loss"] == pytest.approx(ours["metrics"]["loss"], abs=0.5)


PRETRAINED = """
import torch
from torch import nn
from zoo import ArchitectureSpec, Pretrained, hookimpl


class Net(nn.Module):
    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        loads: bool = False,
        pretrained: str = "none",
    ):
        super().__init__()
        self.out = nn.Linear(in_channels * image_size**2, num_classes)
        self.loads = loads

    def forward(self, images):
        return self.out(images.flatten(1))

    def load_pretrained(self):
        if not self.loads:
            return None
        nn.init.constant_(self.out.weight, 0.25)
        return {"architecture": "elsewhere/net", "dataset": "elsewhere", "sha256": "3" * 64}


@hookimpl
def zoo_architectures():
    return [
        ArchitectureSpec(
            name="pretrained",
            target="pretrained:Net",
            task="classification",
            summary="Pretrained",
            pretrained={"elsewhere": Pretrained(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])},
        )
    ]
"""


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("plugin") / "pretrained.py"
    path.write_text(PRETRAINED)
    return Registry.discover(Catalog(), files=[path])


@pytest.mark.parametrize("loads", [False, True])
def test_a_model_may_load_pretrained_weights_or_none(
    pretrained: Registry, tmp_path: Path, loads: bool
) -> None:
    recipe = Recipe(
        architecture="pretrained",
        dataset="shapes",
        data=SHAPES,
        model={"loads": loads},
        train={"epochs": 1, "lr": 1e-30, "precision": "fp32", "freeze": ["out.bias"]},
    )
    with pytest.warns(ZooWarning) as caught:
        result = train(recipe, pretrained, directory=tmp_path / "run")
    random = [
        warning for warning in caught if "the frozen weights are randomly initialized" in str(warning.message)
    ]
    assert len(random) == (not loads)
    model, card = weights.load(result.weights, pretrained)
    assert bool((model.state_dict()["out.weight"] == 0.25).all()) == loads
    origin = {"architecture": "elsewhere/net", "dataset": "elsewhere", "sha256": "3" * 64}
    assert card.base_model == (origin if loads else {})


DRAWS = """
import threading
import torch
from torch import nn
from zoo import ArchitectureSpec, hookimpl
from zoo.seeds import GLOBAL_GENERATOR


class Draws(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int):
        super().__init__()
        self.out = nn.Linear(in_channels * image_size**2, num_classes)

    def forward(self, images):
        return self.out(images.flatten(1))

    def fit_inputs(self, inputs):
        nn.init.normal_(self.out.weight)
        others_draw()

    def load_pretrained(self):
        nn.init.normal_(self.out.bias)
        others_draw()


def others_draw():
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(GLOBAL_GENERATOR.acquire(blocking=False)))
    thread.start()
    thread.join()
    assert drawn == [False], "another thread may draw meanwhile"


@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name="draws", target="draws:Draws", task="classification", summary="Draws")]
"""


def test_initial_weights_that_a_model_draws_depend_on_the_seed_alone(tmp_path: Path) -> None:
    (tmp_path / "draws.py").write_text(DRAWS)
    drawing = Registry.discover(Catalog(), files=[tmp_path / "draws.py"])
    recipe = Recipe(
        architecture="draws", dataset="shapes", data=SHAPES, train={"epochs": 1, "lr": 0.0001}, seed=1
    )
    before = torch.random.get_rng_state()
    one, again, other = (
        weights.load(train(recipe, drawing, directory=tmp_path / name).weights, drawing)[0].state_dict()
        for name, recipe in (("one", recipe), ("again", recipe), ("other", replace(recipe, seed=2)))
    )
    for name in ("out.weight", "out.bias"):
        assert torch.equal(one[name], again[name])
        assert not torch.equal(one[name], other[name])
    assert torch.equal(before, torch.random.get_rng_state())


def test_pretrained_weights_are_fed_as_they_were_trained(pretrained: Registry, tmp_path: Path) -> None:
    def trained(run: str, name: str, **more: Any) -> Any:
        recipe = Recipe(
            architecture="pretrained",
            dataset="shapes",
            data=SHAPES,
            model={"loads": True, "pretrained": name},
            train={"epochs": 1, "lr": 1e-30, "precision": "fp32"},
        )
        with pytest.warns(ZooWarning):
            return train(recipe, pretrained, directory=tmp_path / run, **more)

    (plain, _), (tuned, card) = (
        weights.load(trained(name, name).weights, pretrained) for name in ("none", "elsewhere")
    )
    assert torch.equal(plain.state_dict()["out.weight"], tuned.state_dict()["out.weight"])
    assert card.preprocess["mean"] == [0.1, 0.2, 0.3]
    assert card.preprocess["std"] == [0.4, 0.5, 0.6]
    measured = evaluated(tuned, card, pretrained, split="val")["metrics"]
    assert measured == card.metrics["val"], "evaluation feeds it as training did"
    other = evaluated(plain, read_card(tmp_path / "none" / "model.safetensors"), pretrained, split="val")
    assert measured != other["metrics"]
    again = trained("elsewhere", "elsewhere", resume=True)
    assert read_card(again.weights) == card


FOUND = """
from typing import Annotated, Literal

import torch
import zoo
from msgspec import Meta
from torch import nn
from zoo import ArchitectureSpec, DatasetSpec, Pretrained, hookimpl


def gray(*, size: Annotated[int, Meta(ge=8, le=64)] = 16, channels: Literal[1, 3] = 1):
    return zoo.open_dataset("shapes", size=size, train_size=40, val_size=16, test_size=16, progress=False)


class Net(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, pretrained: bool | str = ""):
        super().__init__()
        self.grid, self.out = nn.Conv2d(in_channels, 4, 3), nn.Linear(4, num_classes)
        self.pretrained = pretrained

    def forward(self, images):
        return self.out(self.grid(images).mean((2, 3)))

    def load_pretrained(self):
        return {"architecture": "a", "dataset": "b", "sha256": "3" * 64} if self.pretrained else None

    def find_landmarks(self):
        return {"features": "grid", "mean_head": "out", "head": "out"}


def weights_of():
    large = Pretrained(size=99, mean=[0.5] * 3, std=[1] * 3)
    return {"true": Pretrained(size=24), "tag": Pretrained(size=40), "large": large}


@hookimpl
def zoo_datasets():
    return [DatasetSpec(name="gray", target="found:gray", task="classification", summary="Not really")]


@hookimpl
def zoo_architectures():
    about = {"target": "found:Net", "pretrained_target": "found:weights_of"}
    return [ArchitectureSpec(name="found", task="classification", summary="Finds", **about)]
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("plugin") / "found.py"
    path.write_text(FOUND)
    return Registry.discover(Catalog(), files=[path])


@pytest.mark.parametrize(
    ("pretrained", "data", "size"),
    [(True, {}, 24), ("tag", {}, 40), (False, {}, None), (True, {"size": 16}, 16)],
)
def test_data_is_opened_at_the_size_of_pretrained_weights_unless_it_is_set(
    found: Registry, tmp_path: Path, pretrained: object, data: dict[str, Any], size: int | None
) -> None:
    few = {name: value for name, value in SHAPES.items() if name != "size"}
    recipe = Recipe(
        architecture="found",
        dataset="shapes",
        data=few | data,
        model={"pretrained": pretrained},
        train={"epochs": 1},
    )
    with pytest.warns(ZooWarning) as caught:
        result = train(recipe, found, directory=tmp_path / "run")
    assert (
        tomllib.loads((tmp_path / "run" / "config.toml").read_text())["recipes"]["run"]["data"].get("size")
        == size
    )
    chosen = [str(warning.message) for warning in caught if "options chosen for" in str(warning.message)]
    assert len(chosen) == 1
    assert chosen[0].startswith(f"options chosen for this data: {f'size={size}, ' * bool(size and not data)}")
    assert ("lr=" in chosen[0]) >= bool(pretrained), "rates matter most"
    _, card = weights.load(result.weights, found)
    assert card.preprocess["size"] == (size or 32)
    again = train(recipe, found, directory=tmp_path / "run", resume=True)
    assert read_card(Path(again.weights)) == card


def test_gray_data_becomes_colored_for_pretrained_weights_and_a_size_that_it_lacks_is_omitted(
    found: Registry, tmp_path: Path
) -> None:
    recipe = Recipe(architecture="found", dataset="gray", model={"pretrained": "large"})
    with pytest.warns(ZooWarning, match="options chosen for this data: channels=3, "):
        setup = build(resolve_recipe(recipe, found), found, device="cpu")
    assert setup.recipe.data == {"channels": 3}
    assert setup.dataset.preprocess["size"] == 16


def test_a_model_may_find_its_landmarks(found: Registry, tmp_path: Path) -> None:
    recipe = Recipe(architecture="found", dataset="shapes", data=SHAPES, train={"epochs": 1})
    with pytest.warns(ZooWarning):
        train(recipe, found, directory=tmp_path / "run")
    model = zoo.load(tmp_path / "run", registry=found, progress=False)
    assert {"cam", "grad-cam", "neighbors"} <= {*model.analyzers}
    assert model.analyze("cam", indices=[0], progress=False)
    image = np.zeros((16, 16, 3), np.uint8)
    assert np.asarray(model.features([image], progress=False)).shape == (1, 4)
    assert np.asarray(model.features([image], layer="features", pool=False, progress=False)).shape == (
        1,
        4,
        14,
        14,
    )


def test_pretrained_weights_of_another_name_or_number_of_channels_are_refused(
    pretrained: Registry, tmp_path: Path
) -> None:
    settings: Any = {"architecture": "pretrained", "dataset": "shapes", "data": SHAPES}
    message = "pretrained has no pretrained weights 'elsewhere-2'; did you mean 'elsewhere'"
    with pytest.raises(OptionError, match=message) as caught:
        train(Recipe(**settings, model={"pretrained": "elsewhere-2"}), pretrained, directory=tmp_path / "run")
    assert caught.value.hint == "pretrained must be one of elsewhere, none"
    image = Image.new("L", (16, 16))
    for number, place in product(range(4), ("a", "b")):
        file = tmp_path / "images" / place / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.putpixel((0, 0), number + 10 * (place == "a"))
        image.save(file)
    gray = settings | {"dataset": "folder", "data": {"root": str(tmp_path / "images"), "channels": 1}}
    message = "pretrained=elsewhere requires images with 3 channels, but the data has 1"
    with pytest.raises(DataError, match=message):
        train(Recipe(**gray, model={"pretrained": "elsewhere"}), pretrained, directory=tmp_path / "run")


def test_a_curve_that_cannot_be_drawn_does_not_fail_the_training(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def singular(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("zoo.runs.lifecycle.draw_learning_curve", singular)
    with pytest.warns(ZooWarning, match=r"curve[.]png could not be drawn: LinAlgError: Singular matrix"):
        train(RECIPE, registry, directory=tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").is_file()
