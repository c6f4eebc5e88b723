"""Checks of a dataset, opened with its default options and without downloads."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from zoo.config.declarations import declared
from zoo.data.vocabulary import Vocabulary, WritesText
from zoo.errors import cause
from zoo.interfaces import CarriesState, Dataset, ReadsBatches, Split, make_task
from zoo.processors import ReadsInputs
from zoo.testing._altered import versions
from zoo.testing._case import Case, Warned, message
from zoo.testing._data import (
    SPLITS,
    dataset_of,
    described,
    opened,
    other_openings,
    reads_what_it_is_given,
    require_splits,
    sample,
)
from zoo.testing._models import all_drawing_from, model_for, step
from zoo.testing._options import require_types
from zoo.testing._reopened import in_new_process, reopened

__all__ = [
    "cards_name_no_files",
    "dims_are_declared",
    "fetches_its_items",
    "fingerprint_follows_the_data",
    "has_three_splits",
    "items_fit_dims",
    "labels_in_range",
    "order_is_reproducible",
    "preprocess_feeds_new_input",
    "preprocess_is_json",
    "reads_by_typed_options",
    "same_fingerprint_twice",
    "same_items_twice",
    "splits_differ",
    "text_decodes",
    "trains_a_model",
]

# What `preprocess` says of images that are normalized as zoo's own are
_IMAGES = {"size", "mean", "std"}


def reads_by_typed_options(case: Case) -> None:
    """Every option has a type, which `--data` is checked against, and its default has that type."""
    require_types(case)
    assert case.entry is not None
    known = declared(case.entry.load())
    for name in case.entry.spec.required:
        assert name in known, message(
            expected=f"an option {name}, since required lists it",
            got=f"the options {', '.join(known)}",
            usually="a misspelled or renamed option",
        )


def cards_name_no_files(case: Case) -> None:
    """The options that `card_options` lets a weights file decide exist, and none of them names a file."""
    assert case.entry is not None
    known = declared(case.entry.load())
    for name in case.entry.spec.card_options:
        assert name in known, message(
            expected=f"an option {name}, since card_options lists it",
            got=f"the options {', '.join(known)}",
            usually="a misspelled or renamed option",
        )
        assert not reads_what_it_is_given(case, name, known[name].type), message(
            expected=f"nothing opened because a weights file says so in {name}, which card_options lists",
            got="the file that it named was opened",
            usually="an option for a path; leave it out of card_options, so that only the user can give it",
        )


def dims_are_declared(case: Case) -> None:
    """`dims` has every argument that the task's models need, as positive integers."""
    dims = dataset_of(case).dims
    for name in case.registry.task(case.spec.task).dims:
        value = dims.get(name)
        assert type(value) is int, message(
            expected=f"dims with an integer {name}",
            got=str(dict(dims)),
            usually="a misspelt key, or a number that is a tensor or numpy scalar",
        )
        assert value >= 1, message(
            expected=f"a positive {name}", got=str(value), usually="a count taken before the data is read"
        )


def has_three_splits(case: Case) -> None:
    """There are train, val and test splits; those that the data does not have are empty."""
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
                usually="images already scaled to floats, or with channels last",
            )
    assert len(dataset.split("train")), message(
        expected="something to train on", got="an empty train split", usually="a wrong split boundary"
    )


def _require_items_for_each_number(name: str, split: Any) -> None:
    """Raise AssertionError unless a split has items up to its length and none beyond.

    One that has an item for any number, which it makes, may have them beyond too.
    """
    count = len(split)
    try:
        _ = split[count - 1] if count else None
    except Exception as error:
        raise AssertionError(
            message(
                expected=f"an item {name}[{count - 1}], since len() is {count}",
                got=cause(error),
                usually="a __len__ that counts files or lines of which some are no items",
            )
        ) from error
    beyond: list[int] = []
    for index in (count, count + 1_000_000):
        with contextlib.suppress(Exception):
            _ = split[index]
            beyond.append(index)
    assert beyond != [count], message(
        expected=f"an IndexError for {name}[{count}], since len() is {count}",
        got="an item",
        usually="a __len__ that leaves out items, or a part of a list that does not check its index, so that "
        "a loop over it goes on into the next split",
    )


def same_items_twice(case: Case) -> None:
    """An item stays the same when it is read again, and when the dataset is opened again, anywhere.

    It is opened as if later and in a process of another number, and then in a new process, where sets have
    another order.
    """
    unread = opened(case)
    for name in SPLITS:
        _require_constant_items(unread, name)
    ours = described(dataset_of(case))
    for others, of in (
        (reopened(case, seed=1, later=1e7, process=1), "opened again"),
        (in_new_process(case), "opened in a new process"),
    ):
        differing = [
            part for part in ("items", "dims", "preprocess") if ours[part] != others.get(part, ours[part])
        ]
        assert not differing, message(
            expected=f"the same data when it is {of}",
            got=f"other {' and '.join(differing)}",
            usually=_inconstant(case)
            if of == "opened again"
            else "the order of a set, or hash() of a string, which no two processes share; use sorted()",
        )


def _require_constant_items(dataset: Dataset, name: Split) -> None:
    """Raise AssertionError unless some items of a split are the same when they are read in another order."""
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
        return
    drawn = not any(changed(first, read(backwards, 0)) for _ in range(2))
    same_input = torch.equal(first[differing[0]][0], second[differing[0]][0])
    raise AssertionError(
        message(
            expected="an item to stay the same, however often and in whatever order items are read",
            got=f"another {'label' if same_input else 'item'} for {name}[{differing[0]}] the second time",
            usually="a dataset that shuffles, augments or labels at random by itself; the task shuffles and "
            "augments"
            if drawn
            else "an operation in place on what the dataset keeps, such as `image += 1`; change a copy",
        )
    )


def _inconstant(case: Case) -> str:
    """Return why a dataset that is opened again has other items."""
    usual = reopened(case)
    if reopened(case) != usual:
        return "a generator that the system seeds, such as numpy's default_rng() without a seed"
    if reopened(case, seed=1) != usual:
        return "random numbers drawn without a seed of their own while the dataset is opened"
    if reopened(case, process=1) != usual:
        return "the number of the process, os.getpid(), in the data or as a seed"
    return "the time, time.time(), in the data or as a seed"


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
        usually="text that is already cut into lanes",
    )
    low, high = int(split.min()), int(split.max())
    assert 0 <= low <= high < vocab_size, message(
        expected=f"{name} tokens from 0 to {vocab_size - 1}",
        got=f"{low} to {high}",
        usually="a vocabulary counted before the special tokens were added",
    )


def labels_in_range(case: Case) -> None:
    """Every label is an integer from 0 to one below the number of classes; or 0 or 1 for each of the classes.

    Labels of each pixel may also be -1 in a batch: unknown.
    """
    dataset = dataset_of(case)
    classes = dataset.dims["num_classes"]
    if torch.as_tensor(case.tiny().split("test")[0][1]).ndim == 1:
        _require_zeros_and_ones(dataset, classes)
        return
    known: dict[Split, tuple[Tensor, Tensor]] = {}
    for name in SPLITS:
        items = list(sample(dataset.split(name), 1_000))
        batches = list(case.task.batches_of(items, dataset.preprocess)) if items else []
        for batch in batches:
            targets, lowest = batch.targets, 0 if batch.targets.ndim == 1 else -1
            wrong = (targets != targets.floor()) | (targets < lowest) | (targets >= classes)
            assert not wrong.any(), message(
                expected=f"{name} labels from {lowest} to {classes - 1}",
                got=f"{targets[wrong][0].item():g}",
                usually="labels that start at 1"
                if int(targets[wrong].max()) == classes
                else "a class missing from `classes`, or a number that stands for an unknown label",
            )
        if batches and all(batch.targets.ndim == 1 for batch in batches):
            labels = torch.cat([batch.targets for batch in batches]).long()
            known[name] = torch.stack([_sketch(item) for item, _ in items]), labels
    if known:
        _require_all_classes(case, known)
        _warn_of_strange_labels(known)


def _require_all_classes(case: Case, known: Mapping[Split, tuple[Tensor, Tensor]]) -> None:
    """Raise AssertionError if a class has no training item, or if held-out items are all of one class."""
    dataset = dataset_of(case)
    for name, (_, labels) in known.items():
        counts = torch.bincount(labels, minlength=dataset.dims["num_classes"]).tolist()
        if name == "train":
            whole = [*case.task.class_counts(dataset, name).values()]
            if not whole and len(dataset.split(name)) > len(labels):
                continue  # a rare class may be missing from a sample
            missing = [str(number) for number, count in enumerate(whole or counts) if not count]
            assert not missing, message(
                expected="a training item of each class",
                got=f"none of class {', '.join(missing[:5])}",
                usually="a class in `classes` that only held-out data has, or a split by class",
            )
        several = len(labels) >= 2 * len(counts) > 2
        assert not several or len(counts) - counts.count(0) > 1, message(
            expected=f"{name} items of several classes, as there are {len(labels)} for {len(counts)} classes",
            got=f"class {labels[0].item()} only",
            usually="items sorted by class and then split without shuffling",
        )


def _warn_of_strange_labels(known: Mapping[Split, tuple[Tensor, Tensor]]) -> None:
    """Raise Warned if the nearest class of training items is right for other ones, and not for a split.

    The nearest class is that whose mean is nearest. Where it tells little of training items either, as of
    hard or of randomly labeled data, it says nothing about the others.
    """
    items, labels = known.get("train", (torch.empty(0), torch.empty(0)))
    half = len(items) // 2
    if half < 50:
        return
    kinds = labels[:half].unique()
    means = torch.stack([items[:half][labels[:half] == kind].mean(0) for kind in kinds])

    def gained(items: Tensor, labels: Tensor) -> tuple[float, float]:
        """Return how much more often than by chance the nearest class is right, and the standard error."""
        found = kinds[torch.cdist(items, means).argmin(1)]
        chance = sum(float((found == k).float().mean() * (labels == k).float().mean()) for k in kinds)
        right = float((found == labels).float().mean())
        return right - chance, math.sqrt((right * (1 - right) + 1 / len(labels)) / len(labels))

    usual, _ = gained(items[half:], labels[half:])
    for name, (others, theirs) in known.items():
        gain, error = gained(others, theirs)
        if usual > 0.1 and gain + 4 * error < usual / 3:
            raise Warned(
                message(
                    expected=f"{name} items to be as near to the training items of their class as those are",
                    got=f"{gain:+.0%} beside chance for the nearest class, and {usual:+.0%} in train",
                    usually=f"{name} labels in another order than the items, or classes numbered otherwise",
                )
            )


def _require_zeros_and_ones(dataset: Dataset, classes: int) -> None:
    for name in SPLITS:
        for _, label in sample(dataset.split(name), 1_000):
            values = torch.as_tensor(label)
            assert tuple(values.shape) == (classes,), message(
                expected=f"{name} labels ({classes},), 0 or 1 for each class",
                got=f"the shape {tuple(values.shape)}",
                usually="the numbers of an image's classes, as a list of its own length",
            )
            assert bool(((values == 0) | (values == 1)).all()), message(
                expected=f"{name} labels from 0 to 1",
                got=str(label),
                usually="counts or probabilities in place of whether a class is there",
            )


def splits_differ(case: Case) -> None:
    """Held-out data is not in the training data.

    Images and the like: at most 1 % of a sample, since real collections contain a few duplicates. Text:
    validation and test split differ, and neither is a part of the training split.
    """
    dataset = dataset_of(case)
    texts = isinstance(case.task, CarriesState)
    splits = {name: dataset.split(name) if texts else _sketches(dataset.split(name)) for name in SPLITS}
    usual, share = (0.0, 0.0) if texts else _usual_distance(splits["train"])
    for one, other in itertools.combinations(SPLITS, 2):
        if texts:
            shared, equal = _alike_texts(splits[one], splits[other]), True
        else:
            shared, equal = _alike_items(splits[one], splits[other][:500], usual, share)
        assert not shared, message(
            expected=f"nothing of {other} in {one}",
            got=shared,
            usually="the same file for both, or overlapping split boundaries"
            if equal
            else "copies that were compressed, resized or changed a little, or frames of one video",
        )


def same_fingerprint_twice(case: Case) -> None:
    """Opened twice, the dataset has the same fingerprint, which is a sha256; in a new process too."""
    one, other = dataset_of(case).fingerprint, opened(case).fingerprint
    assert one == other, message(
        expected="the same fingerprint twice",
        got=f"{one} and {other}",
        usually="a time, a path or an unsorted folder in the hash",
    )
    other = in_new_process(case).get("fingerprint", one)
    assert one == other, message(
        expected="the same fingerprint in a new process",
        got=f"{one} and {other}",
        usually="the order of a set, the number of the process or the current folder in the hash",
    )
    assert re.fullmatch("[0-9a-f]{64}", one), message(
        expected="the 64 hex digits of a sha256", got=repr(one), usually="hash() or a version number"
    )


def fingerprint_follows_the_data(case: Case) -> None:
    """Other data has another fingerprint, whatever differs: an item, a label, their order.

    The first three integer options are tried, each one higher or lower than its default; and of a dataset
    that reads files, what opens after something in them was exchanged.
    """
    dataset = dataset_of(case)
    for name, other in other_openings(case, most=3):
        same = all(_beginning(dataset, split) == _beginning(other, split) for split in SPLITS)
        assert same or other.fingerprint != dataset.fingerprint, message(
            expected=f"another fingerprint, since another {name} gives other data",
            got=f"{dataset.fingerprint} for both",
            usually="a constant, or a hash of the file alone; hash the contents of the splits",
        )
    found = [*versions(case)]
    for original, version in itertools.product(found[:1], found[1:]):
        same = version.content == original.content
        assert same or version.fingerprint != original.fingerprint, message(
            expected=f"another fingerprint, since the data is another once {version.altered}",
            got=f"{original.fingerprint} for both",
            usually="a hash of the items without their labels, or without their order",
        )


def _beginning(dataset: Dataset, name: Split) -> tuple[int, bytes]:
    """Return the length of a split, and the bytes of its first items."""
    split = dataset.split(name)
    if isinstance(split, Tensor):
        return len(split), _bytes(split[:1_000])
    first = [split[number] for number in range(min(5, len(split)))]
    parts = (torch.as_tensor(part).numpy().tobytes() for item in first for part in item)
    return len(split), b"".join(parts)


def order_is_reproducible(case: Case) -> None:
    """The same seed and epoch give the same batches."""
    dataset = dataset_of(case)
    config = case.registry.default_config(case.spec.task)
    config = config.replace({"batch_size": 8} | ({"bptt": 8} if "bptt" in config.fields else {}))

    def first_batches() -> list[tuple[Tensor, Tensor]]:
        batches = make_task(case.registry, case.spec.task).train_batches(dataset, config, seed=0, epoch=0)
        return [(batch.inputs, batch.targets) for batch, _ in zip(batches, range(3), strict=False)]

    for one, other in zip(first_batches(), first_batches(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True)), message(
            expected="the same batches twice",
            got="different batches",
            usually="a dataset that shuffles or augments by itself; the task does both",
        )


def fetches_its_items(case: Case) -> None:
    """`read_batch` and torch's `__getitems__`, if a split has them, return the items asked for, in order."""
    indices = [2, 0, 1]
    for name in SPLITS:
        split: Any = dataset_of(case).split(name)
        if isinstance(split, Tensor) or len(split) < 3:
            continue
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
        usually="sorted indices, or images and labels in two orders",
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
        loss, got = torch.tensor(math.nan), cause(error)
    assert loss.isfinite(), message(
        expected="a step of training on the first batch, with a finite loss",
        got=got,
        usually="labels of another type or shape than those of the task, such as floats or (1,)",
    )


def preprocess_is_json(case: Case) -> None:
    """`preprocess` survives JSON unchanged and has the keys that feeding new input needs."""
    dataset = dataset_of(case)
    preprocess = dict(dataset.preprocess)
    changed = [str(key) for key, value in preprocess.items() if not _survives_json({key: value})]
    assert not changed, message(
        expected="preprocess as JSON data",
        got=f"something else in {', '.join(changed)}",
        usually="tuples, numbers as keys, or tensors; use lists, text and floats",
    )
    keys = case.tiny().preprocess.keys()
    missing = [key for key in keys if key not in preprocess]
    assert not missing, message(
        expected=f"preprocess with {', '.join(keys)}",
        got=f"none with {', '.join(missing)}",
        usually="a missing or renamed key",
    )
    dim, key = case.task.spec.labels or ("", "")
    assert not dim or len(preprocess[key]) == dataset.dims[dim], message(
        expected=f"{dataset.dims.get(dim)} {key}, as many as {dim}",
        got=str(len(preprocess.get(key, ()))),
        usually="special tokens or a background class missing from one of them",
    )
    if isinstance(case.task.processor, WritesText):
        assert preprocess["tokens"] in ("char", "word"), message(
            expected="tokens that are 'char' or 'word'",
            got=repr(preprocess["tokens"]),
            usually="another tokenizer, which zoo could neither prompt nor print",
        )
        assert not preprocess.get("newline_eos") or "<eos>" in preprocess["vocabulary"], message(
            expected="<eos> in the vocabulary, since newline_eos is true",
            got=str(preprocess["vocabulary"][: preprocess["specials"]]),
            usually="a newline left in the vocabulary as itself",
        )


def preprocess_feeds_new_input(case: Case) -> None:
    """`preprocess` alone suffices to turn a new image or text into a model's input."""
    dataset = dataset_of(case)
    if isinstance(case.task.processor, WritesText):
        _feeds_text(dataset.preprocess)
    elif {"in_channels", "image_size"} <= dataset.dims.keys() and dataset.preprocess.keys() >= _IMAGES:
        _feeds_images(case, dataset)


def _feeds_images(case: Case, dataset: Dataset) -> None:
    preprocess, channels = dataset.preprocess, dataset.dims["in_channels"]
    assert preprocess["size"] == dataset.dims["image_size"], message(
        expected=f"the size of the images, {dataset.dims['image_size']}",
        got=str(preprocess["size"]),
        usually="the size of the images before they were resized",
    )
    for key, lowest in (("mean", 0.0), ("std", 1e-3)):
        values: list[float] = preprocess[key]
        fits = len(values) == channels and all(lowest <= value <= 1 for value in values)
        assert fits, message(
            expected=f"{channels} values of {key} from {lowest} to 1, for pixels divided by 255",
            got=str(values),
            usually="values for pixels from 0 to 255, or another number of channels",
        )
    names: list[Any] = preprocess.get((case.task.spec.labels or ("", ""))[1], [])
    distinct = all(isinstance(name, str) for name in names) and len({*names}) == len(names)
    assert distinct, message(
        expected="a distinct name for each class",
        got=str(names),
        usually="numbers as names, or a placeholder as every name",
    )
    _require_own_statistics(dataset)
    image = torch.arange(channels * preprocess["size"] ** 2).view(channels, preprocess["size"], -1) % 256
    target = -1 if isinstance(case.task.processor, ReadsInputs) else dataset.split("train")[0][1]
    items = [(image.to(torch.uint8), target)]
    (batch,) = case.task.batches_of(items, preprocess)
    assert batch.inputs.isfinite().all(), message(
        expected="finite inputs from a new image", got="inf or nan", usually="a standard deviation of 0"
    )


def _require_own_statistics(dataset: Dataset) -> None:
    """Raise AssertionError if `mean` and `std` are far from those of the training images.

    A mean of 0 and a deviation of 1 leave pixels from 0 to 1, and two halves scale them to -1 to 1.
    """
    pixels = torch.stack([item for item, _ in sample(dataset.split("train"), 200)]) / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    stated_mean, stated_std = (torch.tensor(dataset.preprocess[key]) for key in ("mean", "std"))
    if {*zip(stated_mean.tolist(), stated_std.tolist(), strict=True)} <= {(0.0, 1.0), (0.5, 0.5)}:
        return
    ratio = std.clamp(min=1e-3) / stated_std
    near = ((mean - stated_mean).abs() <= stated_std.maximum(std)) & (ratio >= 1 / 3) & (ratio <= 3)
    assert near.all(), message(
        expected=f"statistics near those of the training images, a mean of {_rounded(mean)} and a std of "
        f"{_rounded(std)}",
        got=f"{_rounded(stated_mean)} and {_rounded(stated_std)}",
        usually="the statistics of another collection, or of pixels in another range",
    )


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


def _feeds_text(preprocess: Mapping[str, Any]) -> None:
    vocabulary, specials = preprocess["vocabulary"], preprocess["specials"]
    known = vocabulary[:1] == ["<unk>"] and 1 <= specials < len(vocabulary)
    known = known and all(isinstance(token, str) for token in vocabulary)
    assert known, message(
        expected="a vocabulary of strings that starts with <unk>, one of its `specials`",
        got=f"{vocabulary[: max(3, specials)]} and {specials} specials",
        usually="another order, or no token for unknown text",
    )
    numbers, unknown = Vocabulary(preprocess).encode("\N{SNOWMAN}")
    assert unknown or numbers != [0], message(
        expected="unknown text to be encoded as <unk>", got=str(numbers), usually="<unk> outside `specials`"
    )
    capitals = [token for token in vocabulary[specials:] if preprocess["lower"] and token != token.lower()]
    assert not capitals, message(
        expected="a lower-case vocabulary, since `lower` is true",
        got=str(capitals[:3]),
        usually="`lower` set for a text that was not lowered",
    )


def text_decodes(case: Case) -> None:
    """Tokens decode to text with the vocabulary, and that text encodes to the same tokens."""
    dataset = dataset_of(case)
    vocabulary = Vocabulary(dataset.preprocess)
    tokens = dataset.split("train")[:1_000].tolist()
    if vocabulary.backwards:
        tokens.reverse()
    for is_text, stretch in itertools.groupby(tokens, {*vocabulary.drawable}.__contains__):
        if not is_text:
            continue
        wanted = list(stretch)
        numbers, unknown = vocabulary.encode(vocabulary.decode(wanted))
        assert numbers == wanted, message(
            expected="text that encodes to the tokens it was decoded from",
            got=f"unknown tokens {unknown[:5]}" if unknown else "different tokens",
            usually="a vocabulary in another order or with a token twice, a wrong `lower`, or words without "
            "the space before them",
        )


def _survives_json(value: object) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


def _sketch(item: Tensor) -> Tensor:
    """Return an image of 8×8, or the first numbers of anything else."""
    small = functional.adaptive_avg_pool2d(item.float(), 8) if item.ndim == 3 else item.float()
    return small.flatten()[:4_096]


def _sketches(split: Any) -> Tensor:
    """Return up to 5,000 items of a split, each as a few numbers."""
    return torch.stack([_sketch(item) for item, _ in sample(split, 5_000)] or [torch.empty(0)])


def _usual_distance(items: Tensor) -> tuple[float, float]:
    """Return the median distance from an item to its nearest, and what share has a fifth of it at most."""
    apart = torch.cdist(items[:500], items, p=1).fill_diagonal_(torch.inf).amin(1)
    usual = float(apart.median())
    return usual, float((apart <= usual / 5).float().mean())


def _alike_items(one: Tensor, other: Tensor, usual: float, share: float) -> tuple[str, bool]:
    """Return what one split shares with another, in words, and whether that is equal; empty if nothing.

    Alike are items at a fifth of the usual distance or less, if they are more than one in a hundred and more
    than in the training split itself.
    """
    if not one.numel() or not other.numel():
        return "", True
    nearest = torch.cdist(other, one, p=1).amin(1)
    alike, equal = int((nearest <= usual / 5).sum()), int((nearest == 0).sum())
    if alike <= len(other) * (0.01 + 3 * share):
        return "", True
    return f"{alike} of {len(other)} sampled items, {equal} of them without a difference", 2 * equal > alike


def _alike_texts(one: Tensor, other: Tensor) -> str:
    """Return what one split shares with another, in words; empty if nothing."""
    if len(one) < 32 or len(other) < 32:
        return ""
    length, count = min(32, len(other) // 3), 20
    starts = [number * (len(other) - length) // (count - 1) for number in range(count)]
    whole = _bytes(one)
    shared = sum(_bytes(other[start : start + length]) in whole for start in starts)
    return f"{shared} of {count} stretches of {length} tokens" if shared > count / 2 else ""


def _bytes(tokens: Tensor) -> bytes:
    return tokens.to(torch.int32).numpy().tobytes()
