"""Checks of a dataset, opened with its default options and without downloads."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from unittest import mock

import torch
from torch import Tensor

from zoo.config.declarations import declared
from zoo.interfaces import SPLITS, CarriesState, Dataset, ReadsBatches, Split
from zoo.testing._altered import versions
from zoo.testing._case import Case, Failure, ProcessFailed, failing, located, message
from zoo.testing._data import (
    dataset_of,
    described,
    opened,
    other_openings,
    reads_what_it_is_given,
    require_splits,
    sample,
    usual_options,
)
from zoo.testing._fresh import ask_shared
from zoo.testing._models import all_drawing_from, model_for, step


def cards_name_no_files(case: Case) -> None:
    """The options in `card_options`, which weights files may set, are not file paths."""
    known = declared(case.entry.load())
    for name in case.spec.card_options:
        assert not reads_what_it_is_given(case, name, known[name].type), message(
            expected=f"no file opened because of {name}, which weights files may set",
            got="an attempt to open the file that the option names",
            usually="an option for a path; leave it out of card_options, so that only the user can set it",
        )


def dims_are_declared(case: Case) -> None:
    """`dims` has a positive integer for every argument that the task's models need."""
    dims = dataset_of(case).dims
    for name in case.registry.task(case.spec.task).dims:
        value = dims.get(name)
        positive = type(value) is int and value >= 1
        assert positive, message(
            expected=f"dims with a positive integer {name}",
            got=str(dict(dims)),
            usually="a misspelled key, a count taken before the data was read, or a tensor or NumPy scalar",
        )


def has_three_splits(case: Case) -> None:
    """The dataset has train, val and test splits; a split without data is empty."""
    require_splits(dataset_of(case))


def items_fit_dims(case: Case) -> None:
    """Items have the declared shape and type: uint8 images, or 1-D integer tokens in range."""
    dataset = dataset_of(case)
    for name in SPLITS:
        split = dataset.split(name)
        if isinstance(case.task, CarriesState):
            _require_tokens(name, split, dataset.dims["vocab_size"])
            continue
        _require_items_for_each_number(name, split)
        wanted = _wanted_item(case, dataset.dims)
        for item, _ in sample(split, 20):
            got = (item.dtype, tuple(item.shape))
            assert got == wanted, message(
                expected=f"{name} items of {wanted}",
                got=str(got),
                usually="images already scaled to floats, or with channels last"
                if wanted[0] == torch.uint8
                else "numbers in a different precision, such as float64, or too many or too few numbers",
            )
    assert len(dataset.split("train")), message(
        expected="items to train on", got="an empty train split", usually="a wrong split boundary"
    )


def _require_items_for_each_number(name: str, split: Any) -> None:
    """Raise AssertionError unless a split has items up to its length and none beyond.

    A split that generates an item for any index may have items beyond its length.
    """
    count = len(split)
    with failing(
        expected=f"an item {name}[{count - 1}], since len() is {count}",
        usually="a __len__ that also counts files or lines that are not items",
    ):
        _ = split[count - 1] if count else None
    beyond: list[int] = []
    for index in (count, count + 1_000_000):
        with contextlib.suppress(Exception):
            _ = split[index]
            beyond.append(index)
    assert beyond != [count], message(
        expected=f"an IndexError for {name}[{count}], since len() is {count}",
        got="an item",
        usually="a __len__ that leaves out items, or an unchecked index, so loops run into the next split",
    )


def same_items_twice(case: Case) -> None:
    """An item stays the same when it is read again, and when the dataset is opened again, in any process.

    The dataset is opened as if at a later time in a process with a different id, and then in a new process,
    where sets have a different order.
    """
    unread = opened(case)
    for name in SPLITS:
        _require_constant_items(unread, name)
    ours = described(dataset_of(case))
    for others, of in (
        (_reopened(case, seed=1, later=1e7, process=1), "opened again"),
        (_in_new_process(case), "opened in a new process"),
    ):
        differing = [
            part for part in ("items", "dims", "preprocess") if ours[part] != others.get(part, ours[part])
        ]
        assert not differing, message(
            expected=f"the same data when it is {of}",
            got=f"different {' and '.join(differing)}",
            usually=_inconstant(case)
            if of == "opened again"
            else "the order of a set, or hash() of a string, which differ between processes; use sorted()",
        )


def _require_constant_items(dataset: Dataset, name: Split) -> None:
    """Raise AssertionError unless some items of a split stay the same when read in a different order."""
    count = min(20, len(dataset.split(name)))

    def read(order: Iterable[int], seed: int) -> dict[int, list[Tensor]]:
        with all_drawing_from(seed):
            split = dataset.split(name)
            found: dict[int, list[Tensor]] = {}
            for index in order:
                item = [split[index]] if isinstance(split, Tensor) else split[index]
                found[index] = [torch.as_tensor(part).clone() for part in item]
            return found

    def changed(one: dict[int, list[Tensor]], other: dict[int, list[Tensor]]) -> list[int]:
        return [n for n in range(count) if not all(map(torch.equal, one[n], other[n]))]

    backwards = range(count)[::-1]
    first, second = read(backwards, 0), read(range(count), 1)
    if not (differing := changed(first, second)):
        with ThreadPoolExecutor(1) as other:
            differing = changed(first, other.submit(read, range(count), 0).result())
        assert not differing, message(
            expected="an item to stay the same in another thread, since several threads read a batch",
            got=f"a different {name}[{differing[0]}]" if differing else "",
            usually="a thread's number or its local data in the item",
        )
        return
    drawn = not any(changed(first, read(backwards, 0)) for _ in range(2))
    same_input = torch.equal(first[differing[0]][0], second[differing[0]][0])
    raise Failure(
        expected="an item to stay the same, regardless of how often and in which order items are read",
        got=f"a different {'label' if same_input else 'item'} for {name}[{differing[0]}] the second time",
        usually="a dataset that shuffles, augments or labels at random; the task shuffles and augments"
        if drawn
        else "an in-place operation on stored data, such as `image += 1`; change a copy",
    )


def _inconstant(case: Case) -> str:
    """Return the reason why the items of a dataset differ when it is opened again."""
    usual = _reopened(case)
    if _reopened(case) != usual:
        return "a generator that the system seeds, such as NumPy's default_rng() without a seed"
    if _reopened(case, seed=1) != usual:
        return "random numbers from an unseeded generator while the dataset is opened"
    if _reopened(case, process=1) != usual:
        return "the process id, os.getpid(), in the data or as a seed"
    return "the time, time.time(), in the data or as a seed"


def _reopened(case: Case, *, seed: int = 0, later: float = 0, process: int = 0) -> dict[str, str]:
    """Describe the dataset when opened again, as if at a later time or in a process with a different id."""
    clock, number = time.time, os.getpid() + process

    def moved_clock() -> float:
        return clock() + later

    with (
        all_drawing_from(seed),
        mock.patch.object(time, "time", moved_clock),
        mock.patch.object(os, "getpid", return_value=number),
    ):
        return described(opened(case))


def _in_new_process(case: Case) -> dict[str, str]:
    """Describe the dataset as a new process opens it; empty if opening fails."""

    def describe() -> dict[str, str]:
        try:
            return ask_shared(case, "describe", dataset=case.entry.name, options=usual_options(case))
        except ProcessFailed:
            return {}

    return case.kept("described", describe)


def _wanted_item(case: Case, dims: Mapping[str, int]) -> tuple[torch.dtype, tuple[int, ...]]:
    """Return the type of a tiny dataset's items, and the shape of a model's inputs for some dims."""
    item, _ = case.tiny().split("train")[0]
    return item.dtype, tuple(case.task.example(dims).shape[1:])


def _require_tokens(name: str, split: Any, vocab_size: int) -> None:
    """Raise AssertionError unless a split is empty, or a 1-D tensor of tokens in range."""
    if not len(split):
        return
    fits = isinstance(split, Tensor) and split.ndim == 1 and not split.is_floating_point()
    kind = type(split).__name__
    assert fits, message(
        expected=f"{name} as a 1-D tensor of integers",
        got=f"{split.dtype} {tuple(split.shape)}" if isinstance(split, Tensor) else kind,
        usually="text that is already split into parallel streams",
    )
    low, high = int(split.min()), int(split.max())
    assert 0 <= low <= high < vocab_size, message(
        expected=f"{name} tokens from 0 to {vocab_size - 1}",
        got=f"{low} to {high}",
        usually="a vocabulary counted before the special tokens were added",
    )


def same_fingerprint_twice(case: Case) -> None:
    """Opened twice, even in a new process, the dataset has the same fingerprint, which is a sha256."""
    one, other = dataset_of(case).fingerprint, opened(case).fingerprint
    assert one == other, message(
        expected="the same fingerprint twice",
        got=f"{one} and {other}",
        usually="a time, a path or an unsorted folder in the hash",
    )
    other = _in_new_process(case).get("fingerprint", one)
    assert one == other, message(
        expected="the same fingerprint in a new process",
        got=f"{one} and {other}",
        usually="the order of a set, the process id or the current folder in the hash",
    )
    assert re.fullmatch("[0-9a-f]{64}", one), message(
        expected="the 64 hex digits of a sha256", got=repr(one), usually="hash() or a version number"
    )


def fingerprint_follows_the_data(case: Case) -> None:
    """Different data has a different fingerprint, whether an item, a label or the order differs.

    The first three integer options are each changed by 1, and if the dataset reads files, the files are
    altered in ways that still allow it to open.
    """
    dataset = dataset_of(case)
    for name, other in other_openings(case, most=3):
        same = all(_beginning(dataset, split) == _beginning(other, split) for split in SPLITS)
        assert same or other.fingerprint != dataset.fingerprint, message(
            expected=f"a different fingerprint, since a different {name} changes the data",
            got=f"{dataset.fingerprint} for both",
            usually="a constant, or a hash of the file alone; hash the contents of the splits",
        )
    found = [*versions(case)]
    for original, version in itertools.product(found[:1], found[1:]):
        same = version.content == original.content
        assert same or version.fingerprint != original.fingerprint, message(
            expected=f"a different fingerprint, since the data differs when {version.altered}",
            got=f"{original.fingerprint} for both",
            usually="a hash of the items without their labels, or without their order",
        )


def _beginning(dataset: Dataset, name: Split) -> tuple[int, bytes]:
    """Return the length of a split, and the bytes of its first items."""
    split = dataset.split(name)
    if isinstance(split, Tensor):
        return len(split), split[:1_000].numpy().tobytes()
    first = [split[number] for number in range(min(5, len(split)))]
    parts = (torch.as_tensor(part).numpy().tobytes() for item in first for part in item)
    return len(split), b"".join(parts)


def fetches_its_items(case: Case) -> None:
    """`read_batch` and torch's `__getitems__`, if a split has them, return the requested items, in order."""
    for name in SPLITS:
        split: Any = dataset_of(case).split(name)
        if isinstance(split, Tensor) or len(split) < 3:
            continue
        indices = [2, 0, 1, *range(3, min(12, len(split)))]
        fetches = getattr(split, "__getitems__", None)
        if isinstance(split, ReadsBatches):
            _require_items(
                split, indices, zip(*split.read_batch(indices), strict=True), f"read_batch of {name}"
            )
        if fetches is not None:
            fetched = fetches(indices)
            assert isinstance(fetched, list), message(
                expected=f"__getitems__ of {name} to return a list of items, as torch's DataLoader expects",
                got=f"a {type(fetched).__name__}",
                usually="a whole batch, which `read_batch` returns",
            )
            _require_items(split, indices, cast("list[Any]", fetched), f"__getitems__ of {name}")


def _require_items(split: Any, indices: Sequence[int], rows: Iterable[Any], what: str) -> None:
    same = all(
        torch.equal(torch.as_tensor(one), torch.as_tensor(other))
        for row, index in zip(rows, indices, strict=True)
        for one, other in zip(row, split[index], strict=True)
    )
    assert same, message(
        expected=f"{what} to return the items {indices}",
        got="others",
        usually="sorted or shuffled indices, or images and labels in different orders",
    )


def trains_a_model(case: Case) -> None:
    """A model of the task, built for these dims, can be trained on the first batch."""
    dataset, spec = dataset_of(case), case.registry.task(case.spec.task)
    config = case.registry.default_config(spec.name).replace({"batch_size": 4})
    model = model_for(case.registry, spec, dataset.dims)
    try:
        batch = next(case.task.train_batches(dataset, config, seed=0, epoch=0))
        loss = step(case, model, batch).loss
        loss.backward()
        got = f"a loss of {float(loss.detach())}"
    except Exception as error:
        loss, got = torch.tensor(math.nan), located(error)
    assert loss.isfinite(), message(
        expected="a training step on the first batch, with a finite loss",
        got=got,
        usually="labels of the wrong type or shape for the task, such as floats or (1,)",
    )
