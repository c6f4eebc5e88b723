"""Images that are not kept: the same batches as those of the cache, read ahead by other processes."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.configs import configured
from zoo.errors import DataError
from zoo.interfaces import make_task
from zoo.registry.registry import Registry
from zoo_images import decoded_images
from zoo_images.file_split import FileSplit
from zoo_images.folder import folder

QUIET: dict[str, Any] = {"progress": False}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of 24 noisy images of two classes."""
    draws = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (20, 18, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


@pytest.mark.parametrize("start", [0, 2])
def test_batches_are_those_of_the_cache(root: Path, start: int) -> None:
    kept, read = (folder(root=str(root), size=16, cache=cache) for cache in (True, False))
    assert isinstance(read.split("train"), FileSplit)
    assert (read.dims, read.preprocess, read.fingerprint) == (kept.dims, kept.preprocess, kept.fingerprint)
    task = make_task(Registry.discover(), "classification")
    config = configured(batch_size=5, augment=("crop", "flip"), mixup_alpha=0.2)
    ours, theirs = (
        [*task.train_batches(data, config, seed=3, epoch=1, start=start)] for data in (read, kept)
    )
    ours += task.eval_batches(read, "test")
    theirs += task.eval_batches(kept, "test")
    assert len(ours) == len(theirs) > 2
    for own, other in zip(ours, theirs, strict=True):
        assert torch.equal(own.inputs, other.inputs)
        assert torch.equal(own.targets, other.targets)


def test_a_training_is_that_of_the_cache_and_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    before, processes = torch.get_rng_state(), set(multiprocessing.active_children())
    found: list[dict[str, torch.Tensor]] = []
    for cache in (True, False):
        data: dict[str, Any] = {"root": str(root), "size": 16, "cache": cache}
        small: Any = {"model": {"widths": [4]}, "epochs": 2, "batch_size": 4}
        run = zoo.train("mlp", "folder", data=data, run=tmp_path / str(cache), **small, **QUIET)
        found.append(run.model.module.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert set(multiprocessing.active_children()) <= processes
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_that_is_left_ends_its_processes(root: Path) -> None:
    before = set(multiprocessing.active_children())
    split = folder(root=str(root), size=16, cache=False).split("train")
    batches = split.batches([[0, 1], [2, 3], [4, 5]])
    images, labels = next(batches)
    assert images.shape == (2, 3, 16, 16)
    assert torch.equal(labels, split.labels[:2])
    batches.close()
    assert set(multiprocessing.active_children()) <= before


READS = """
import multiprocessing, sys
from zoo_images.folder import folder

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    split = folder(root=sys.argv[1], size=16, cache=False).split("train")
    batches = split.batches([[n % 24] for n in range(1_000)])
    next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    sys.stdin.read()
"""


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_processes_end_with_a_reader_that_is_killed(root: Path, tmp_path: Path, method: str) -> None:
    (tmp_path / "reads.py").write_text(READS)
    reader = subprocess.Popen(
        [sys.executable, str(tmp_path / "reads.py"), str(root), method],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    workers = [int(word) for word in reader.stdout.readline().split()]
    assert workers
    reader.kill()
    reader.wait()  # before its streams are read to their end, which its processes hold open
    reader.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a process is left over"
        time.sleep(0.1)


def test_an_image_that_is_gone_is_named(root: Path) -> None:
    split = folder(root=str(root), size=16, cache=False).split("train")
    split.files[3].unlink()
    with pytest.raises(DataError, match=f"{split.files[3]} cannot be read"):
        list(split.batches([[0, 1], [2, 3]]))


def test_images_are_measured_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    read: list[Path] = []
    real = decoded_images.read_image

    def recording(path: Path, **options: Any) -> Any:
        read.append(path)
        return real(path, **options)

    monkeypatch.setattr(decoded_images, "read_image", recording)
    first = folder(root=str(root), size=16, cache=False)
    assert len(read) == 24
    assert folder(root=str(root), size=16, cache=False).preprocess == first.preprocess
    assert len(read) == 24
    assert not (tmp_path / "cache" / "decoded" / "images").exists()
    (root / "a" / "00.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a/00\.png"):
        folder(root=str(root), size=16, cache=False)
