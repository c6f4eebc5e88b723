"""The findings of an analysis, in memory or as a folder of images, arrays and a manifest."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from zoo.analysis.render import contact_sheet, jpeg, overlay, panel, tile_side
from zoo.analysis.sheets import png
from zoo.config.arguments import checked
from zoo.errors import DataError, OutputError, SpecError, ZooError, cause, printable
from zoo.evaluation.inputs import Inputs
from zoo.files.canonical import readable_json
from zoo.files.folders import require_folder
from zoo.files.hashes import sha256_of
from zoo.files.regular import read_regular
from zoo.interfaces import Analysis

MANIFEST = "manifest.json"
_OTHER = "choose a different --out folder"
# Most images and overlays on a contact sheet of more than one image
_SHEET_TILES = 128
# Most pixels of an overlay's height and width
_LARGEST = 2_048
# Most bytes that the name of an input gives to a file's; a number, a class, a suffix come after it
_LONGEST = 200
# Most bytes of a manifest
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Findings:
    """The results of an analysis, with the inputs and the settings of the analysis.

    Attributes:
        items: a dict for each map: its `input`, its `class`, that class's `probability`, the map's maximum
            (`peak`), the `predicted` class, its probability, and the `true` class if it is known. For a
            multi-label task, `true` is `none` or a comma-separated list of classes.
        facts: the settings of the analysis: the analyzer, its options, the weights and their hash, the data
            and the precision.
    """

    analysis: Analysis
    inputs: Inputs
    items: list[dict[str, Any]]
    facts: dict[str, Any]
    scores: dict[str, float]

    def __repr__(self) -> str:
        count = len(self.items)
        parts = [f"{count} map{'s' * (count > 1)}"] if count else []
        parts += [f"{name} {value:.4g}" for name, value in self.scores.items()]
        parts += [f"table {name}" for name in self.analysis.tables]
        return printable(f"<Findings of {self.facts['analyzer']}: {', '.join(parts)}>")

    def _repr_jpeg_(self) -> bytes | None:
        """Return the maps as a JPEG for a notebook; a PNG would be six times as large."""
        return None if self.analysis.maps is None else jpeg(self.sheet())

    def _repr_png_(self) -> bytes | None:
        """Return the first figure as a PNG for a notebook, if there are no maps."""
        figures = [draw for name, draw in self.analysis.figures.items() if name.endswith(".png")]
        return figures[0]() if figures and self.analysis.maps is None else None

    def overlay(self, number: int, k: int = 0) -> Image:
        """Return an image overlaid with the heat map of its `k`-th class.

        The result is the central square of the user's image, 224 to 2,048 pixels wide.
        """
        assert self.analysis.maps is not None
        return overlay(self.inputs.image(number, at_most=_LARGEST), self.analysis.maps[number, k])

    def sheet(self, count: int = 64, *, side: int | None = None) -> Image:
        """Return a sheet of the first `count` images, each beside its overlays, with captions.

        The sheet shows at most 128 images and overlays in total.

        Args:
            side: height and width of an image in pixels; by default larger for fewer images.
        """
        maps = self.analysis.maps
        assert maps is not None
        classes = maps.shape[1]
        count = min(count, len(maps), max(_SHEET_TILES // (1 + classes), 1))
        side = side or tile_side(count * (1 + classes))
        return contact_sheet(
            [
                panel(
                    self.inputs.image(number, at_most=side),
                    maps[number],
                    self.items[number * classes : (number + 1) * classes],
                    side=side,
                )
                for number in range(count)
            ]
        )

    def manifest(self) -> dict[str, Any]:
        """Return everything except the arrays as JSON data."""
        return {
            **self.facts,
            **{name: detail for name, detail in self.analysis.details.items() if name not in self.facts},
            "items": self.items,
            "scores": self.scores,
            "tables": dict(self.analysis.tables),
        }

    @checked
    def write(self, out: Path | str, *, draw: int = 64) -> dict[str, Any]:
        """Write overlays and maps of up to `draw` images, all figures and a manifest; return the manifest.

        For each class of each of the first `draw` images, there is an overlay and an array (h, w) of the
        layer's size; `contact-sheet.png` shows all overlays beside their images. If there are more images
        than `draw`, `maps.npy` holds all maps, (N, K, h, w). Files of an earlier analysis are removed from
        the folder if they still match the hashes in its manifest.

        Raises OutputError if the folder cannot be written to, and SpecError if one of the analyzer's figures
        cannot be drawn or has a name that cannot be used as a file name in the folder.
        """
        out = Path(out)
        require_folder(out)
        files, items = self._maps_to_write(draw, out)
        for name in self.analysis.figures:
            if name in ("", ".", "..", MANIFEST) or Path(name).name != name:
                raise SpecError(f"{self.facts['analyzer']}: a figure cannot be named {name!r}")
        files |= {name: partial(self._figure, name) for name in self.analysis.figures}
        earlier = _earlier(out)
        for name in (*files, MANIFEST):
            if name not in earlier and os.path.lexists(out / name):
                raise OutputError(f"{out / name} exists and was not written by an analysis", hint=_OTHER)
        written: dict[str, str] = {}  # the sha256 of each file
        document = self.manifest() | {"out": str(out), "items": items, "files": written}
        try:
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", dir=out) as folder:
                for name, make in files.items():  # one at a time, since all may not fit in memory
                    written[name] = _write(Path(folder, name), make())
                _write(Path(folder, MANIFEST), readable_json(document).encode())
                for name in earlier - {MANIFEST}:
                    (out / name).unlink(missing_ok=True)
                for name in (*files, MANIFEST):
                    Path(folder, name).replace(out / name)
        except OSError as error:
            raise OutputError(f"cannot write to {out}: {error.strerror or error}", hint=_OTHER) from None
        return document

    def _figure(self, name: str) -> bytes:
        try:
            return self.analysis.figures[name]()
        except ZooError:
            raise
        except Exception as error:
            raise SpecError(f"{self.facts['analyzer']}: {name} cannot be drawn: {cause(error)}") from error

    def _maps_to_write(
        self, draw: int, out: Path
    ) -> tuple[dict[str, Callable[[], bytes]], list[dict[str, Any]]]:
        """Return functions that create the image and map files, and the items with their file names."""
        files: dict[str, Callable[[], bytes]] = {}
        items = [dict(item) for item in self.items]
        maps = self.analysis.maps
        if maps is None:
            return files, items
        read = [source.value for source in self.inputs.sources if isinstance(source.value, Path)]
        taken = {file.stem for file in read if file.resolve().parent == out.resolve()}
        classes = maps.shape[1]
        for number, stem in enumerate(_stems(self.inputs.names[:draw], taken)):
            for k, item in enumerate(items[number * classes : (number + 1) * classes]):
                name = stem if classes == 1 else f"{stem}.{item['class_index']}"
                item |= {"overlay": f"{name}.png", "map": f"{name}.npy"}
                files[item["overlay"]] = partial(_drawn, self, number, k)
                files[item["map"]] = partial(_npy, maps[number, k])
        if files:
            files["contact-sheet.png"] = lambda: png(self.sheet(draw))
        if len(maps) > draw:
            files["maps.npy"] = partial(_npy, maps)
        return files, items


def _earlier(out: Path) -> set[str]:
    """Return the names of an earlier analysis's files that are listed in the folder's manifest.

    Only unmodified files are returned, so a forged manifest cannot cause the user's own files to be deleted.
    """
    try:
        if not _is_regular(out / MANIFEST):
            return set()
        manifest = json.loads(read_regular(out / MANIFEST, most=_MOST_BYTES))
        listed = {name: sha256 for name, sha256 in manifest["files"].items() if Path(name).name == name}
        found = {MANIFEST} if "analyzer" in manifest else set[str]()
        for name, sha256 in listed.items():
            if _is_regular(out / name) and sha256_of(out / name) == sha256:
                found.add(name)
    except (OSError, DataError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    return found


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _write(path: Path, content: bytes) -> str:
    """Write a file; return its sha256."""
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _stems(names: list[str], taken: set[str]) -> list[str]:
    """Return a file name without a suffix for each input, with a number if the name is already taken.

    Long names are truncated; control characters, and characters that UTF-8 cannot encode, become underscores.
    """
    taken = taken | {"manifest", "contact-sheet", "maps"}
    stems: list[str] = []
    for name in names:
        plain = "".join(sign if sign.isprintable() else "_" for sign in Path(name).stem)
        first = plain.encode()[:_LONGEST].decode(errors="ignore")
        stem, number = first, 1
        while stem in taken:
            number += 1
            stem = f"{first}-{number}"
        taken.add(stem)
        stems.append(stem)
    return stems


def _drawn(findings: Findings, number: int, k: int) -> bytes:
    return png(findings.overlay(number, k))


def _npy(maps: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, maps.cpu().numpy())
    return buffer.getvalue()
