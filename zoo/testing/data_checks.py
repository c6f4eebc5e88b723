"""Checks of a dataset's content: labels, overlap of splits, and the preparation of items for a model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from zoo.data.vocabulary import Vocabulary, WritesText
from zoo.interfaces import SPLITS, CarriesState, Dataset, Split
from zoo.processors import ReadsInputs
from zoo.testing._case import Case, Warned, is_json, message
from zoo.testing._data import dataset_of, sample

# What `preprocess` says of images that are normalized as zoo's own are
_IMAGES = {"size", "mean", "std"}


def labels_in_range(case: Case) -> None:
    """Labels are integers from 0 to the number of classes minus 1, or 0 or 1 per class in multi-label data.

    Pixel labels in a batch may also be -1, for unknown.
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
    """Raise AssertionError if a class has no training item, or if all held-out items have one class."""
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
                got=f"none for class {', '.join(missing[:5])}",
                usually="a class that occurs only in held-out data, or a split by class",
            )
        several = len(labels) >= 2 * len(counts) > 2
        assert not several or len(counts) - counts.count(0) > 1, message(
            expected=f"{name} items of several classes, since there are {len(labels)} items",
            got=f"class {labels[0].item()} only",
            usually="items sorted by class and then split without shuffling",
        )


def _warn_of_strange_labels(known: Mapping[Split, tuple[Tensor, Tensor]]) -> None:
    """Raise Warned if nearest-class prediction works for training items, but not for a held-out split.

    The nearest class is the one with the nearest mean. If the nearest class predicts training items poorly,
    as for hard or randomly labeled data, there is no warning.
    """
    items, labels = known.get("train", (torch.empty(0), torch.empty(0)))
    half = len(items) // 2
    if half < 50:
        return
    kinds = labels[:half].unique()
    means = torch.stack([items[:half][labels[:half] == kind].mean(0) for kind in kinds])

    def gained(items: Tensor, labels: Tensor) -> tuple[float, float]:
        """Return how much the accuracy of the nearest class exceeds chance, and the standard error."""
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
                    expected=f"{name} items as close to their class as training items are",
                    got=f"{gain:+.0%} over chance for the nearest class, and {usual:+.0%} in train",
                    usually=f"{name} labels in a different order than the items, or different class numbers",
                )
            )


def _require_zeros_and_ones(dataset: Dataset, classes: int) -> None:
    for name in SPLITS:
        for _, label in sample(dataset.split(name), 1_000):
            values = torch.as_tensor(label)
            assert tuple(values.shape) == (classes,), message(
                expected=f"{name} labels ({classes},), 0 or 1 for each class",
                got=f"the shape {tuple(values.shape)}",
                usually="a list of an image's class numbers, whose length varies",
            )
            assert bool(((values == 0) | (values == 1)).all()), message(
                expected=f"{name} labels from 0 to 1",
                got=str(label),
                usually="counts or probabilities instead of 0 or 1",
            )


def splits_differ(case: Case) -> None:
    """Held-out data is not in the training data, nor are mirrored copies of images.

    Up to 1% of the sampled items may have near-duplicates in another split, as is common in real collections.
    For text, the validation and test splits differ, and neither is a part of the training split.
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
            expected=f"no part of {other} in {one}",
            got=shared,
            usually="the same file for both, or overlapping split boundaries"
            if equal
            else "copies that were compressed, resized or slightly changed, or frames of the same video",
        )
        if not texts and dataset.split(other):
            mirrored = _sketches(dataset.split(other), most=500, mirrored=True)
            shared, _ = _alike_items(splits[one], mirrored, usual, share)
            assert not shared, message(
                expected=f"no mirrored part of {other} in {one}",
                got=shared,
                usually="images that were augmented before they were split",
            )


def _sketches(split: Any, *, most: int = 5_000, mirrored: bool = False) -> Tensor:
    """Return some items of a split, each reduced to a few numbers, of images or their mirror images."""
    items = (item.flip(-1) if mirrored and item.ndim == 3 else item for item, _ in sample(split, most))
    return torch.stack([*map(_sketch, items)] or [torch.empty(0)])


def _sketch(item: Tensor) -> Tensor:
    """Reduce an image to 8×8, or any other item to its first numbers."""
    small = functional.adaptive_avg_pool2d(item.float(), 8) if item.ndim == 3 else item.float()
    return small.flatten()[:4_096]


def _usual_distance(items: Tensor) -> tuple[float, float]:
    """Return the median distance to the nearest neighbor, and the share of items within a fifth of it."""
    apart = torch.cdist(items[:500], items, p=1).fill_diagonal_(torch.inf).amin(1)
    usual = float(apart.median())
    return usual, float((apart <= usual / 5).float().mean())


def _alike_items(one: Tensor, other: Tensor, usual: float, share: float) -> tuple[str, bool]:
    """Describe the overlap of two splits, and whether most of it is identical; empty if there is none.

    Items within a fifth of the median distance are alike. They are reported if their share exceeds 1% plus
    three times the share of such items within the training split.
    """
    if not one.numel() or not other.numel():
        return "", True
    nearest = torch.cdist(other, one, p=1).amin(1)
    alike, equal = int((nearest <= usual / 5).sum()), int((nearest == 0).sum())
    if alike <= len(other) * (0.01 + 3 * share):
        return "", True
    return f"{alike} of {len(other)} sampled items, {equal} of them identical", 2 * equal > alike


def _alike_texts(one: Tensor, other: Tensor) -> str:
    """Describe the overlap of two text splits; empty if there is no overlap."""
    if len(one) < 32 or len(other) < 32:
        return ""
    length, count = min(32, len(other) // 3), 20
    starts = [number * (len(other) - length) // (count - 1) for number in range(count)]
    whole, part = one.int().numpy().tobytes(), other.int()
    shared = sum(part[start : start + length].numpy().tobytes() in whole for start in starts)
    return f"{shared} of {count} sequences of {length} tokens" if shared > count / 2 else ""


def preprocess_is_json(case: Case) -> None:
    """`preprocess` survives a round trip through JSON, and has the keys that new inputs require."""
    dataset = dataset_of(case)
    preprocess = dict(dataset.preprocess)
    changed = [str(key) for key, value in preprocess.items() if not is_json({key: value})]
    assert not changed, message(
        expected="preprocess as JSON data",
        got=f"different values in {', '.join(changed)}",
        usually="tuples, numbers as keys, or tensors; use lists, strings and floats",
    )
    keys = case.tiny().preprocess.keys()
    missing = [key for key in keys if key not in preprocess]
    assert not missing, message(
        expected=f"preprocess with {', '.join(keys)}",
        got=f"preprocess without {', '.join(missing)}",
        usually="a missing or renamed key",
    )
    dim, key = case.task.spec.labels or ("", "")
    assert not dim or len(preprocess[key]) == dataset.dims[dim], message(
        expected=f"{dataset.dims.get(dim)} {key}, to match {dim}",
        got=str(len(preprocess.get(key, ()))),
        usually="special tokens or a background class missing from one of them",
    )
    if isinstance(case.task.processor, WritesText):
        tokens = preprocess["tokens"]
        assert tokens in ("char", "word") or case.registry.has("tokenizer", tokens), message(
            expected="tokens that are 'char', 'word' or the name of a tokenizer",
            got=repr(tokens),
            usually="a tokenizer that no plugin registers, so zoo cannot encode a prompt",
        )
        assert not preprocess.get("newline_eos") or "<eos>" in preprocess["vocabulary"], message(
            expected="<eos> in the vocabulary, since newline_eos is true",
            got=str(preprocess["vocabulary"][: preprocess["specials"]]),
            usually="a newline left in the vocabulary",
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
        usually="the size of the images before resizing",
    )
    for key, lowest in (("mean", 0.0), ("std", 1e-3)):
        values: list[float] = preprocess[key]
        fits = len(values) == channels and all(lowest <= value <= 1 for value in values)
        assert fits, message(
            expected=f"{channels} values of {key} from {lowest} to 1, for pixels divided by 255",
            got=str(values),
            usually="values for pixels from 0 to 255, or a different number of channels",
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
    """Raise AssertionError if `mean` and `std` are far from the training images' values.

    A mean of 0 with a std of 1 leaves pixels in 0 to 1, and 0.5 for both scales them to -1 to 1; both
    settings are allowed.
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
        usually="the statistics of a different dataset, or of pixels in a different range",
    )


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


def _feeds_text(preprocess: Mapping[str, Any]) -> None:
    vocabulary, specials = preprocess["vocabulary"], preprocess["specials"]
    known = vocabulary[:1] == ["<unk>"] and 1 <= specials < len(vocabulary)
    known = known and all(isinstance(token, str) for token in vocabulary)
    assert known, message(
        expected="a vocabulary of strings that starts with <unk>, as one of its `specials`",
        got=f"{vocabulary[: max(3, specials)]} and {specials} specials",
        usually="a different order, or no token for unknown text",
    )
    numbers, unknown = Vocabulary(preprocess).encode("\N{SNOWMAN}")
    assert unknown or numbers != [0], message(
        expected="unknown text to be encoded as <unk>", got=str(numbers), usually="<unk> outside `specials`"
    )
    capitals = [token for token in vocabulary[specials:] if preprocess["lower"] and token != token.lower()]
    assert not capitals, message(
        expected="a lowercase vocabulary, since `lower` is true",
        got=str(capitals[:3]),
        usually="`lower` set for a text that was not converted to lowercase",
    )


def text_decodes(case: Case) -> None:
    """Tokens decode to text with the vocabulary, and the text encodes to the same tokens."""
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
            usually="a vocabulary in the wrong order or with duplicates, a wrong `lower`, "
            "or words without the preceding space",
        )
