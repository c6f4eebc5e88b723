"""Write a page that runs models in the visitor's browser: python -m sitegen.browser OUT [WEIGHTS ...].

OUT becomes a folder of static files that any file server can serve. It contains the page of `zoo serve`, with
a JavaScript API in place of HTTP requests, the models as ONNX files with their cards, and ONNX Runtime Web.
All addresses in the page are relative, and it sends no requests to other hosts. The command needs the extras
`export` and `serve`, and onnxruntime-web, which `.ci/tools` installs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from PIL import Image

from zoo import Model, OptionError, Registry, ZooError, load, open_dataset

__all__ = ["WEIGHTS", "build"]

# Small models of different kinds, 4 MB as ONNX files
WEIGHTS = ("shapes-resnet20", "cifar10-resnet20", "nietzsche-gru", "stdlib-lstm")

_ROOT = Path(__file__).parents[1]
_OWN, _SERVED = _ROOT / "sitegen/browser_page", _ROOT / "zoo/tools/serve/page"
_RUNTIME = _ROOT / ".venv/node_modules/onnxruntime-web/dist"
_RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_TEMPLATES = ("images-view", "inside-view", "heat-view", "terms-view", "text-view")
_EXAMPLES = 8  # images of shapes, one of each class
_TASKS = ("classification", "language-modeling")


def build(out: Path, weights: Sequence[str] = WEIGHTS, *, home: str = "") -> dict[str, int]:
    """Write the folder, and return the size of each model's ONNX file in bytes, by name.

    Args:
        out: a folder that does not exist yet.
        weights: ids, files or run directories of classifiers and of character-level language models.
        home: address of a link in the header, such as the site that contains the page; empty for no link.

    Raises:
        FileNotFoundError: onnxruntime-web is not installed.
        FileExistsError: the folder exists.
        ZooError: a model does not exist, or cannot run in the browser.
    """
    for name in _RUNTIME_FILES:
        if not (_RUNTIME / name).exists():
            raise FileNotFoundError(
                f"onnxruntime-web is not installed (no {_RUNTIME / name}); run: bash .ci/tools"
            )
    if out.exists():
        raise FileExistsError(f"{out} exists: delete it, or choose a different folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        whole = Path(folder) / "whole"
        (whole / "models").mkdir(parents=True)
        sizes = dict(_write_model(whole / "models", name) for name in weights)
        _write_json(whole / "models/index.json", [*sizes])
        _write_page(whole, home)
        whole.rename(out)
    return sizes


def _write_page(out: Path, home: str) -> None:
    """Write everything except the models: the served page's files, their replacements, and the runtime."""
    for source in (_SERVED, _OWN):  # the second replaces the first's
        for path in source.iterdir():
            shutil.copyfile(path, out / path.name)
    (out / "runtime").mkdir()
    for name in _RUNTIME_FILES:
        shutil.copyfile(_RUNTIME / name, out / "runtime" / name)
    (out / "runtime-license.txt").rename(out / "runtime/LICENSE.txt")
    megabytes = sum((_RUNTIME / name).stat().st_size for name in _RUNTIME_FILES) / 1e6
    parts = {
        "templates": "\n\n  ".join(map(_template, _TEMPLATES)),
        "home": f'<a href="{escape(home)}">Documentation</a>' if home else "",
        "megabytes": f"{megabytes:.1f}",
    }
    page = (_OWN / "index.html").read_text(encoding="utf-8")
    page = re.sub(r"<!-- (\w+) -->", lambda found: parts[found[1]], page)
    (out / "index.html").write_text(page, encoding="utf-8")


def _template(name: str) -> str:
    """Return a template of the served page."""
    page = (_SERVED / "index.html").read_text(encoding="utf-8")
    found = re.search(rf'<template id="{name}">.*?</template>', page, re.DOTALL)
    assert found, name
    return found[0]


def _write_model(folder: Path, weights: str) -> tuple[str, int]:
    """Write a model, its facts and its card; return its name and the size of its ONNX file in bytes."""
    from zoo.tools.serve.served_models import named

    model, registry = load(weights, device="cpu"), Registry.discover()
    (served,) = named([(weights, model)], registry)
    served.worker.close()
    preprocess = model.card.preprocess
    if model.card.task not in _TASKS:
        raise OptionError(
            f"{weights} cannot run in the browser: it is for {model.card.task}, not {_or(_TASKS)}"
        )
    if preprocess.get("tokens", "char") != "char" or preprocess.get("backwards"):
        raise OptionError(
            f"{weights} cannot run in the browser: it does not read characters from left to right"
        )
    path = folder / f"{served.name}.onnx"
    bytes_ = model.export(path, synthetic=True, progress=False)["bytes"]
    _write_json(
        path.with_suffix(".json"),
        {**served.described(), **_facts(path, model, served.facts, served.mean_head)},
    )
    path.with_suffix(".html").write_text(served.page, encoding="utf-8")
    return served.name, bytes_


def _or(words: Sequence[str]) -> str:
    return " or ".join(words)


def _facts(path: Path, model: Model, facts: Any, mean_head: str) -> dict[str, Any]:
    """Return the facts about an exported model that the page needs in addition to `GET /models`."""
    from zoo.tools.export.onnx_reader import read

    signature = read(path).signature
    maps = "class_maps" in [port.name for port in signature.outputs]
    found: dict[str, Any] = {
        "signature": signature,
        "analyzers": [row for row in facts["analyzers"] if maps and row["name"] == "cam"],
        "landmarks": [name for name in facts["landmarks"] if name != "mean_head" or maps],
        "examples": _examples(path.parents[1], path.stem, model),
    }
    if facts["task"] == "language-modeling":
        keys = ("texts", "drawable", "lower", "specials")
        found["vocabulary"] = {key: getattr(model.vocabulary, key) for key in keys}
    if maps:
        head: Any = model.module.get_submodule(mean_head)
        found["weights"] = head.weight.tolist()
    return found


def _examples(out: Path, name: str, model: Model) -> list[dict[str, str]]:
    """Draw an image of each class for a model trained on shapes; return each image's name and address."""
    card = model.card
    if card.dataset.name != "images/shapes":
        return []
    sizes = dict.fromkeys(("train_size", "val_size", "test_size"), _EXAMPLES)
    shapes = open_dataset("shapes", **{**card.dataset.options, **sizes}, progress=False).split("test")
    folder = out / "examples" / name
    folder.mkdir(parents=True)
    found: list[dict[str, str]] = []
    for image, label in shapes:
        file = folder / f"{model.classes[label]}.png"
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
        found.append({"name": file.name, "url": quote(file.relative_to(out).as_posix())})
    return found


def _write_json(path: Path, data: object) -> None:
    path.write_bytes(msgspec.json.encode(data))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m sitegen.browser", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write, which must not exist")
    parser.add_argument("weights", nargs="*", metavar="WEIGHTS", help=f"by default {', '.join(WEIGHTS)}")
    parser.add_argument("--home", default="", help="address of a link in the header")
    asked = parser.parse_args()
    try:
        sizes = build(asked.out, asked.weights or WEIGHTS, home=asked.home)
    except (OSError, ZooError) as error:
        parser.exit(1, f"{error}\n")
    for name, size in sizes.items():
        print(f"{name:24} {size / 1e6:5.1f} MB")
    print(f"wrote {asked.out}; to view it: python -m http.server --directory {asked.out}")


if __name__ == "__main__":
    main()
