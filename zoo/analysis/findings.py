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

from zoo.analysis.render import contact_sheet, overlay, png
from zoo.errors import OutputError
from zoo.evaluation.inputs import Inputs
from zoo.files.atomic import atomic_write
from zoo.interfaces import Analysis

__all__ = ["MANIFEST", "Findings", "require_folder"]

MANIFEST = "manifest.json"
_SHEET_PICTURES = 64
"""Most pictures on a contact sheet."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Findings:
    """An analysis, its inputs and how it was made."""

    analysis: Analysis
    inputs: Inputs
    items: list[dict[str, Any]]
    """One for each map: its `input`, its `class`, that class's `probability`, the map's maximum (`peak`), the
    `predicted` class, its probability, and the `true` class if it is known."""
    facts: dict[str, Any]
    """How the analysis was made: analyzer, options, weights and their hash, data, precision."""
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
        try:
            out.mkdir(parents=True, exist_ok=True)
            _remove_earlier(out)
            folder = _Folder(out)
            items = self._write_maps(folder, draw)
            for name, figure in self.analysis.figures.items():
                folder.write(name, figure())
            document = self.manifest() | {"out": str(out), "items": items, "files": [*folder.names]}
            folder.write(MANIFEST, json.dumps(document, ensure_ascii=False, indent=2).encode())
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(
                f"cannot write to {out}: {reason}", hint="choose another --out folder"
            ) from None
        return document

    def _write_maps(self, folder: _Folder, draw: int) -> list[dict[str, Any]]:
        """Write pictures and maps; return the items with the names of their files."""
        maps = self.analysis.maps
        if maps is None:
            return self.items
        items = [dict(item) for item in self.items]
        rows = maps.shape[1]
        pictures = self.pictures(draw)
        for number, stem in enumerate(_stems(self.inputs.names[:draw])):
            picture = folder.write(f"{stem}.png", png(pictures[number]))
            for k, item in enumerate(items[number * rows : (number + 1) * rows]):
                name = f"{stem}.npy" if rows == 1 else f"{stem}.{item['class_index']}.npy"
                item["overlay"] = picture
                item["map"] = folder.write(name, _npy(maps[number, k].cpu().numpy()))
        if len(pictures) > 1:
            folder.write("contact-sheet.png", png(contact_sheet(pictures[:_SHEET_PICTURES])))
        if len(maps) > draw:
            folder.write("maps.npy", _npy(maps.cpu().numpy()))
        return items


def require_folder(out: Path) -> None:
    """Raise OutputError, before any work is done, if a path is not a folder and cannot become one."""
    nearest = out
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(
            f"{nearest} is a file, not a folder", hint="--out must name a folder, new or existing"
        )
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"{nearest} is not writable", hint="choose another --out folder")


class _Folder:
    """A folder, and the names of the files written to it so far."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.names: list[str] = []

    def write(self, name: str, content: bytes) -> str:
        """Write a file; return its name."""
        with atomic_write(self.home / name) as file:
            file.write(content)
        self.names.append(name)
        return name


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


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
