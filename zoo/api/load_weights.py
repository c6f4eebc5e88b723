"""Load trained models by name. Torch is imported only for models that need it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import rtoml

from zoo.api.listing import default_registry
from zoo.api.model import Model
from zoo.config.arguments import checked, refuse_device
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError
from zoo.files.cards import Card
from zoo.files.exported import Exported
from zoo.files.regular import read_regular
from zoo.files.remembering import recalled
from zoo.inference.fitting import require_fitting
from zoo.models.runners import ProgramRunner, usual_threads
from zoo.registry.exported_files import read_exported
from zoo.registry.registry import Registry
from zoo.registry.weights_files import locate_weights, warn_if_unfinished

# Bytes of the largest config.toml that is read
_LARGEST = 1 << 20


@checked
def load(
    name: str | Path,
    *,
    last: bool = False,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> Model:
    """Load a trained model, ready to use. Thread-safe, like `create_model` and `open_dataset`.

    An exported file is loaded without torch.

    Args:
        name: a published id, or the path of a weights file, of a run directory (its best weights), or of an
            exported file such as `x.onnx`, which can predict and sample.
        last: take the last weights of a run directory rather than its best ones.
        device: such as `cpu` or `cuda`; by default a GPU, if there is one. An exported file runs on the CPU.
        progress: show the progress of a download on stderr, or in the notebook.
        registry: by default, the installed plugins and registry.toml.

    Raises:
        WeightsError: there is no such file or id, the file is damaged, or no plugin provides its
            architecture.
        DataError: a published file is damaged, is not on this machine or cannot be downloaded.
        OptionError: the device does not exist.
    """
    refuse_device(device)
    registry = default_registry() if registry is None else registry
    with Bar() if progress else quiet():
        path, sha256 = locate_weights(registry, name, last=last)
        if (exported := read_exported(registry, path, sha256=sha256)) is not None:
            return _exported(exported, path, registry, str(name), device)
        # what needs torch, which an exported file does not
        from zoo.models import weights
        from zoo.models.module_runner import runner_of
        from zoo.models.precision import pick_device

        device = pick_device(device)
        module, card = weights.load(path, registry, device=device, sha256=sha256)
        warn_if_unfinished(name, path, card.progress)
    own = _own_options(path.parent / "config.toml", card)
    runner = runner_of(module, card, registry, device=device)
    return Model(runner, card, path=path, registry=registry, name=str(name), own=own)


def _exported(exported: Exported, path: Path, registry: Registry, name: str, device: str | None) -> Model:
    """Load the model in an exported file."""
    if device not in (None, "cpu"):
        raise OptionError(f"an exported file runs on the CPU (got device {device!r})")
    require_fitting(exported, registry, name)
    signature = exported.signature
    runner = ProgramRunner(exported.start(usual_threads(signature)), signature, name=name)
    return Model(runner, exported.card, path=path, registry=registry, name=name)


def _own_options(config: Path, card: Card) -> dict[str, Any]:
    """Return the data options in a run's config.toml, if a training by this user wrote the file."""
    try:
        content = read_regular(config, most=_LARGEST)
    except OSError:
        return {}
    if recalled("runs", hashlib.sha256(content).hexdigest()) is not None:
        (recipe,) = rtoml.loads(content.decode())["recipes"].values()
        if recipe["dataset"] == card.dataset.name:
            return recipe["data"]
    return {}
