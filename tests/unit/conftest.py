"""Small data, and one thread, so that numbers repeat and tests are fast.

Nothing here imports torch before a test needs it: some tests run where it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from zoo.files.cards import Card, DatasetCard

if TYPE_CHECKING:
    from torch import Tensor

    from tests.fakes import FakeImages, FakeText


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    if find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def text() -> Callable[..., FakeText]:
    """Return a function that makes a text of random tokens with some structure to learn."""

    def make(train: int = 250, val: int = 40, test: int = 40, *, vocab_size: int = 8) -> FakeText:
        import torch

        from tests.fakes import FakeText

        generator = torch.Generator().manual_seed(0)

        def tokens(length: int) -> Tensor:
            steps = torch.randint(1, 3, (length,), generator=generator).cumsum(0)
            return (2 + steps % (vocab_size - 2)).to(torch.uint8)

        return FakeText({"train": tokens(train), "val": tokens(val), "test": tokens(test)}, vocab_size)

    return make


@pytest.fixture(scope="session")
def images() -> Callable[..., FakeImages]:
    """Return a function that makes images whose brightness depends on their label."""

    def make(train: int = 20, val: int = 9, test: int = 9, *, size: int = 8) -> FakeImages:
        import torch

        from tests.fakes import FakeImages

        generator = torch.Generator().manual_seed(0)

        def items(count: int) -> list[tuple[Tensor, int]]:
            noise = torch.randint(0, 64, (count, 3, size, size), generator=generator)
            return [((noise[n] + 60 * (n % 4)).to(torch.uint8), n % 4) for n in range(count)]

        return FakeImages({"train": items(train), "val": items(val), "test": items(test)}, size)

    return make


@pytest.fixture(scope="session")
def card() -> Callable[..., Card]:
    """Return a function that makes the card of a small LSTM, with some fields changed."""

    def make(**changes: Any) -> Card:
        fields: dict[str, Any] = {
            "architecture": "charrnn/lstm",
            "arguments": {
                "vocab_size": 8,
                "embedding_dim": 4,
                "hidden_size": 6,
                "num_layers": 2,
                "dropout": 0.5,
            },
            "task": "language-modeling",
            "dataset": DatasetCard(name="text/files", options={"paths": "a.txt"}, fingerprint="0" * 64),
            "preprocess": {
                "tokens": "char",
                "lower": False,
                "vocabulary": ["<unk>", "<pad>", *"abcdef"],
                "specials": 2,
            },
            "training": {"epochs": 1},
            "seed": 0,
            "progress": {"epochs": 1, "steps": 10},
            "metrics": {"val": {"loss": 1.5}},
            "versions": {"zoo": "0.1.0", "torch": "2.13.0", "plugin": "zoo-registry 0.1.0"},
        }
        return Card(**(fields | changes))

    return make
