"""The findings of an analysis: in memory, and as a folder of pictures, arrays and a manifest."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from zoo.analysis.render import contact_sheet, overlay, png
from zoo.errors import OutputError
from zoo.evaluation.inputs import Inputs
from zoo.files.atomic import atomic_write
from zoo.interfaces import Analysis

__all__ = ["MANIFEST", "Findings", "require_folder"]

MANIFEST = "manifest.json"
_OTHER = "choose another --out folder"
# Most pictures on a contact sheet
_SHEET_PICTURES = 64


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Findings:
    """An analysis, its inputs and how it was made.

    Attributes:
        items: one for each map: its `input`, its `class`, that class's `probability`, the map's maximum
            (`peak`), the `predicted` class, its probability, and the `true` class if it is known.
        facts: how the analysis was made: analyzer, options, weights and their hash, data, precision.
    """

    analysis: Analysis
    inputs: Inputs
    items: list[dict[str, Any]]
    facts: dict[str, Any]
    scores: dict[str, float]

    def __repr__(self) -> str:
        parts = [f"{len(self.items)} maps"] if self.items else []
        parts += [f"{name} {value:.4g}" for name, value in self.scores.items()]
        parts += [f"table {name}" for name in self.analysis.tables]
        return f"<Findings of {self.facts['analyzer']}: {', '.join(parts)}>"

    def _repr_png_(self) -> bytes | None:
        if self.analysis.maps is not None:
            return png(contact_sheet(self.pictures(_SHEET_PICTURES)))
        figures = [draw for name, draw in self.analysis.figures.items() if name.endswith(".png")]
        return figures[0]() if figures else None

    def pictures(self, count: int) -> list[Image]:
        """Return overlays of the maps on the first `count` images, a row for each class."""
        maps = self.analysis.maps
        if maps is None:
            return []
        rows = maps.shape[1]
        return [
            overlay(self.inputs.image(number), maps[number], self.items[number * rows : (number + 1) * rows])
            for number in range(min(count, len(maps)))
        ]

    def manifest(self) -> dict[str, Any]:
        """Return everything but the arrays as JSON data."""
        return {
            **self.facts,
            **self.analysis.details,
            "items": self.items,
            "scores": self.scores,
            "tables": dict(self.analysis.tables),
        }

    def write(self, out: Path | str, *, draw: int = 64) -> dict[str, Any]:
        """Write overlays and maps of the first `draw` images, all figures and `manifest.json`; return that.

        Each image gets an overlay with a row for each class, and each class an array (h, w) of the layer's
        size; several images get a contact sheet. If there are more images than `draw`, `maps.npy` holds the
        maps of all, (N, K, h, w). Files that an earlier analysis wrote to the folder are removed.

        Raises OutputError if the folder cannot be written to.
        """
        out = Path(out)
        require_folder(out)
        files: dict[str, bytes] = {}
        items = self._draw_maps(draw, files)
        files |= {name: figure() for name, figure in self.analysis.figures.items()}
        document = self.manifest() | {"out": str(out), "items": items, "files": [*files]}
        files[MANIFEST] = json.dumps(document, ensure_ascii=False, indent=2).encode()
        try:
            out.mkdir(parents=True, exist_ok=True)
            _remove_earlier(out)
            for name, content in files.items():
                with atomic_write(out / name) as file:
                    file.write(content)
        except OSError as error:
            raise OutputError(f"cannot write to {out}: {error.strerror or error}", hint=_OTHER) from None
        return document

    def _draw_maps(self, draw: int, files: dict[str, bytes]) -> list[dict[str, Any]]:
        """Add pictures and maps to `files`; return the items with the names of theirs."""
        items, maps = [dict(item) for item in self.items], self.analysis.maps
        if maps is None:
            return items
        rows = maps.shape[1]
        pictures = self.pictures(draw)
        for number, stem in enumerate(_stems(self.inputs.names[:draw])):
            files[f"{stem}.png"] = png(pictures[number])
            for k, item in enumerate(items[number * rows : (number + 1) * rows]):
                name = f"{stem}.npy" if rows == 1 else f"{stem}.{item['class_index']}.npy"
                files[name] = _npy(maps[number, k])
                item |= {"overlay": f"{stem}.png", "map": name}
        if len(pictures) > 1:
            files["contact-sheet.png"] = png(contact_sheet(pictures[:_SHEET_PICTURES]))
        if len(maps) > draw:
            files["maps.npy"] = _npy(maps)
        return items


def require_folder(out: Path) -> None:
    """Raise OutputError, before any work is done, if a path is not a folder and cannot become one."""
    nearest = out
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        hint = "--out must name a folder, new or existing"
        raise OutputError(f"{nearest} is a file, not a folder", hint=hint)
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"{nearest} is not writable", hint=_OTHER)


def _remove_earlier(out: Path) -> None:
    """Remove the files listed in the folder's manifest, so that two analyses do not mix."""
    try:
        listed = json.loads((out / MANIFEST).read_text(encoding="utf-8"))["files"]
        names = [name for name in listed if isinstance(name, str) and Path(name).name == name]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    for name in names:
        (out / name).unlink(missing_ok=True)


def _stems(names: list[str]) -> list[str]:
    """Return a file name without suffix for each input, numbered if it is already taken."""
    taken = {"manifest", "contact-sheet", "maps"}
    stems: list[str] = []
    for name in names:
        stem, number = Path(name).stem, 1
        while stem in taken:
            number += 1
            stem = f"{Path(name).stem}-{number}"
        taken.add(stem)
        stems.append(stem)
    return stems


def _npy(maps: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, maps.cpu().numpy())
    return buffer.getvalue()
