"""Check images: copies within and across splits, constant images, sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.interfaces import SPLITS, Dataset, HasFiles, ReadsBatches, Split
from zoo.tools.data_check.near_duplicates import near_duplicates, reduced

# Images that are read at a time
_AT_ONCE = 500
# A square crop of a wider image loses more than half of it
_WIDE = 2.0

# Called with what is done, how much of it, the total, and its unit
Report = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """All images of a dataset, at 32×32 pixels, in the order of the splits.

    Attributes:
        pixels: (N, C, 32, 32), uint8.
        hashes: a hash of each image at its own size.
        constant: whether all pixels of each channel are identical, for each image, (N,).
        splits: the split of each image.
        indices: the index of each image in its split.
        labels: the label of each image, or its labels, comma-separated.
        names: the name of each image: the folder and the name of its file, or its split and index.
        files: the path of each image; empty if the images are not files.
    """

    pixels: Tensor
    hashes: Sequence[bytes]
    constant: Tensor
    splits: Sequence[Split]
    indices: Sequence[int]
    labels: Sequence[str]
    names: Sequence[str]
    files: Sequence[Path]


def read_images(dataset: Dataset, report: Report) -> Images:
    """Read all images of a dataset. Raises DataError if the items of a split are not uint8 images."""
    classes = [str(name) for name in dataset.preprocess["classes"]]
    splits: list[Split] = []
    indices: list[int] = []
    labels: list[str] = []
    names: list[str] = []
    paths: list[Path] = []
    pixels: list[Tensor] = []
    hashes: list[bytes] = []
    constant: list[Tensor] = []
    counts: dict[Split, int] = {split: len(dataset.split(split)) for split in SPLITS}
    for split, count in counts.items():
        items = dataset.split(split)
        files = items.files if isinstance(items, HasFiles) else None
        for start in range(0, count, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, count))
            images, targets = _read(items, numbers)
            if images.ndim != 4 or images.dtype != torch.uint8:
                got = f"{images.dtype} of shape {tuple(images.shape[1:])}".removeprefix("torch.")
                raise DataError(f"images must be uint8 (C, H, W), but the {split} split has {got}")
            pixels.append(reduced(images))
            hashes += [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images]
            flat = images.flatten(2)
            constant.append((flat.amax(2) == flat.amin(2)).all(1))
            splits.extend(split for _ in numbers)
            indices += numbers
            labels += _labels(targets, classes)
            if files is None:
                names += [f"{split}-{number:05}" for number in numbers]
            else:
                own = [files[number] for number in numbers]
                names += [f"{path.parent.name}/{path.name}" for path in own]
                paths += own
            report("reading images", len(splits), sum(counts.values()), "images")
    if not splits:
        raise DataError("the dataset is empty")
    return Images(
        pixels=torch.cat(pixels),
        hashes=hashes,
        constant=torch.cat(constant),
        splits=splits,
        indices=indices,
        labels=labels,
        names=names,
        files=paths if len(paths) == len(names) else (),
    )


def _read(items: Any, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W), and labels (B,) or (B, K)."""
    if isinstance(items, ReadsBatches):
        images, labels = items.read_batch([*numbers])
        return images.cpu(), labels.cpu()
    pairs = [items[number] for number in numbers]
    return torch.stack([image for image, _ in pairs]), torch.stack([torch.as_tensor(y) for _, y in pairs])


def _labels(targets: Tensor, classes: Sequence[str]) -> list[str]:
    held: list[list[int]] = [row.nonzero()[:, 0].tolist() for row in targets] if targets.ndim == 2 else []
    numbers: list[int] = targets.tolist() if targets.ndim == 1 else []
    named = [", ".join(classes[number] for number in several) or "none" for several in held]
    return [*(classes[number] for number in numbers), *named]


def check_images(images: Images, *, similarity: float, report: Report) -> dict[str, Any]:
    """Return the copies among images, and the constant images, as JSON data.

    Args:
        similarity: minimum similarity of near duplicates; see `near_duplicates`.
    """
    groups: dict[bytes, list[int]] = {}
    for number, found in enumerate(images.hashes):
        groups.setdefault(found, []).append(number)
    exact = [group for group in groups.values() if len(group) > 1]
    first = {(images.hashes[n], images.splits[n]): n for n in reversed(range(len(images.splits)))}
    chosen = torch.tensor(sorted(n for n in first.values() if not images.constant[n]), dtype=torch.int64)
    pairs = near_duplicates(
        images.pixels[chosen],
        least=similarity,
        report=lambda done, total: report("comparing images", done, total, "pairs"),
    )
    near: list[dict[str, Any]] = []
    for (one, other), value, mirrored in zip(
        cast("list[list[int]]", chosen[pairs.numbers].tolist()),
        pairs.similarity.tolist(),
        pairs.mirrored.tolist(),
        strict=True,
    ):
        if images.hashes[one] != images.hashes[other]:
            more = {"similarity": round(value, 4), "mirrored": mirrored}
            near.append({**_group(images, [one, other]), **more})
    return {
        "exact": [_group(images, group) for group in exact],
        "near": near,
        "copies": _copies(images, exact, near),
        "constant": [item_of(images, number) for number in images.constant.nonzero()[:, 0].tolist()],
    }


def item_of(images: Images, number: int) -> dict[str, Any]:
    """Return the name, the split, the index and the label of an image, and its file."""
    item: dict[str, Any] = {
        "name": images.names[number],
        "split": images.splits[number],
        "index": images.indices[number],
        "label": images.labels[number],
    }
    return item | ({"file": str(images.files[number])} if images.files else {})


def _group(images: Images, numbers: Sequence[int]) -> dict[str, Any]:
    items = [item_of(images, number) for number in numbers]
    return {"items": items, "labels_differ": len({item["label"] for item in items}) > 1}


def _copies(
    images: Images, exact: Sequence[Sequence[int]], near: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Count the images of each split that have a copy in the same split, or in one before it."""
    kinds = {
        "exact": [[item_of(images, number) for number in group] for group in exact],
        "near": [pair["items"] for pair in near],
    }
    rows: list[dict[str, Any]] = []
    for known, split in combinations_with_replacement(SPLITS, 2):
        row: dict[str, Any] = {"split": split, "in": known}
        differ: set[int] = set()
        for kind, groups in kinds.items():
            copied: set[int] = set()
            for group in groups:
                others = [item for item in group if item["split"] == known]
                for item in (item for item in group if item["split"] == split):
                    before = [o for o in others if known != split or o["index"] < item["index"]]
                    copied |= {item["index"]} if before else set()
                    differ |= {item["index"]} if any(o["label"] != item["label"] for o in before) else set()
            row[kind] = len(copied)
        rows.append({**row, "labels_differ": len(differ)})
    return rows


def check_sizes(images: Images, size: int) -> dict[str, Any]:
    """Return the sizes of image files, and the files that the model's square enlarges or crops heavily.

    Empty if the images are not files.

    Args:
        size: height and width of the square in pixels.
    """
    from PIL import Image

    if not images.files:
        return {}
    sizes: list[tuple[int, int]] = []
    for path in images.files:
        with Image.open(path) as opened:
            sizes.append(opened.size)
    areas = [width * height for width, height in sizes]
    return {
        "smallest": sizes[areas.index(min(areas))],
        "largest": sizes[areas.index(max(areas))],
        "enlarged": [item_of(images, n) for n, each in enumerate(sizes) if min(each) < size],
        "cropped": [item_of(images, n) for n, each in enumerate(sizes) if max(each) > _WIDE * min(each)],
    }
