"""`examples/loop.py` takes the steps of `zoo train`: both end with the same bits."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import zoo
from zoo.config.recipe import Recipe
from zoo.models.torch_threads import computing_with

LOOP = Path(__file__).parents[3] / "examples" / "loop.py"
IMAGES = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data={"size": 16, "train_size": 160, "val_size": 16, "test_size": 0},
    model={"widths": [4, 8]},
    train={"epochs": 2, "batch_size": 16, "optimizer": "sgd", "augment": ["crop", "flip"]},
    seed=3,
    threads=1,
)
TEXT = Recipe(
    architecture="lstm",
    dataset="files",
    model={"hidden_size": 16, "embedding_dim": 8, "dropout": 0.2},
    train={"epochs": 2, "batch_size": 4, "optimizer": "adam", "batching": "stateful", "clip_grad_norm": 0.25},
    threads=1,
)


@pytest.mark.filterwarnings("ignore::zoo.ZooWarning")
@pytest.mark.parametrize("recipe", [IMAGES, TEXT], ids=["images with SGD", "stateful text with Adam"])
def test_the_plain_loop_ends_with_the_same_bits(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("a quick brown fox jumps over the lazy dog. " * 60)
    if recipe is TEXT:
        recipe.data["paths"] = str(tmp_path / "book.txt")
    train: Callable[[Recipe], nn.Module] = runpy.run_path(str(LOOP))["train"]
    with computing_with(1):
        ours = train(recipe).state_dict()
    theirs = zoo.train(recipe, run=tmp_path / "run", progress=False).last.module.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
