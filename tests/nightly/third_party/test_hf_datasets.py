"""The example that reads Hugging Face datasets: what it reads, resuming, what it refuses."""

from __future__ import annotations

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.nightly.reliability import toys
from tests.nightly.third_party.conftest import EXAMPLES
from tests.trainings import train
from zoo import DataError, DatasetSpec, Registry
from zoo.config.recipe import Recipe
from zoo.console.reports import Progress
from zoo.errors import Interrupted
from zoo.registry.plugins import load
from zoo.testing import check, shortfall

EXAMPLE = EXAMPLES / "zoo-hf-datasets"

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not find_spec("datasets"), reason="needs datasets"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that `save_to_disk` wrote: gray squares, dark and light."""
    import datasets
    from PIL import Image

    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dark", "light"])}
    )

    def rows(numbers: range) -> datasets.Dataset:
        shades = [(20 + n + 150 * (n % 2),) * 3 for n in numbers]  # no two are equal
        images = [Image.new("RGB", (12, 10), shade) for shade in shades]
        return datasets.Dataset.from_dict(
            {"image": images, "label": [n % 2 for n in numbers]}, features=kinds
        )

    path = tmp_path_factory.mktemp("hf") / "saved"
    splits: Any = {"train": rows(range(64)), "validation": rows(range(64, 80))}
    datasets.DatasetDict(splits).save_to_disk(path)
    return path


@pytest.fixture
def registry(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a registry with the example, whose path is set, so that the kit can open it."""
    monkeypatch.syspath_prepend(EXAMPLE)
    module = import_module("zoo_hf_datasets.plugin")
    (spec,) = module.zoo_datasets()
    preset = DatasetSpec(
        name="shades",
        target=spec.target,
        task=spec.task,
        summary="Two shades",
        config={"path": str(saved), "size": 8},
    )

    class Plugin:
        api = 1

        @staticmethod
        @zoo.hookimpl
        def zoo_datasets() -> list[DatasetSpec]:
            return [spec, preset]

    return Registry([load("hf", lambda: Plugin, where="test"), *Registry.discover().plugins])


def test_it_gives_the_images_that_were_saved(registry: Registry) -> None:
    data = zoo.open_dataset("hf/shades", registry=registry, progress=False)
    assert data.dims == {"in_channels": 3, "image_size": 8, "num_classes": 2}
    assert data.preprocess["classes"] == ["dark", "light"]
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [64, 16, 0]
    images, labels = data.split("train").read_batch([3, 0])
    assert (images == 173).all(1).all(1).all(1).tolist() == [True, False]
    assert (images[1] == 20).all()
    assert labels.tolist() == [1, 0]


def test_a_run_stopped_in_an_epoch_resumes_bit_for_bit(registry: Registry, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"epochs": 2, "batch_size": 8, "augment": ["flip"], "precision": "fp32"}
    recipe = Recipe(architecture="mlp", dataset="hf/shades", train=fields, threads=1)

    def stop(progress: Progress) -> None:
        if progress.is_step and progress.batch == 3:
            import signal

            signal.raise_signal(signal.SIGTERM)

    train(recipe, registry, directory=tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(recipe, registry, directory=tmp_path / "stopped", report=stop)
    train(recipe, registry, directory=tmp_path / "stopped", resume=True)
    assert toys.outcome(tmp_path / "stopped") == toys.outcome(tmp_path / "whole")


def test_the_kit_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    report = check(str(EXAMPLE / "tests" / "shades.py"), progress=False)
    assert {outcome.outcome for outcome in report} == {"passed"}
    assert not shortfall(report)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "nowhere"}, "nowhere is not a dataset saved by save_to_disk"),
        ({"label": "kind"}, "column 'kind' of .* must be a ClassLabel"),
        ({"image": "label"}, "column 'label' of .* must be a Image"),
    ],
)
def test_what_it_cannot_read_is_told(registry: Registry, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        zoo.open_dataset("hf/shades", registry=registry, progress=False, **options)


def test_why_a_dataset_cannot_be_streamed_is_told(registry: Registry) -> None:
    with pytest.raises(DataError) as caught:
        zoo.open_dataset("hf/shades", path="nowhere", registry=registry, progress=False)
    assert "convert a streamed dataset with Dataset.from_generator first" in str(caught.value.hint)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_told(
    registry: Registry, saved: Path, tmp_path: Path, share: float
) -> None:
    shutil.copytree(saved, tmp_path / "cut")
    (file,) = (tmp_path / "cut" / "train").glob("*.arrow")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut cannot be read; it may be damaged: "):
        zoo.open_dataset("hf/shades", path=str(tmp_path / "cut"), registry=registry, progress=False)


def test_a_file_that_has_changed_is_another_dataset(registry: Registry, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "other")
    one = zoo.open_dataset("hf/shades", registry=registry, progress=False)
    same = zoo.open_dataset("hf/shades", path=str(tmp_path / "other"), registry=registry, progress=False)
    assert same.fingerprint == one.fingerprint
    (file, *_) = sorted((tmp_path / "other").rglob("*.arrow"))
    file.write_bytes(file.read_bytes() + b"\0")
    changed = zoo.open_dataset("hf/shades", path=str(tmp_path / "other"), registry=registry, progress=False)
    assert changed.fingerprint != one.fingerprint
