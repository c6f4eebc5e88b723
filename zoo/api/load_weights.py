"""Load trained models by name. Torch is imported only for models that need it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import rtoml

from zoo.api.model import Model
from zoo.config.arguments import checked, refuse_device
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError
from zoo.files import run_files
from zoo.files.cards import Card, read_card
from zoo.files.exported import Exported
from zoo.files.private_store import recalled
from zoo.files.regular import read_regular
from zoo.inference.signature_check import require_fitting
from zoo.models.runners import ProgramRunner, usual_threads
from zoo.registry.exported_files import read_exported
from zoo.registry.registry import Registry, default_registry
from zoo.registry.weights_files import locate_weights, warn_if_unfinished

# Bytes of the largest config.toml that is read
_LARGEST = 1 << 20


@checked
def load(
    name: str | Path,
    *,
    last: bool = False,
    architecture: Any = None,
    dataset: Any = None,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
) -> Model:
    """Load a trained model that is ready to use. Exported files are loaded without torch.

    Like `create_model` and `open_dataset`, this function is thread-safe.

    Args:
        name: a published id, or the path of a weights file, a run directory (for its best weights) or an
            exported file such as `x.onnx` (which supports only `predict`, `features`, `sample` and
            `evaluate`).
        last: load the last weights of a run directory instead of the best ones.
        architecture: the class or function that the model was built with, unless it has a name.
        dataset: the data that the model was trained on, unless it has a name; only `evaluate` and `analyze`
            read it.
        device: device, such as `cpu` or `cuda`; by default, a GPU if one is available. Exported files run
            only on the CPU.
        progress: show download progress on stderr or in the notebook.
        registry: registry to use; by default, the installed plugins and registry.toml.

    Raises:
        WeightsError: the file or id does not exist, the file is damaged, or no plugin provides its
            architecture.
        DataError: a published file is damaged or missing, or cannot be downloaded.
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
        from zoo.models.device import pick_device
        from zoo.models.module_runner import runner_of

        device = pick_device(device)
        if architecture is not None or dataset is not None:
            from zoo.api.local import with_local

            card = read_card(path)
            known = {"task": card.task, "name": card.architecture}
            registry, *_ = with_local(registry, architecture, dataset, **known)
        module, card = weights.load(path, registry, device=device, sha256=sha256)
        warn_if_unfinished(name, path, card.progress)
    own = _own_options(path.parent / run_files.CONFIG, card)
    runner = runner_of(module, card, registry, device=device)
    return Model(runner, card, path=path, registry=registry, name=str(name), own=own)


def _exported(exported: Exported, path: Path, registry: Registry, name: str, device: str | None) -> Model:
    """Load the model in an exported file."""
    if device not in (None, "cpu"):
        raise OptionError(f"exported files run only on the CPU (got device {device!r})")
    require_fitting(exported, registry, name)
    signature = exported.signature
    runner = ProgramRunner(exported.start(usual_threads(signature)), signature, name=name)
    return Model(runner, exported.card, path=path, registry=registry, name=name)


def _own_options(config: Path, card: Card) -> dict[str, Any]:
    """Return the data options from a run's config.toml, if a training run of this user wrote the file."""
    try:
        content = read_regular(config, most=_LARGEST)
    except OSError:
        return {}
    if recalled("runs", hashlib.sha256(content).hexdigest()) is not None:
        (recipe,) = rtoml.loads(content.decode())["recipes"].values()
        if recipe["dataset"] == card.dataset.name:
            return recipe["data"]
    return {}
