"""Nonsense given to the Python functions: an error of zoo's in words, whatever the argument."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from zoo.seeds import seed_for

NONSENSE = [
    None, True, -1, 1.5, math.nan, math.inf, 10**5_000, "", "\x1b[31m", "\ud800", "a\0b", "x" * 5_000, b"x",
    [1], ["a"], {1: 2}, object(), np.zeros(3), torch.zeros(2),
]  # fmt: skip

QUIET = {"progress": False}
TRAINING: dict[str, Any] = {
    "model": {"hidden_size": 4}, "data": {"paths": "nope.txt"}, "from_weights": None, "seed": 1, "threads": 1,
    "device": "cpu", "lr": 0.1, "freeze": (), "augment": (), "optimizer": "adam", "epochs": 1,
}  # fmt: skip
FUNCTIONS: dict[str, tuple[Callable[..., object], list[Any], dict[str, Any]]] = {
    "list_models": (zoo.list_models, ["res*"], {"where": "task=classification"}),
    "list_weights": (zoo.list_weights, ["res*"], {"where": None}),
    "list_plugins": (zoo.list_plugins, [None], {}),
    "load": (zoo.load, ["nope"], {"device": "cpu", "registry": None, **QUIET}),
    "create_model": (zoo.create_model, ["gru"], {"seed": 1, "vocab_size": 5, "hidden_size": 4}),
    "open_dataset": (zoo.open_dataset, ["folder"], {"root": "nope", "size": 32, **QUIET}),
    "train": (zoo.train, ["lstm", "files"], {"run": "x", "save_every": "5m", **TRAINING, **QUIET}),
    "lr_find": (
        zoo.lr_find,
        ["lstm", "files"],
        {"start": 1e-6, "stop": 1.0, "steps": 5, "data": {"paths": "nope.txt"}, **QUIET},  # else as `train`
    ),
    "resume": (zoo.resume, ["nope"], {"device": "cpu", "save_every": "5m", **QUIET}),
    "Run": (zoo.Run, ["nope"], {"device": "cpu", "registry": None}),
    "check": (zoo.check, ["nope"], {"registry": None, **QUIET}),
    "tokenize": (zoo.tokenize, ["a b", "word"], {}),
    "Recipe": (zoo.Recipe, [], {"architecture": "a", "dataset": "b", "model": {}, "train": {}, "seed": 0}),
    "TrainConfig": (zoo.TrainConfig, [], {"epochs": 1, "lr": 0.1, "freeze": (), "optimizer": "adam"}),
    "replace": (zoo.TrainConfig().replace, [{"lr": 0.1}], {}),
    "ArchitectureSpec": (
        zoo.ArchitectureSpec,
        [],
        {"name": "a", "target": "b:c", "summary": "s", "task": "classification", "config": {}},
    ),
}
"""Public functions, with arguments that stop at an error before they take long, or do not take long."""


def refused(call: Callable[[], object]) -> str:
    """Return what is wrong with how a call ends: nothing if it returns, or raises an error of zoo's."""
    try:
        call()
    except zoo.ZooError as error:
        return "" if str(error).isprintable() and str(error) else repr(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nonsense_is_refused_in_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function, arguments, named = FUNCTIONS[name]
    wrong: list[str] = []
    for value in NONSENSE:
        for number in range(len(arguments)):
            given = [*arguments[:number], value, *arguments[number + 1 :]]
            wrong.append(f"{number}: {refused(lambda given=given: function(*given, **named))}")
        for key in named:
            given = named | {key: value}
            wrong.append(f"{key}: {refused(lambda given=given: function(*arguments, **given))}")
    assert [line for line in wrong if not line.endswith(": ")] == []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> zoo.Model:
    small: Any = {"model": {"widths": [4]}, "epochs": 1, "batch_size": 8}
    data = {"size": 16, "train_size": 8, "val_size": 0, "test_size": 0}
    run = tmp_path_factory.mktemp("runs")
    return zoo.train("mlp", "shapes", data=data, run=run, **small, progress=False).model


@pytest.mark.parametrize("method", ["predict", "write"])
def test_nonsense_to_predict_with_is_refused_in_words(
    method: str, model: zoo.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"top": 1, "min_confidence": 0.5, "batch_size": 4, "threads": 1, **QUIET}
    arguments = [torch.zeros(16, 16, dtype=torch.uint8), *["answers.csv"] * (method == "write")]

    def call(inputs: Any, *out: Any, **named: Any) -> list[Any]:
        rows = model.predict(inputs, **named)
        return [*rows.write(*out)] if out else [*rows]

    wrong: list[str] = []
    for value in NONSENSE:
        for number in range(len(arguments)):
            given = [*arguments[:number], value, *arguments[number + 1 :]]
            wrong.append(f"{number}: {refused(lambda given=given: call(*given, **settings))}")
        for key in settings:
            named = settings | {key: value}
            wrong.append(f"{key}: {refused(lambda named=named: call(*arguments, **named))}")
    assert [line for line in wrong if not line.endswith(": ")] == []


SEVENS: tuple[Any, ...] = (7, np.int64(7))


def test_numbers_of_numpy_are_numbers() -> None:
    first, second = (zoo.create_model("gru", seed=seed, vocab_size=5) for seed in SEVENS)
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    assert zoo.Recipe(architecture="a", dataset="b", seed=np.int32(3)).seed == 3  # pyright: ignore[reportArgumentType]
    assert type(zoo.TrainConfig(lr=np.float32(0.5)).lr) is float  # pyright: ignore[reportArgumentType]
    assert len({seed_for(seven, "a") for seven in SEVENS}) == 1


def test_the_words_name_the_argument(model: zoo.Model, tmp_path: Path) -> None:
    with pytest.raises(zoo.OptionError, match=r"seed must be an integer or none \(got 1\.5\)"):
        zoo.train("lstm", "files", seed=1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(zoo.OptionError, match=r"batch_size must be an integer \(got 1\.5\)"):
        model.predict([], batch_size=1.5, **QUIET)  # pyright: ignore[reportArgumentType]
    with pytest.raises(zoo.OptionError, match="unknown device 'tpu'"):
        zoo.load("cifar10-resnet20", device="tpu")
    with pytest.raises(zoo.OptionError, match=r"name must be a string or a path \(got \[\]\)"):
        zoo.load([])  # pyright: ignore[reportArgumentType]
    with pytest.raises(zoo.OptionError, match="run is too long for a path"):
        zoo.train("lstm", "files", run=os.fspath(tmp_path / ("x" * 300)))
