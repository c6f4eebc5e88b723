"""A notebook as Markdown: its text, its code, and the output of the code."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["as_markdown"]

_IMAGES = {"image/png": "png", "image/jpeg": "jpg"}


def as_markdown(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook, and its images by the names that the page uses."""
    images: dict[str, bytes] = {}
    parts: list[str] = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            parts += _shown(output, images, stem=notebook.stem)
    return "\n\n".join(parts) + "\n", images


def _shown(output: Mapping[str, Any], images: dict[str, bytes], *, stem: str) -> Iterator[str]:
    data: Mapping[str, Any] = output.get("data", {})
    for kind, suffix in _IMAGES.items():
        if kind in data:
            name = f"{stem}-{len(images) + 1}.{suffix}"
            images[name] = base64.b64decode("".join(data[kind]))
            yield f"![Output of the cell above]({name})"
            return
    text = "".join(output.get("text", data.get("text/plain", []))).rstrip()
    if not text and "text/html" in data:
        text = re.sub(r"<[^>]+>", "", "".join(data["text/html"])).strip()
    if text:
        yield f"```text\n{text}\n```"
