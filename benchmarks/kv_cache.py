"""Time of a sampled token after 10 and after 1,000 tokens, with the key-value cache of examples/zoo-nanogpt.

    pip install ./examples/zoo-nanogpt
    python benchmarks/kv_cache.py [--rounds 20]

The model has the size of the published one but random weights, and a context of 1,024 tokens. Each round
samples 20 tokens after a prompt of 10 and 20 tokens after a prompt of 1,000 with `zoo.inference.sampling`,
one token of each in turn, and compares the medians. To show what the cache saves, the model also reads all of
the text for each token.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import zoo
from zoo.inference.sampling import Sampling, stream
from zoo.models.module_runner import ModuleRunner

CONTEXT, VOCABULARY, TOKENS = 1_024, 65, 20
EARLY, LATE = 10, 1_000
Times = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time sampling with a key-value cache.")
    parser.add_argument("--rounds", type=int, default=20, help="Number of measurements.")
    options = parser.parse_args()
    module = zoo.create_model("nanogpt/gpt", vocab_size=VOCABULARY, context=CONTEXT).eval()
    runner = ModuleRunner(module, context=CONTEXT)
    texts = ["<unk>", *(chr(ord("A") + number) for number in range(VOCABULARY - 1))]
    preprocess = {"tokens": "char", "lower": False, "vocabulary": texts, "specials": 1}

    def cached() -> Times:
        sampled = [
            stream(runner, preprocess, prompt=length * "A", sampling=Sampling(max_new_tokens=TOKENS + 1))
            for length in (EARLY, LATE)
        ]
        for tokens in sampled:
            next(tokens)  # reads the prompt
        return in_turn(TOKENS, *(lambda tokens=tokens: next(tokens) for tokens in sampled))

    @torch.inference_mode()
    def reread() -> Times:
        early, late = (torch.ones(length, 1, dtype=torch.int64) for length in (EARLY, LATE))
        return in_turn(2, lambda: module(early), lambda: module(late))

    print(f"{sum(p.numel() for p in module.parameters()):,} parameters, {torch.get_num_threads()} threads")
    for name, measure in (("with the cache", cached), ("reading all of the text", reread)):
        measure()  # warms up
        found = [measure() for _ in range(options.rounds)]
        early, late = (1_000 * statistics.median(times) for times in zip(*found, strict=True))
        ratios = [late / early for early, late in found]
        print(
            f"{name}: {early:.2f} ms for a token after {EARLY}, {late:.2f} ms after {LATE:,}: "
            f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def in_turn(rounds: int, *steps: Callable[[], object]) -> Times:
    """Return the median time of each of two steps."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, taken in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
    early, late = map(statistics.median, times)
    return early, late


if __name__ == "__main__":
    main()
