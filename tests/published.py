"""Random weights in huggingface_hub's cache, as if downloaded: python -m tests.published NAME.TAG ..."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file


def publish(name: str) -> Path:
    """Put random weights of a model of timm into the cache, and return the file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = timm.create_model(name)
    home = Path(constants.HF_HUB_CACHE) / f"models--timm--{name}"
    snapshot = home / "snapshots" / ("0" * 40)
    for folder in (home / "refs", home / "blobs", snapshot):
        folder.mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    save_file(model.state_dict(), home / "new")
    blob = home / "blobs" / hashlib.sha256((home / "new").read_bytes()).hexdigest()
    (home / "new").rename(blob)
    (snapshot / "model.safetensors").symlink_to(blob)
    return blob


if __name__ == "__main__":
    for each in sys.argv[1:]:
        publish(each)
