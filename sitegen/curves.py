"""Retrain the recipes of published weights, and save their learning curves for the gallery.

    python -m sitegen.curves nietzsche-rnn cifar10-mlp

Each run writes `docs/images/weights/NAME-curve.png`, a version of its `curve.png` with fewer colors. The
command requires the real data in $ZOO_DATA or the cache. After an interruption, the same command continues.
"""

from __future__ import annotations

import sys

from PIL import Image

import zoo
from sitegen.places import ROOT

__all__ = ["CURVES"]

CURVES = ROOT / "docs" / "images" / "weights"


def main() -> None:
    """Train the recipes named on the command line."""
    for name in sys.argv[1:]:
        run = zoo.train(name, run=ROOT / "runs" / "curves" / name, resume=True, progress=False)
        drawn = Image.open(run.directory / "curve.png").convert("RGB")
        drawn.quantize(128).save(CURVES / f"{name}-curve.png", optimize=True)
        print(name, run.history[-1], flush=True)


if __name__ == "__main__":
    main()
