"""Models in the browser: the predictions and texts of the page without a server are those of zoo.

    ZOO_DATA=FOLDER python -m benchmarks.browser [--images 500] [--texts 200] [--characters 200]

Chromium opens the folder that `python -m sitegen.browser` writes, from a plain file server.

- images: test images of CIFAR-10 as PNG files, by cifar10-resnet20: the order of all ten classes against
  `zoo predict`, the largest difference of a probability, and of the class activation map of each image.
- texts: prompts from Nietzsche's text, by nietzsche-gru, at temperatures 0 and 1, each with its own seed:
  each character against `zoo sample`, and the loss of each prompt against `zoo predict`.

The times are those of the page: of an image with decoding, and of a character; each from the second on, when
the runtime is there.
"""

from __future__ import annotations

import argparse
import base64
import io
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import zoo
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


def images(page: Any, count: int) -> None:
    """Compare predictions and maps of images."""
    split = zoo.open_dataset("cifar10", progress=False).split("test")
    arrays = [split[n][0].permute(1, 2, 0).numpy() for n in range(count)]
    files: list[bytes] = []
    for array in arrays:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        files.append(buffer.getvalue())
    rows = page.evaluate(PREDICT, [IMAGES, [base64.b64encode(content).decode() for content in files]])
    model = zoo.load(IMAGES)
    expected = model.predict(files, top=10, progress=False)
    maps = model.analyze("cam", files, progress=False).analysis.maps
    assert maps is not None
    orders = first = 0
    probability = level = peak = 0.0
    for row, other, map_ in zip(rows, expected, maps[:, 0].numpy(), strict=True):
        ours, theirs = (
            {one["class"]: one["probability"] for one in each["predictions"]} for each in (row, other)
        )
        orders += [*ours] == [*theirs]
        first += max(ours, key=ours.__getitem__) == max(theirs, key=theirs.__getitem__)
        probability = max(probability, *(abs(ours[name] - theirs[name]) for name in theirs))
        drawn = np.asarray(
            Image.open(io.BytesIO(base64.b64decode(row["map"].partition(",")[2]))).convert("L")
        )
        scaled = 255 * (map_ - map_.min()) / max(map_.max() - map_.min(), 1e-12)
        level = max(level, float(np.abs(drawn - scaled).max()))
        peak = max(peak, abs(row["peak"] - float(map_.max())))
    print(f"{count:,} images: {first:,} classes equal, {orders:,} orders of all ten classes equal")
    print(f"  probabilities differ by at most {probability:.1g}")
    print(
        f"  heat maps differ by at most {level:.2g} of 255 levels, their highest values by at most {peak:.1g}"
    )
    print(f"  {statistics.median(row['milliseconds'] for row in rows[1:]):.1f} ms an image")


def texts(page: Any, count: int, length: int, temperature: float) -> None:
    """Compare texts and their scores."""
    model = zoo.load(TEXTS)
    whole = zoo.open_dataset("nietzsche", progress=False).split("test")
    places = np.linspace(0, len(whole) - PROMPT, count).astype(int)
    prompts = [model.vocabulary.decode(int(n) for n in whole[place : place + PROMPT]) for place in places]
    rows = page.evaluate(SAMPLE, [TEXTS, prompts, length, temperature])
    equal = characters = 0
    difference = 0.0
    for seed, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        drawn = model.sample(prompt, max_new_tokens=length, temperature=temperature, seed=seed).stream()
        expected = "".join(text for text, _ in drawn)
        equal += row["text"] == expected
        characters += sum(ours == theirs for ours, theirs in zip(row["text"], expected, strict=True))
    scores = model.predict(prompts, progress=False)
    for row, other in zip(rows, scores, strict=True):
        difference = max(difference, abs(row["loss"] - other["predictions"][0]["loss"]))
    total = count * length
    print(f"{count:,} texts at temperature {temperature}: {equal:,} equal")
    print(f"  {characters:,} of {total:,} characters equal")
    print(f"  losses of the prompts differ by at most {difference:.1g} nats")
    each = (row["milliseconds"] / (PROMPT + length) for row in rows[1:])
    print(f"  {statistics.median(each):.2f} ms a character")


def main() -> None:
    warnings.simplefilter("ignore", zoo.ZooWarning)
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--characters", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(folder) / "try"
        sizes = build(out, [IMAGES, TEXTS])
        print(", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items()))
        browser = playwright.chromium.launch(executable_path=chromium())
        with FileServer(out) as server, Visit(browser, server.url, policy="") as visit:
            page = visit.open(IMAGES)
            images(page, asked.images)
            for temperature in (0, 1):
                texts(page, asked.texts, asked.characters, temperature)
            visit.check()
        browser.close()


if __name__ == "__main__":
    main()
