"""Characters per second of `zoo.sampling.sample` against a bare LSTM stepping loop, in turn, in one process.

The bare loop does the least that sampling can: one step of the same model, a softmax, a draw.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from zoo import Registry
from zoo.building import build_model
from zoo.sampling import sample

LENGTH = 500
ROUNDS = 5


@torch.inference_mode()
def bare(model: nn.Module, length: int) -> None:
    tokens, state = torch.zeros(1, 1, dtype=torch.int64), None
    for _ in range(length):
        logits, state = model(tokens, state)
        tokens = torch.multinomial(logits[-1].softmax(1), 1)
        int(tokens)


def plain(model: nn.Module, length: int) -> None:
    """The bare loop with the kernels that zoo samples with."""
    torch.backends.mkldnn.enabled = False
    try:
        bare(model, length)
    finally:
        torch.backends.mkldnn.enabled = True


def main() -> None:
    vocabulary = ["<unk>", "<pad>", *map(chr, range(32, 86))]
    preprocess = {"tokens": "char", "lower": False, "vocabulary": vocabulary, "specials": 2}
    model = build_model(Registry.discover().architecture("lstm"), {"vocab_size": 56}, seed=0).eval()

    def ours(options: dict[str, float]) -> None:
        assert len("".join(sample(model, preprocess, length=LENGTH, **options))) == LENGTH

    loops: dict[str, Callable[[], None]] = {
        "bare loop": lambda: bare(model, LENGTH),
        "bare loop, plain kernels": lambda: plain(model, LENGTH),
        "zoo": lambda: ours({}),
        "zoo, top-k 20, top-p 0.9": lambda: ours({"top_k": 20, "top_p": 0.9}),
    }
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for round_ in range(ROUNDS + 1):
        for name, loop in loops.items():
            start = time.perf_counter()
            loop()
            if round_:  # the first one warms up
                taken[name].append(time.perf_counter() - start)
    for name, times in taken.items():
        rate = LENGTH / statistics.median(times)
        against = [
            statistics.median(b / t for b, t in zip(taken[base], times, strict=True))
            for base in ("bare loop", "bare loop, plain kernels")
        ]
        print(f"{name:24} {rate:6,.0f} characters/s, {against[0]:.2f} of bare, {against[1]:.2f} of plain")


if __name__ == "__main__":
    main()
