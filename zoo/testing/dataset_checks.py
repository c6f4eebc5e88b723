"""Checks of a dataset, opened with its default options and without fetching anything."""

from __future__ import annotations

import atexit
import hashlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.building import open_dataset, signature_options
from zoo.errors import DataError, SpecError
from zoo.fetch import offline
from zoo.interfaces import Dataset, Split
from zoo.specs import DIMS, Recipe
from zoo.tasks import make_task
from zoo.testing._suite import Case, Skip, told
from zoo.testing._tiny import TEXT
from zoo.vocabulary import Vocabulary

__all__ = [
    "dims_are_declared",
    "items_fit_dims",
    "labels_in_range",
    "order_is_reproducible",
    "preprocess_is_json",
    "same_fingerprint_twice",
    "splits_differ",
    "text_decodes",
]

_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_KEYS = {
    "classification": ("size", "mean", "std", "classes"),
    "language-modelling": ("tokens", "lower", "vocabulary", "specials"),
}


def dims_are_declared(case: Case) -> None:
    """`dims` gives every argument the task's models need, as positive integers."""
    dims = _dataset(case).dims
    for name in DIMS[case.spec.task]:
        value = dims.get(name)
        assert type(value) is int, told(
            expected=f"dims with an integer {name}",
            got=str(dict(dims)),
            usually="a misspelt key, or a number that is a tensor or numpy scalar",
        )
        assert value >= 1, told(
            expected=f"a positive {name}", got=str(value), usually="counting before the data is read"
        )


def items_fit_dims(case: Case) -> None:
    """Items have the declared shape and type: uint8 images, or 1-D integer tokens in range."""
    dataset = _dataset(case)
    dims = dataset.dims
    for name in _SPLITS:
        split = dataset.split(name)
        if case.spec.task == "classification":
            wanted = (torch.uint8, (dims["in_channels"], dims["image_size"], dims["image_size"]))
            for image, _ in _sample(split, 20):
                got = (image.dtype, tuple(image.shape))
                assert got == wanted, told(
                    expected=f"{name} images of {wanted}",
                    got=str(got),
                    usually="images already scaled to floats, or channels last",
                )
        elif len(split):
            fits = split.ndim == 1 and not split.is_floating_point()
            assert fits, told(
                expected=f"{name} as a 1-D tensor of integers",
                got=f"{split.dtype} {tuple(split.shape)}",
                usually="text that is already cut into lanes",
            )
            low, high = int(split.min()), int(split.max())
            assert 0 <= low <= high < dims["vocab_size"], told(
                expected=f"{name} tokens from 0 to {dims['vocab_size'] - 1}",
                got=f"{low} to {high}",
                usually="a vocabulary counted before special tokens were added",
            )
    assert len(dataset.split("train")), told(
        expected="something to train on", got="an empty train split", usually="a wrong split border"
    )


def labels_in_range(case: Case) -> None:
    """Every label of a sample is a whole number from 0 to num_classes - 1."""
    dataset = _dataset(case)
    for name in _SPLITS:
        for _, label in _sample(dataset.split(name), 1_000):
            known = int(label) == float(label) and 0 <= int(label) < dataset.dims["num_classes"]
            assert known, told(
                expected=f"{name} labels from 0 to {dataset.dims['num_classes'] - 1}",
                got=str(label),
                usually="labels that count from 1, or a class missing from `classes`",
            )


def splits_differ(case: Case) -> None:
    """Held-out data is not in the training data.

    Images: of a sample, at most one in a hundred, since real collections hold a few duplicates. Text: the
    validation and the test split are different stretches, and neither is one of the training split.
    """
    dataset = _dataset(case)
    alike = _alike_images if case.spec.task == "classification" else _alike_texts
    for one, other in itertools.combinations(_SPLITS, 2):
        shared = alike(dataset.split(one), dataset.split(other))
        assert not shared, told(
            expected=f"nothing of {other} in {one}",
            got=shared,
            usually="the same file behind both, or borders that overlap",
        )


def same_fingerprint_twice(case: Case) -> None:
    """Opened twice, the dataset has the same fingerprint, which is a sha256."""
    one, other = _dataset(case).fingerprint, _open(case).fingerprint
    assert one == other, told(
        expected="the same fingerprint twice",
        got=f"{one} and {other}",
        usually="a time, a path or an unsorted folder that goes into the hash",
    )
    assert re.fullmatch("[0-9a-f]{64}", one), told(
        expected="the 64 hex digits of a sha256", got=repr(one), usually="hash() or a version number instead"
    )


def order_is_reproducible(case: Case) -> None:
    """The same seed and epoch give the same batches."""
    dataset = _dataset(case)
    recipe = Recipe(batch_size=8, bptt=8)

    def first_batches() -> list[tuple[Tensor, Tensor]]:
        batches = make_task(case.spec.task).train_batches(dataset, recipe, seed=0, epoch=0)
        return [(batch.inputs, batch.targets) for batch, _ in zip(batches, range(3), strict=False)]

    for one, other in zip(first_batches(), first_batches(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True)), told(
            expected="the same batches twice",
            got="other ones",
            usually="a dataset that shuffles or augments by itself; both belong to the task",
        )


def preprocess_is_json(case: Case) -> None:
    """`preprocess` survives JSON unchanged and holds what feeding new input needs."""
    dataset = _dataset(case)
    preprocess = dict(dataset.preprocess)
    changed = [str(key) for key, value in preprocess.items() if not _survives_json({key: value})]
    assert not changed, told(
        expected="preprocess as JSON data",
        got=f"something else in {', '.join(changed)}",
        usually="tuples, numbers as keys, or tensors; use lists, text and floats",
    )
    missing = [key for key in _KEYS[case.spec.task] if key not in preprocess]
    assert not missing, told(
        expected=f"preprocess with {', '.join(_KEYS[case.spec.task])}",
        got=f"none of {', '.join(missing)}",
        usually="a key left out or renamed",
    )
    key, dim = (
        ("classes", "num_classes") if case.spec.task == "classification" else ("vocabulary", "vocab_size")
    )
    assert len(preprocess[key]) == dataset.dims[dim], told(
        expected=f"as many {key} as {dim}, {dataset.dims[dim]}",
        got=str(len(preprocess[key])),
        usually="special tokens or a background class counted once only",
    )
    if case.spec.task == "language-modelling":
        assert preprocess["tokens"] in ("char", "word"), told(
            expected="tokens that are 'char' or 'word'",
            got=repr(preprocess["tokens"]),
            usually="another way of cutting a text, which zoo could neither prompt nor print",
        )
        assert not preprocess.get("newline_eos") or "<eos>" in preprocess["vocabulary"], told(
            expected="<eos> in the vocabulary, since newline_eos is true",
            got=str(preprocess["vocabulary"][: preprocess["specials"]]),
            usually="the newline left in the vocabulary as itself",
        )


def text_decodes(case: Case) -> None:
    """Tokens decode to text with the vocabulary, and that text encodes to the same tokens."""
    dataset = _dataset(case)
    vocabulary = Vocabulary(dataset.preprocess)
    tokens = dataset.split("train")[:1_000].tolist()
    if vocabulary.backwards:
        tokens.reverse()
    for is_text, stretch in itertools.groupby(tokens, {*vocabulary.drawable}.__contains__):
        if not is_text:
            continue
        wanted = list(stretch)
        numbers, unknown = vocabulary.encode(vocabulary.decode(wanted))
        assert numbers == wanted, told(
            expected="text that encodes to the tokens it was decoded from",
            got=f"unknown tokens {unknown[:5]}" if unknown else "other tokens",
            usually="a vocabulary in another order, one with a token twice, `lower` that does not fit, or "
            "words without the space before them",
        )


def _dataset(case: Case) -> Dataset:
    """Return the dataset; only the one that was opened last is kept, since it may be large."""
    if case.shared.get("opened", ("", None))[0] != case.spec.name:
        case.shared.pop("opened", None)
        case.shared["opened"] = (case.spec.name, _open(case))
    return case.shared["opened"][1]


def _open(case: Case) -> Dataset:
    assert case.entry is not None
    try:
        options = signature_options(case.entry.load())
    except SpecError as error:
        raise Skip(str(error)) from None
    required = [name for name, option in options.items() if option.default is option.empty]
    if required not in ([], ["paths"]):
        raise Skip(f"it needs {', '.join(required)}, which the kit cannot make up")
    try:
        with offline():
            return open_dataset(case.entry, {"paths": [_text_file(case)]} if required else {})
    except DataError as error:
        raise Skip(f"no data here, and checks fetch nothing: {error}") from None


def _text_file(case: Case) -> str:
    if "text" not in case.shared:
        folder = Path(tempfile.mkdtemp(prefix="zoo-check-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / "text.txt").write_text(TEXT, encoding="utf-8")
        case.shared["text"] = str(folder / "text.txt")
    return case.shared["text"]


def _survives_json(value: object) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


def _sample(images: Any, count: int) -> Iterator[tuple[Tensor, int]]:
    """Yield up to `count` items, chosen evenly by a fixed seed."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return (images[index] for index in order[:count].tolist())


def _alike_images(one: Any, other: Any) -> str:
    known = {hashlib.sha256(image.numpy().tobytes()).digest() for image, _ in _sample(one, 5_000)}
    held_out = [hashlib.sha256(image.numpy().tobytes()).digest() for image, _ in _sample(other, 500)]
    shared = sum(digest in known for digest in held_out)
    return f"{shared} of {len(held_out)} sampled images" if shared > len(held_out) / 100 else ""


def _alike_texts(one: Tensor, other: Tensor) -> str:
    if len(one) < 32 or len(other) < 32:
        return ""
    length = min(256, len(other) // 3)
    starts = (0, (len(other) - length) // 2, len(other) - length)
    whole = _bytes(one)
    found = all(_bytes(other[start : start + length]) in whole for start in starts)
    return f"its beginning, middle and end, {length} tokens each" if found else ""


def _bytes(tokens: Tensor) -> bytes:
    return tokens.to(torch.int32).numpy().tobytes()
