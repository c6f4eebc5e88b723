"""A few images, saved in a temporary folder, for `zoo check tests/shades.py`: `hf/saved` needs a path."""

import tempfile
from functools import cache

import datasets
from PIL import Image
from zoo_hf_datasets.saved import Saved

from zoo import DatasetSpec, hookimpl


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder of dark and light gray squares, all different."""
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dark", "light"])}
    )

    def rows(numbers: range) -> datasets.Dataset:
        shades = [(20 + n + 150 * (n % 2),) * 3 for n in numbers]
        images = [Image.new("RGB", (12, 10), shade) for shade in shades]
        return datasets.Dataset.from_dict(
            {"image": images, "label": [n % 2 for n in numbers]}, features=kinds
        )

    made = tempfile.TemporaryDirectory()
    splits = datasets.DatasetDict()
    splits["train"], splits["validation"] = rows(range(64)), rows(range(64, 80))
    splits.save_to_disk(made.name)
    return made


def shades() -> Saved:
    """Return the dataset `hf/saved`, opened on this folder."""
    return Saved(path=folder().name, size=8)


@hookimpl
def zoo_datasets():
    """Return the dataset."""
    yield DatasetSpec(
        name="shades", target="shades:shades", task="classification", summary="Dark and light squares"
    )
