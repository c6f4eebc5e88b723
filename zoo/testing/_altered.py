"""Alter the files of a dataset in ways that may leave it valid, for example by swapping two labels.

The kit does not need to understand the files: if the altered dataset still opens and its items or labels
differ, it counts as different data.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from zoo.data.opening import open_dataset
from zoo.files.downloads import offline
from zoo.testing._case import Case
from zoo.testing._data import content_of, copied_folder, files_of, only_data_in, options_for

# The most kinds of files, by their suffixes, in which something is altered, and the most bytes of a file
_MOST_KINDS, _MOST_BYTES = 3, 1 << 22
# What separates the words of a line
_BETWEEN = re.compile(rb"([,;\t ]+)")


class Version(NamedTuple):
    """A dataset's fingerprint, a hash of its content, and the alteration, which is empty for the original."""

    altered: str
    fingerprint: str
    content: str


def versions(case: Case) -> Iterator[Version]:
    """Yield the original dataset, and then a version for each alteration of its files, all in one folder.

    Alterations that the dataset rejects are skipped; a dataset that pins hashes rejects all of them. For a
    dataset that does not read files, the iterator is empty.
    """
    files = files_of(case)
    if not files:
        return
    with copied_folder(files) as home, only_data_in(home), offline():
        original = _version(case, home, "")
        if original is None:
            return
        yield original
        for altered, contents in _alterations(files):
            for name, content in contents.items():
                (home / name).unlink()
                (home / name).write_bytes(content)
            if (version := _version(case, home, altered)) is not None:
                yield version
            for name in contents:
                (home / name).unlink()
                (home / name).symlink_to(files[name].absolute())


def _version(case: Case, home: Path, altered: str) -> Version | None:
    """Return the version of a dataset with a folder's files; None if the dataset rejects them or fails."""
    try:
        dataset = open_dataset(case.entry, options_for(case, home))
        return Version(altered, dataset.fingerprint, content_of(dataset))
    except Exception:  # other checks report that it should have rejected them
        return None


def _alterations(files: Mapping[Path, Path]) -> Iterator[tuple[str, dict[Path, bytes]]]:
    """Yield alterations, each with the new contents of files.

    Two files of the same type swap their contents, since a folder may encode a label. In the smallest file of
    each type, which may contain the labels, two lines swap a word; if they cannot, the last byte changes.
    """
    sizes = {name: path.stat().st_size for name, path in files.items()}
    for kind in sorted({name.suffix for name in files})[:_MOST_KINDS]:
        names = sorted(name for name in files if name.suffix == kind and 0 < sizes[name] <= _MOST_BYTES)
        if len(names) > 1:
            first, last = names[0], names[-1]
            exchanged = {first: files[last].read_bytes(), last: files[first].read_bytes()}
            yield f"{first} and {last} swap their contents", exchanged
        for name in sorted(names, key=sizes.__getitem__)[:1]:
            content = files[name].read_bytes()
            texts = [*_with_words_exchanged(content)] if b"\0" not in content else []
            for text in texts:
                yield f"two lines of {name} swap a word", {name: text}
            if not texts:
                yield f"the last byte of {name} is changed", {name: content[:-1] + bytes([content[-1] ^ 1])}


def _with_words_exchanged(content: bytes) -> Iterator[bytes]:
    """Yield versions of a text in which two lines have swapped the last word, or the second to last."""
    lines = [_BETWEEN.split(line) for line in content.splitlines()]  # words, and what is between them
    for column in (-1, -3):
        fitting = [line for line in lines if len(line) >= -column and line[column]]
        for one, other in itertools.pairwise(reversed(fitting)):
            if len(one) == len(other) and one[column] != other[column]:
                one[column], other[column] = other[column], one[column]
                yield b"".join(b"".join(line) + b"\n" for line in lines)
                one[column], other[column] = other[column], one[column]
                break
