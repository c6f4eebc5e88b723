"""Characters per second of `zoo.inference.sampling` against other ways to sample, in turn, in one process.

- The bare loop is the least that sampling takes: a step of the same model, a softmax and a draw.
- The window is the lesson's way: no state is carried, and each character costs a pass over the last eight.
- A batch is 64 samples drawn side by side; its rate is that of all of them together.
- The exported model is run by ONNX Runtime.

Plain kernels are those without oneDNN, which zoo bypasses for single steps.

`--limits` measures an upper bound on the gain of a batch instead: a step of the LSTM's cells written out, in
fp32 and bf16, for 1 and for 64 samples, before anything is drawn.

    python benchmarks/sampling.py [--limits]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.inference.sampling import Sampling, sample_many, stream
from zoo.models.module_runner import ModuleRunner

LENGTH = 500
SAMPLES = 64
WINDOW = 8
ROUNDS = 5


def draw(logits: Tensor) -> Tensor:
    tokens = torch.multinomial(logits[-1].softmax(1), 1)
    int(tokens)
    return tokens


@torch.inference_mode()
def bare(model: nn.Module, length: int) -> None:
    tokens, state = torch.zeros(1, 1, dtype=torch.int64), None
    for _ in range(length):
        logits, state = model(tokens, state)
        tokens = draw(logits)


@torch.inference_mode()
def window(model: nn.Module, length: int) -> None:
    tokens = torch.zeros(WINDOW, 1, dtype=torch.int64)
    for _ in range(length):
        logits, _ = model(tokens)
        tokens = torch.cat([tokens[1:], draw(logits)])


def plain(loop: Callable[[nn.Module, int], None], model: nn.Module, length: int) -> None:
    torch.backends.mkldnn.enabled = False
    try:
        loop(model, length)
    finally:
        torch.backends.mkldnn.enabled = True


@torch.inference_mode()
def limits() -> None:
    """Print how many times as fast 64 samples together can be, for two layers of 512 units."""
    size, layers = 512, 2
    for dtype in (torch.float32, torch.bfloat16):
        weights = [torch.randn(4 * size, 2 * size).to(dtype) / size for _ in range(layers)]
        bias = torch.zeros(4 * size, dtype=dtype)
        best: dict[int, float] = {}
        for count in (1, SAMPLES):
            hidden = torch.zeros(layers, count, size)
            seconds: list[float] = []
            for _ in range(300):
                start = time.perf_counter()
                x = hidden[0]
                for number, weight in enumerate(weights):
                    gates = F.linear(torch.cat([x, hidden[number]], 1).to(dtype), weight, bias).float()
                    entry, forget, new, out = gates.chunk(4, 1)
                    cell = forget.sigmoid() * hidden[number] + entry.sigmoid() * new.tanh()
                    x = out.sigmoid() * cell.tanh()
                seconds.append(time.perf_counter() - start)
            best[count] = statistics.median(seconds)
        times = ", ".join(f"{1e3 * step:.2f} ms for a step of {count}" for count, step in best.items())
        print(f"{dtype}: {times}: at most {SAMPLES * best[1] / best[SAMPLES]:.1f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time sampling.")
    parser.add_argument("--limits", action="store_true", help="Measure what a batch can gain at most.")
    if parser.parse_args().limits:
        limits()
    else:
        compare()
    print(f"{torch.get_num_threads()} threads")


def compare() -> None:
    """Print the rate of each way to sample, and the ratios that matter."""
    published = zoo.load("nietzsche-lstm", progress=False)
    model, preprocess = published.module, published.card.preprocess
    with tempfile.TemporaryDirectory() as folder:
        published.export(Path(folder, "lstm.onnx"), synthetic=True, progress=False)
        exported = zoo.load(Path(folder, "lstm.onnx"))

    def one(**options: Any) -> None:
        sampling = Sampling(max_new_tokens=LENGTH, **options)
        assert (
            len("".join(text for text, _ in stream(ModuleRunner(model), preprocess, sampling=sampling)))
            == LENGTH
        )

    def many() -> None:
        texts = sample_many(
            ModuleRunner(model), preprocess, sampling=Sampling(samples=SAMPLES, max_new_tokens=LENGTH // 5)
        )
        assert [len(text) for text in texts] == [LENGTH // 5] * SAMPLES

    loops: dict[str, tuple[int, Callable[[], object]]] = {
        "bare loop": (LENGTH, lambda: bare(model, LENGTH)),
        "bare loop, plain": (LENGTH, lambda: plain(bare, model, LENGTH)),
        "window": (LENGTH // 5, lambda: window(model, LENGTH // 5)),
        "window, plain": (LENGTH // 5, lambda: plain(window, model, LENGTH // 5)),
        "zoo": (LENGTH, one),
        "zoo, exported": (LENGTH, lambda: str(exported.sample(max_new_tokens=LENGTH, progress=False))),
        "zoo, top-k 20, top-p 0.9": (LENGTH, lambda: one(top_k=20, top_p=0.9)),
        f"zoo, batch of {SAMPLES}": (LENGTH // 5 * SAMPLES, many),
    }
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for round_ in range(ROUNDS + 1):
        for name, (characters, loop) in loops.items():
            start = time.perf_counter()
            loop()
            if round_:  # the first one warms up
                rates[name].append(characters / (time.perf_counter() - start))
    for name, measured in rates.items():
        print(f"{name:26} {statistics.median(measured):7,.0f} characters/s")
    for name, base in (
        ("zoo", "bare loop"),
        ("zoo", "bare loop, plain"),
        ("zoo", "window"),
        ("zoo", "window, plain"),
        (f"zoo, batch of {SAMPLES}", "zoo"),
        (f"zoo, batch of {SAMPLES}", "bare loop"),
        ("zoo, exported", "zoo"),
        ("zoo, exported", "bare loop, plain"),
    ):
        ratios = [ours / theirs for ours, theirs in zip(rates[name], rates[base], strict=True)]
        print(f"{name} / {base}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
