"""Models in the browser: the predictions and texts of the page without a server, beside those of zoo.

Chromium opens the folder that `python -m sitegen.browser` writes, from a plain file server. Times are those
of the page, from the second image or text on, when the runtime is there.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import zoo
from benchmarks.measuring import benchmark, median_of
from benchmarks.rows import Row
from sitegen.browser import build
from tests.nightly.browser.serving import FileServer, chromium
from tests.nightly.browser.visits import Visit

IMAGES, TEXTS = "cifar10-resnet20", "nietzsche-gru"
PROMPT = 40  # characters

PREDICT = """
async ([model, texts]) => {
  const api = await import("./api.js");
  await api.listModels();
  const rows = [];
  for (const text of texts) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    const input = new File([bytes], "x.png");
    const started = performance.now();
    const { predictions } = await api.predict({ model, input, top: 10 });
    const milliseconds = performance.now() - started;
    const { items } = await api.analyze({ model, input, classes: [], options: {} });
    rows.push({ predictions, milliseconds, peak: items[0].peak, map: items[0].map });
  }
  return rows;
}
"""
SAMPLE = """
async ([model, prompts, length, temperature]) => {
  const api = await import("./api.js");
  await api.listModels();
  const { signal } = new AbortController();
  const settings = { model, max_new_tokens: length, temperature, top_k: 0, top_p: 1, stop: "" };
  const rows = [];
  for (const [seed, prompt] of prompts.entries()) {
    const started = performance.now();
    let text = "";
    for await (const item of api.sample({ ...settings, prompt, seed }, signal)) text += item.text ?? "";
    const milliseconds = performance.now() - started;
    const { predictions } = await api.predict({ model, input: prompt }, signal);
    rows.push({ text, milliseconds, loss: predictions[0].loss });
  }
  return rows;
}
"""


@benchmark(minutes=15, needs="Chromium, CIFAR-10, Nietzsche")
def browser(*, images: int = 500, texts: int = 200, characters: int = 200) -> Iterator[Row]:
    """Images and texts processed in Chromium, compared with the results of zoo.

    Test images of CIFAR-10 as PNG files: the order of all ten classes, the largest difference of a
    probability and of a class activation map. Prompts from Nietzsche's text at temperatures 0 and 1, each
    with its own seed: each character, and the loss of each prompt.
    """
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(folder) / "try"
        build(out, [IMAGES, TEXTS])
        chrome = playwright.chromium.launch(executable_path=chromium())
        with FileServer(out) as server, Visit(chrome, server.url, policy="") as visit:
            page = visit.open(IMAGES)
            yield from _images(page, images)
            for temperature in (0, 1):
                yield from _texts(page, texts, characters, temperature)
            visit.check()
        chrome.close()


def _images(page: Any, count: int) -> Iterator[Row]:
    """Compare predictions and maps of images."""
    split = zoo.open_dataset("cifar10", progress=False).split("test")
    files: list[bytes] = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(split[number][0].permute(1, 2, 0).numpy()).save(buffer, "PNG")
        files.append(buffer.getvalue())
    rows = page.evaluate(PREDICT, [IMAGES, [base64.b64encode(content).decode() for content in files]])
    model = zoo.load(IMAGES)
    expected = model.predict(files, top=10, progress=False)
    maps = model.analyze("cam", files, progress=False).analysis.maps
    assert maps is not None
    orders, probability, level = 0, 0.0, 0.0
    for row, other, map_ in zip(rows, expected, maps[:, 0].numpy(), strict=True):
        ours, theirs = (
            {one["class"]: one["probability"] for one in each["predictions"]} for each in (row, other)
        )
        orders += [*ours] != [*theirs]
        probability = max(probability, *(abs(ours[name] - theirs[name]) for name in theirs))
        content = base64.b64decode(row["map"].partition(",")[2])
        drawn = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        scaled = 255 * (map_ - map_.min()) / max(map_.max() - map_.min(), 1e-12)
        level = max(level, float(np.abs(drawn - scaled).max()))
    yield Row("images", "other orders of the classes", orders, "wrong", count)
    yield Row("images", "largest difference of a probability", probability, "difference", count)
    yield Row("images", "largest difference of a heat map, of 255 levels", level, "difference", count)
    yield median_of("images", "time", [row["milliseconds"] for row in rows[1:]], "ms")


def _texts(page: Any, count: int, length: int, temperature: float) -> Iterator[Row]:
    """Compare texts and their scores."""
    model = zoo.load(TEXTS)
    whole = zoo.open_dataset("nietzsche", progress=False).split("test")
    places = np.linspace(0, len(whole) - PROMPT, count).astype(int)
    prompts = [model.vocabulary.decode(int(n) for n in whole[place : place + PROMPT]) for place in places]
    rows = page.evaluate(SAMPLE, [TEXTS, prompts, length, temperature])
    equal, difference = 0, 0.0
    for seed, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        drawn = model.sample(prompt, max_new_tokens=length, temperature=temperature, seed=seed).stream()
        expected = "".join(text for text, _ in drawn)
        equal += sum(ours == theirs for ours, theirs in zip(row["text"], expected, strict=True))
    for row, other in zip(rows, model.predict(prompts, progress=False), strict=True):
        difference = max(difference, abs(row["loss"] - other["predictions"][0]["loss"]))
    case, total = f"{count} texts at temperature {temperature}", count * length
    yield Row(case, "equal characters", equal, "right", total)
    yield Row(case, "largest difference of a loss", difference, "difference", count)
    each = [row["milliseconds"] / (PROMPT + length) for row in rows[1:]]
    yield median_of(case, "time of a character", each, "ms")
