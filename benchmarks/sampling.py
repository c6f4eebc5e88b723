"""Characters per second of `zoo.sampling.sample` against a bare LSTM stepping loop, in turn, in one process.

The bare loop does the least that sampling can: one step of the same model, a softmax, a draw.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn

from zoo import Registry
from zoo.building import build_model
from zoo.sampling import sample

LENGTH = 500
ROUNDS = 5


@torch.inference_mode()
def bare(model: nn.Module, length: int) -> list[int]:
    tokens, state, drawn = torch.zeros(1, 1, dtype=torch.int64), None, []
    for _ in range(length):
        logits, state = model(tokens, state)
        tokens = torch.multinomial(logits[-1].softmax(1), 1)
        drawn.append(int(tokens))
    return drawn


def main() -> None:
    vocabulary = ["<unk>", "<pad>", *map(chr, range(32, 86))]
    preprocess = {"tokens": "char", "lower": False, "vocabulary": vocabulary, "specials": 2}
    model = build_model(Registry.discover().architecture("lstm"), {"vocab_size": 56}, seed=0).eval()
    for told, options in {"plain": {}, "top-k 20, top-p 0.9": {"top_k": 20, "top_p": 0.9}}.items():
        ratios: list[float] = []
        rate = 0.0
        for round_ in range(ROUNDS + 1):
            start = time.perf_counter()
            bare(model, LENGTH)
            middle = time.perf_counter()
            text = "".join(sample(model, preprocess, length=LENGTH, **options))
            end = time.perf_counter()
            assert len(text) == LENGTH
            rate = LENGTH / (end - middle)
            if round_:  # the first one warms up
                ratios.append((middle - start) / (end - middle))
        print(
            f"{told:20} {rate:,.0f} characters/s, {statistics.median(ratios):.3f} of a bare loop (0.75 asked)"
        )


if __name__ == "__main__":
    main()
