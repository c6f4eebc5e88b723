"""A whole run, as `zoo train` and `zoo eval` make it."""

from __future__ import annotations

import json
import os
import signal
import threading
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo import Recipe
from zoo.errors import DataError, Interrupted, OptionError, RunError, SpecError, UnknownName
from zoo.evaluation.evaluate import evaluate_weights
from zoo.files.cards import read_card
from zoo.registry.registry import Registry
from zoo.training.clock import Progress
from zoo.training.run import train
from zoo.training.signals import listening

SHAPES = {"size": 16, "train_size": 40, "val_size": 16, "test_size": 16}
RECIPE = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data=SHAPES,
    model={"widths": [4, 8]},
    train={"epochs": 2, "batch_size": 16, "precision": "fp32"},
    seed=3,
)


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
    assert run.to_dict()["weights"] == str(Path(run.run) / "model.safetensors")


def test_the_best_epoch_s_weights_are_apart_from_the_last_and_score_as_it_did(
    run: Any, registry: Registry
) -> None:
    rows = [json.loads(line) for line in (Path(run.run) / "metrics.jsonl").read_text().splitlines()]
    judged = [row["val"]["accuracy"] for row in rows]
    best = judged.index(max(judged)) + 1
    assert run.best["epoch"] == best
    card, _ = read_card(Path(run.best["weights"]))
    assert card.progress["epochs"] == best
    assert card.metrics == run.best["metrics"] == {"val": rows[best - 1]["val"]}
    measured = evaluate_weights(Path(run.best["weights"]), registry, split="val")
    assert measured["metrics"] == card.metrics["val"]


def test_batch_norm_from_scratch_scores_the_same_once_it_is_loaded(
    registry: Registry, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, model={"widths": [4, 8], "norm": "scratch"})
    result = train(recipe, registry, directory=tmp_path / "run")
    measured = evaluate_weights(Path(result.weights), registry, split="val")
    assert measured["metrics"] == result.metrics["val"]


def test_the_card_tells_all_that_made_the_model(run: Any) -> None:
    card, _ = read_card(Path(run.weights))
    assert (card.architecture, card.dataset.name, card.seed) == ("convnet/resnet-lite", "images/shapes", 3)
    assert card.arguments["widths"] == [4, 8]
    assert card.arguments["num_classes"] == 8
    assert card.dataset.options == SHAPES
    assert card.training["epochs"] == 2
    assert card.training["optimizer"] == "sgd", "fields that were not given are told too"
    assert card.progress == {"epochs": 2, "steps": 6}
    assert card.metrics == run.metrics
    assert card.versions["plugin"].startswith("zoo-registry ")


def test_evaluation_repeats_the_number_on_the_card(run: Any, registry: Registry) -> None:
    notices: list[str] = []
    told = evaluate_weights(Path(run.weights), registry, split="val", notice=notices.append)
    assert told["metrics"] == run.metrics["val"]
    assert (told["count"], told["unit"], told["dataset"], told["split"]) == (
        16,
        "images",
        "images/shapes",
        "val",
    )
    assert notices == []


def test_evaluation_on_other_data_says_so(run: Any, registry: Registry) -> None:
    notices: list[str] = []
    evaluate_weights(Path(run.weights), registry, data={"seed": 9}, notice=notices.append)
    assert notices == ["this is other data than images/shapes as the model learned from it"]
    with pytest.raises(SpecError, match="does classification, and text/stdlib is data for"):
        evaluate_weights(Path(run.weights), registry, dataset="stdlib")
    with pytest.raises(DataError, match="the data's image_size is 32, and the model takes 16"):
        evaluate_weights(Path(run.weights), registry, data={"size": 32})


def test_the_config_repeats_the_run(run: Any, registry: Registry, tmp_path: Path) -> None:
    config = tomllib.loads((Path(run.run) / "config.toml").read_text())
    (config,) = config["recipes"].values()
    again = train(Recipe(**config), registry, directory=tmp_path)
    assert Path(again.weights).read_bytes() == Path(run.weights).read_bytes()


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
    result = train(recipe, registry, directory=tmp_path / "run")
    told = evaluate_weights(Path(result.weights), registry, split="val")
    assert told["metrics"] == result.metrics["val"]
    assert told["unit"] == "characters"
    assert told["count"] == 75, "all 76 but the first"


@pytest.mark.parametrize(
    ("data", "batch_size", "told"),
    [
        (
            {"val_size": 0, "test_size": 0},
            16,
            "there is neither a val nor a test split: nothing but training",
        ),
        ({}, 64, "an epoch is a single step: batch_size=64 takes all there is to train on"),
        ({}, 16, ""),
    ],
)
def test_data_that_gives_little_is_told_of(
    registry: Registry, tmp_path: Path, data: dict[str, int], batch_size: int, told: str
) -> None:
    notices: list[str] = []
    few = replace(RECIPE, data=SHAPES | data, train={"epochs": 1, "batch_size": batch_size})
    train(few, registry, directory=tmp_path / "run", notice=notices.append)
    assert [notice[: len(told)] for notice in notices] == ([told] if told else [])


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
def test_a_wrong_experiment_touches_no_directory(
    registry: Registry, tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    wrong = Recipe(**(RECIPE.to_dict() | changes))
    with pytest.raises(error):
        train(wrong, registry, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_signal_saves_the_run_and_resuming_ends_like_one_that_was_left_alone(
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
    with pytest.raises(RunError, match="holds a run already"):
        train(RECIPE, registry, directory=tmp_path)
    resumed = train(RECIPE, registry, directory=tmp_path, resume=True)
    assert Path(resumed.weights).read_bytes() == Path(run.weights).read_bytes()


def test_a_resumed_run_uses_the_threads_it_began_with_and_gives_them_back(
    registry: Registry, tmp_path: Path
) -> None:
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


def test_a_thread_other_than_the_first_trains_without_handlers() -> None:
    seen: list[int] = []

    def work() -> None:
        with listening() as stop:
            seen.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]


def test_another_text_is_read_with_every_character_the_model_knows(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("to be or not to be " * 40)
    # the training part of the other text holds none of the characters of its test part
    (tmp_path / "train.txt").write_text("xyz" * 100)
    (tmp_path / "test.txt").write_text("to be or not to be " * 4)
    recipe = Recipe(
        architecture="lstm",
        dataset="text/files",
        data={"paths": str(tmp_path / "a.txt")},
        model={"hidden_size": 16},
        train={"epochs": 3, "batch_size": 4, "lr": 0.02, "schedule": "constant"},
    )
    file = Path(train(recipe, registry, directory=tmp_path / "run").weights)
    other = {"paths": str(tmp_path / "train.txt"), "test": str(tmp_path / "test.txt")}
    notices: list[str] = []
    ours = evaluate_weights(file, registry)
    theirs = evaluate_weights(file, registry, data=other, notice=notices.append)
    assert theirs["metrics"]["loss"] == pytest.approx(ours["metrics"]["loss"], abs=0.5)
    assert len(notices) == 1
