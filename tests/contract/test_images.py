import dataclasses
import hashlib
import struct
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from zoo import hookimpl
from zoo.config.declarations import declared
from zoo.registry.registry import Registry
from zoo.testing import check, contract
from zoo.testing._table import CHECKS
from zoo_images import cifar, folder, labeled, mnist, plugin, scenes, shapes

MISSING = ("cifar100", "fashion-mnist", "folder", "labeled", "mnist")


@pytest.fixture(autouse=True)
def few_drawings():
    """Draw fewer images by default: each of many checks opens the drawn sets again."""
    few = {"train_size": 600, "val_size": 200, "test_size": 200}
    cast("Any", declared).cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for read in (shapes.shapes, scenes.scenes):
            patch.setattr(read, "__kwdefaults__", {**(read.__kwdefaults__ or {}), **few})
        yield
    cast("Any", declared).cache_clear()  # other tests of this process read the true defaults


@contract("images", thorough=True)
def test_contract(check):
    check()


def random_bytes(*shape):
    return np.random.default_rng(shape[0]).integers(0, 256, shape, dtype=np.uint8)


def small_cifar(home, release):
    """Write 6,000 + 500 images in the format of a release, and return their release."""
    files = {}
    (home / release.folder).mkdir()
    for name, count in zip(release.files, (6_000, 500), strict=True):
        records = random_bytes(count, release.labels + 3_072)
        records[:, : release.labels] %= np.array([20, 100], np.uint8)  # a group, and a class
        (home / release.folder / name).write_bytes(records)
        files[name] = (count, hashlib.sha256(records.tobytes()).hexdigest())
    return dataclasses.replace(release, files=files)


def small_mnist(home, release):
    """Write 6,000 + 500 images in the format of a release, and return their release."""
    hashes = {}
    folder = home / release.folders[0]
    folder.mkdir()
    for names, count in ((mnist.TRAIN, 6_000), (mnist.TEST, 500)):
        for name, data in zip(names, (random_bytes(count, 28, 28), random_bytes(count) % 10), strict=True):
            head = bytes((0, 0, 8, data.ndim)) + struct.pack(f">{data.ndim}I", *data.shape)
            content = head + data.tobytes()
            (folder / name).write_bytes(content)
            hashes[name] = mnist.Sums(packed="", content=hashlib.sha256(content).hexdigest())
    return dataclasses.replace(release, hashes=hashes)


@pytest.mark.slow  # five seconds
def test_datasets_whose_data_is_missing_pass_with_small_releases(tmp_path, monkeypatch):
    for number in range(60):
        path = tmp_path / "images" / ("cat", "dog", "emu")[number % 3] / f"{number}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(random_bytes(70 + number, 80, 3)).save(path)
    (tmp_path / "images" / "labels.csv").write_text(
        "file,labels\n" + "".join(f"{number},{number % 3} {number % 4}\n" for number in range(60))
    )
    read, read_labeled = folder.folder, labeled.labeled
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setattr(folder, "folder", lambda: read(root=str(tmp_path / "images")))
    monkeypatch.setattr(labeled, "labeled", lambda: read_labeled(root=str(tmp_path / "images")))
    monkeypatch.setattr(cifar, "RELEASE_100", small_cifar(tmp_path, cifar.RELEASE_100))
    monkeypatch.setattr(mnist, "mnist", small_mnist(tmp_path, mnist.MNIST).read)
    monkeypatch.setattr(mnist, "fashion_mnist", small_mnist(tmp_path, mnist.FASHION).read)
    spec_of = partial(dataclasses.replace, required=(), card_options=())  # the functions have no options
    specs = [spec_of(spec) for spec in plugin.zoo_datasets() if spec.name in MISSING]
    monkeypatch.setattr(plugin, "zoo_datasets", hookimpl(lambda: specs))
    outcomes = check("images", registry=Registry.discover(), thorough=True, progress=False)
    checked = [outcome for outcome in outcomes if outcome.kind == "dataset"]
    assert {o.entry for o in checked} == {f"images/{name}" for name in MISSING}
    checks = [check for check in CHECKS if check.kind == "dataset" and check.task is None]
    assert len(checked) == len(checks) * len(MISSING)
    assert [(o.entry, o.name, o.reason) for o in checked if o.outcome not in ("passed", "inapplicable")] == []
