"""Splits in a loop of the user's own: torch's `DataLoader` reads them with its defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import zoo

SMALL: dict[str, Any] = {"train_size": 20, "val_size": 4, "test_size": 4}


def images(home: Path) -> Path:
    for color in ("red", "blue"):
        (home / color).mkdir()
        for number in range(10):
            Image.new("RGB", (12 + number, 12), color).save(home / color / f"{number}.png")
    return home


def table(home: Path) -> Path:
    images(home)
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*.png"))
    rows = [f"{name},{'warm|flat' if 'red' in name else 'flat'}" for name in files]
    (home / "labels.csv").write_text("\n".join(["file,labels", *rows]))
    return home / "labels.csv"


SPLITS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "images": ("shapes", SMALL, ()),
    "several labels": ("scenes", SMALL, (8,)),
    "folder": ("folder", {"size": 8}, ()),
    "folder without a cache": ("folder", {"size": 8, "cache": False}, ()),
    "labels in a table": ("labeled", {"size": 8}, (2,)),
    "cifar": ("cifar10", {}, ()),
}
"""A dataset, its options, and the shape of a label."""


@pytest.mark.parametrize(
    ("kind", "workers"), [*((kind, 0) for kind in SPLITS), ("images", 2), ("folder without a cache", 2)]
)
def test_a_loader_of_torch_returns_batches(kind: str, workers: int, tmp_path: Path) -> None:
    name, usual, label = SPLITS[kind]
    options: dict[str, Any] = {**usual}
    if name == "cifar10" and "ZOO_DATA" not in os.environ:
        pytest.skip("needs $ZOO_DATA")
    if name == "folder":
        options["root"] = str(images(tmp_path))
    if name == "labeled":
        options["root"] = str(table(tmp_path).parent)
    split = zoo.open_dataset(name, **options, progress=False).split("train")
    batch, labels = next(iter(DataLoader(split, batch_size=4, shuffle=True, num_workers=workers)))
    assert batch.dtype == torch.uint8
    assert batch.shape == (4, *split[0][0].shape)
    assert labels.shape == (4, *label)
    (first,) = DataLoader(torch.utils.data.Subset(split, [3]), num_workers=workers)
    assert torch.equal(first[0][0], split[3][0])
    assert torch.equal(first[1][0], torch.as_tensor(split[3][1]))


def test_a_text_cut_into_windows_is_read_by_a_loader_of_torch(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 50)
    tokens = zoo.open_dataset("files", paths=str(tmp_path / "a.txt"), progress=False).split("train")
    batch = next(iter(DataLoader(tokens.unfold(0, 17, 16), batch_size=4, shuffle=True)))
    inputs, targets = batch[:, :-1].long(), batch[:, 1:].long()
    assert inputs.shape == targets.shape == (4, 16)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
