"""Speed of sampling, beside minimal loops, in turn, in one process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from benchmarks.measuring import benchmark, in_turn, median_of, ratio_of, seconds
from benchmarks.rows import Row
from zoo.inference.sampling import Sampling, sample_many, stream
from zoo.models.module_runner import ModuleRunner

LENGTH, SAMPLES, WINDOW = 500, 64, 8
PAIRS = (
    ("zoo", "bare loop"),
    ("zoo", "bare loop, plain kernels"),
    ("zoo", "window"),
    ("zoo", "window, plain kernels"),
    ("zoo, batch of 64", "zoo"),
    ("zoo, batch of 64", "bare loop"),
    ("zoo, exported", "zoo"),
    ("zoo, exported", "bare loop, plain kernels"),
)
# Of the example GPT: its context and vocabulary, and the tokens after which one more is timed
CONTEXT, VOCABULARY, EARLY, LATE = 1_024, 65, 10, 1_000


@benchmark(minutes=4)
def sampling(*, rounds: int = 5) -> Iterator[Row]:
    """Speed of sampling one text and a batch of 64, relative to a minimal loop and the lesson's method.

    The bare loop is a step of the same model, a softmax and a draw. The window is the lesson's way: each
    character costs a pass over the last eight. Plain kernels are those without oneDNN, which zoo bypasses for
    single steps. The exported model is run by ONNX Runtime.
    """
    published = zoo.load("nietzsche-lstm", progress=False)
    model, preprocess = published.module, published.card.preprocess
    with tempfile.TemporaryDirectory() as folder:
        published.export(Path(folder, "lstm.onnx"), synthetic=True, progress=False)
        exported = zoo.load(Path(folder, "lstm.onnx"))

    def one(**options: Any) -> None:
        drawn = Sampling(max_new_tokens=LENGTH, **options)
        texts = stream(ModuleRunner(model), preprocess, sampling=drawn)
        assert len("".join(text for text, _ in texts)) == LENGTH

    def many() -> None:
        chosen = Sampling(samples=SAMPLES, max_new_tokens=LENGTH // 5)
        texts = sample_many(ModuleRunner(model), preprocess, sampling=chosen)
        assert [len(text) for text in texts] == [LENGTH // 5] * SAMPLES

    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "bare loop": (LENGTH, lambda: _bare(model, LENGTH)),
        "bare loop, plain kernels": (LENGTH, lambda: _plain(_bare, model, LENGTH)),
        "window": (LENGTH // 5, lambda: _window(model, LENGTH // 5)),
        "window, plain kernels": (LENGTH // 5, lambda: _plain(_window, model, LENGTH // 5)),
        "zoo": (LENGTH, one),
        "zoo, exported": (LENGTH, lambda: str(exported.sample(max_new_tokens=LENGTH, progress=False))),
        "zoo, top-k 20, top-p 0.9": (LENGTH, lambda: one(top_k=20, top_p=0.9)),
        "zoo, batch of 64": (LENGTH // 5 * SAMPLES, many),
    }
    rates = in_turn(
        {name: lambda way=way, count=count: count / seconds(way) for name, (count, way) in ways.items()},
        rounds,
    )
    threads = f"{torch.get_num_threads()} threads"
    for name, measured in rates.items():
        yield median_of(name, threads, measured, "characters/s")
    for name, base in PAIRS:
        yield ratio_of(name, f"beside {base}, {threads}", rates[name], rates[base], "times as fast")


def _draw(logits: Tensor) -> Tensor:
    tokens = torch.multinomial(logits[-1].softmax(1), 1)
    int(tokens)
    return tokens


@torch.inference_mode()
def _bare(model: nn.Module, length: int) -> None:
    tokens, state = torch.zeros(1, 1, dtype=torch.int64), None
    for _ in range(length):
        logits, state = model(tokens, state)
        tokens = _draw(logits)


@torch.inference_mode()
def _window(model: nn.Module, length: int) -> None:
    tokens = torch.zeros(WINDOW, 1, dtype=torch.int64)
    for _ in range(length):
        logits, _ = model(tokens)
        tokens = torch.cat([tokens[1:], _draw(logits)])


def _plain(loop: Callable[[nn.Module, int], None], model: nn.Module, length: int) -> None:
    torch.backends.mkldnn.enabled = False
    try:
        loop(model, length)
    finally:
        torch.backends.mkldnn.enabled = True


@benchmark(minutes=1)
def sampling_limits(*, rounds: int = 300) -> Iterator[Row]:
    """Upper bound on the gain of sampling 64 texts in a batch: a step of two LSTM layers, written out."""
    size, layers = 512, 2
    for dtype in (torch.float32, torch.bfloat16):
        weights = [torch.randn(4 * size, 2 * size).to(dtype) / size for _ in range(layers)]
        bias = torch.zeros(4 * size, dtype=dtype)

        @torch.inference_mode()
        def step(count: int, weights: list[Tensor] = weights, bias: Tensor = bias) -> None:
            hidden = torch.zeros(layers, count, size)
            x = hidden[0]
            for number, weight in enumerate(weights):
                gates = F.linear(torch.cat([x, hidden[number]], 1).to(weight.dtype), weight, bias).float()
                entry, forget, new, out = gates.chunk(4, 1)
                cell = forget.sigmoid() * hidden[number] + entry.sigmoid() * new.tanh()
                x = out.sigmoid() * cell.tanh()

        ways = {f"{n}": lambda n=n, step=step: SAMPLES / n * seconds(lambda: step(n)) for n in (1, SAMPLES)}
        times = in_turn(ways, rounds)
        yield ratio_of(str(dtype), "at most", times["1"], times[str(SAMPLES)], "times as fast")


@benchmark(minutes=2, needs="examples/zoo-nanogpt")
def kv_cache(*, rounds: int = 20) -> Iterator[Row]:
    """Time of a token of the example GPT after 1,000 tokens, relative to 10, with a cache and without.

    The model has the size of the published one, random weights and a context of 1,024 tokens. Each round
    samples 20 tokens after a prompt of 10 and of 1,000, one of each in turn. Without a cache it reads all of
    the text for each.
    """
    module = zoo.create_model("nanogpt/gpt", vocab_size=VOCABULARY, context=CONTEXT).eval()
    runner = ModuleRunner(module, context=CONTEXT)
    texts = ["<unk>", *(chr(ord("A") + number) for number in range(VOCABULARY - 1))]
    preprocess: dict[str, Any] = {"tokens": "char", "lower": False, "vocabulary": texts, "specials": 1}

    @torch.inference_mode()
    def read(length: int) -> None:
        module(torch.ones(length, 1, dtype=torch.int64))

    def cached() -> dict[str, Callable[[], object]]:
        chosen = Sampling(max_new_tokens=22)
        prompts = {"early": EARLY * "A", "late": LATE * "A"}
        streams = {
            way: stream(runner, preprocess, prompt=text, sampling=chosen) for way, text in prompts.items()
        }
        for tokens in streams.values():
            next(tokens)  # reads the prompt
        return {way: lambda tokens=tokens: next(tokens) for way, tokens in streams.items()}

    def reread() -> dict[str, Callable[[], object]]:
        return {"early": lambda: read(EARLY), "late": lambda: read(LATE)}

    for case, begin, count in (("with the cache", cached, 20), ("without a cache", reread, 2)):
        early, late = list[float](), list[float]()
        for _ in range(rounds):
            ways = {way: lambda step=step: seconds(step) for way, step in begin().items()}
            times = in_turn(ways, count)
            early.append(median_of("", "", times["early"], "s").value)
            late.append(median_of("", "", times["late"], "s").value)
        yield median_of(case, f"after {EARLY} tokens", [1_000 * each for each in early], "ms")
        yield ratio_of(case, f"after {LATE:,} tokens", late, early, "times as long")
