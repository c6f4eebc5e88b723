"""The environment of a training run: everything besides the recipe that is needed to repeat the run."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch
from torch import nn

from zoo._version import __version__
from zoo.files.cards import Environment
from zoo.registry.plugins import Plugin


def environment_of(model: nn.Module, *, device: str, seconds: float) -> Environment:
    """Return the environment in which a model was trained on a device; `seconds` is the training time."""
    module = sys.modules.get(type(model).__module__)  # in a notebook, it has no file
    commit, dirty = _checkout_of(getattr(module, "__file__", None) or "")
    return Environment(
        commit=commit,
        dirty=dirty,
        threads=torch.get_num_threads(),
        processor=_processor(),
        device=torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        seconds=round(seconds, 3),
    )


def versions_of(plugin: Plugin) -> dict[str, str]:
    """Return the versions of zoo, torch and the plugin of an architecture."""
    return {
        "zoo": __version__,
        "torch": torch.__version__.partition("+")[0],
        "plugin": plugin.edition,
    }


@cache
def _checkout_of(file: str) -> tuple[str, bool]:
    """Return the commit of the git checkout that contains a file, and whether it has uncommitted changes.

    The commit is empty for installed code, or if git is not available.
    """
    folder = Path(file).parent
    if "site-packages" in folder.parts:
        return "", False
    try:
        return _git(folder, "rev-parse", "HEAD"), bool(_git(folder, "status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return "", False


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@cache
def _processor() -> str:
    """Return the name of the processor, such as `AMD EPYC 7B13`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
