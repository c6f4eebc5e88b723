"""Texts given in Python, as in `zoo.train(Net, {"train": text, "val": other})`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo.interfaces import Split
from zoo_text.corpora import text_dataset
from zoo_text.corpus import Corpus
from zoo_text.reading import Files


def given_texts(splits: Mapping[Split, Any]) -> Callable[..., Corpus] | None:
    """Return a function that opens texts given in Python, one string for each split; None for other data."""
    if not all(isinstance(text, str) for text in splits.values()):
        return None

    def texts() -> Files:
        """Read texts that were given in Python; a single text is split by `splits`."""
        paths: dict[str, list[Path]] = {"train": []}
        for split, text in splits.items():
            paths[split] = [Path(folder, split)]
            paths[split][0].write_text(text, encoding="utf-8", newline="")
        return Files(train=paths["train"], val=paths.get("val", ()), test=paths.get("test", ()))

    read, folder = text_dataset(texts), ""

    @wraps(read)
    def read_once(**options: Any) -> Corpus:
        nonlocal folder
        with TemporaryDirectory() as folder:
            return read(**options)

    return read_once
