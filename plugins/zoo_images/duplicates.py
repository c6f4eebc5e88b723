"""Warn about duplicate images: images in two splits, or with different labels."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from zoo.interfaces import Split
from zoo.plugin import warn

# A split whose images should not be in the other
_PAIRS: Sequence[tuple[Split, Split]] = (("val", "train"), ("test", "train"), ("test", "val"))
# How many pairs of images are named
_EXAMPLES = 2


def warn_of_duplicates(
    root: str, splits: Mapping[Split, Sequence[Path]], labels: Sequence[Hashable], hashes: Sequence[str]
) -> None:
    """Warn in one line if the same file is in two splits, or has different labels.

    Args:
        root: the folder of the files, omitted from their names in the warning.
        splits: the files of train, val and test.
        labels: the label or labels of each image, in the order of the splits.
        hashes: the sha256 of each file, in the same order.
    """
    if len({*hashes}) == len(hashes):
        return
    paths = [path for part in splits.values() for path in part]
    homes = [split for split, part in splits.items() for _ in part]
    copies: dict[str, list[int]] = {}
    for place, sha256 in enumerate(hashes):
        copies.setdefault(sha256, []).append(place)
    groups = [group for group in copies.values() if len(group) > 1]
    found: list[str] = []
    for split, other in _PAIRS:
        pairs = [
            (place, twin)
            for group in groups
            if (twin := next((at for at in group if homes[at] == other), None)) is not None
            for place in group
            if homes[place] == split
        ]
        if pairs:
            of = f"{len(pairs):,} of {len(splits[split]):,} {split} images {_are(pairs)}"
            found.append(f"{of} also in {other}, {_examples(pairs, paths, root)}")
    torn = [group for group in groups if len({labels[place] for place in group}) > 1]
    if torn:
        pairs = [
            (group[0], next(place for place in group if labels[place] != labels[group[0]])) for group in torn
        ]
        count = f"{len(torn):,} image{'s' * (len(torn) > 1)} {_are(torn)}"
        found.append(f"{count} present with different labels, {_examples(pairs, paths, root)}")
    if found:
        warn("; ".join(found))


def _are(found: Sequence[object]) -> str:
    return "is" if len(found) == 1 else "are"


def _examples(pairs: Sequence[tuple[int, int]], paths: Sequence[Path], root: str) -> str:
    home = Path(root).expanduser()
    names = [[Path(os.path.relpath(paths[at], home)).as_posix() for at in pair] for pair in pairs[:_EXAMPLES]]
    return f"such as {' and '.join(map(' = '.join, names))}"
