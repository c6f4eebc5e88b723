from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zoo import hookimpl
from zoo.registry.registry import Registry
from zoo.testing import contract, run_checks
from zoo.testing._table import CHECKS
from zoo_images import cifar, folder, mnist, plugin

ABSENT = ("cifar100", "fashion-mnist", "folder", "mnist")


@contract("images")
def test_contract(check):
    check()


def _bytes(count, *shape):
    return torch.from_numpy(np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8))


def _records(path, release, count, sha256):
    records = _bytes(6_000 if path.name == "train.bin" else 500, release.labels + 3_072)
    records[:, : release.labels] %= 20
    return records


def _pair(images, labels, *, classes):
    pixels = _bytes(6_000 if images.startswith("train") else 500, 28, 28)
    return pixels, torch.arange(len(pixels)) % classes


def test_sets_that_are_not_here_pass_with_bytes_that_stand_in_for_them(tmp_path, monkeypatch):
    for number in range(60):
        path = tmp_path / ("cat", "dog", "emu")[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(_bytes(70 + number, 80, 3).numpy()).save(path)
    real = folder.folder
    monkeypatch.setattr(folder, "folder", lambda: real(root=str(tmp_path)))
    monkeypatch.setattr(cifar, "_folder", lambda *_: Path())
    monkeypatch.setattr(cifar, "_records", _records)
    monkeypatch.setattr(mnist, "data_file", lambda name, **_: Path(name).name)
    monkeypatch.setattr(mnist, "read_pair", _pair)
    specs = [spec for spec in plugin.zoo_datasets() if spec.name in ABSENT]
    monkeypatch.setattr(plugin, "zoo_datasets", hookimpl(lambda: specs))
    checked = [o for o in run_checks(Registry.discover(), "images") if o.kind == "dataset"]
    assert {o.entry for o in checked} == {f"images/{name}" for name in ABSENT}
    each = [check for check in CHECKS if check.kind == "dataset" and check.task in (None, "classification")]
    assert len(checked) == len(each) * len(ABSENT)
    assert [(o.name, o.reason) for o in checked if o.outcome != "passed"] == []
