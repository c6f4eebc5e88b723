"""The first training batch, as the model sees it: augmented, normalized and blended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.config import options
from zoo.config.arguments import checked
from zoo.config.recipe import Recipe
from zoo.console.progress import Bar, quiet
from zoo.errors import OptionError
from zoo.registry.registry import Registry, default_registry
from zoo.runs.trial_training import trial

if TYPE_CHECKING:
    from PIL.Image import Image

    from zoo.interfaces import Batch, Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBatch:
    """The first training batch. A notebook displays its `sheet`.

    Attributes:
        batch: the batch, bit-identical to the first batch of a training run on the same kind of device.
        dataset: the dataset, normalized as the model requires.
        title: the architecture and the dataset, or only the dataset.
    """

    batch: Batch = field(repr=False)
    dataset: Dataset = field(repr=False)
    title: str

    @property
    def classes(self) -> dict[str, float]:
        """The number of images of each class, which is a fraction if images are blended."""
        names, counts = self.dataset.preprocess["classes"], self._shares().sum(0).tolist()
        return {str(name): round(count, 4) for name, count in zip(names, counts, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """Return the number of images, their shape, statistics of their values, and their classes."""
        values = self.batch.inputs.float()
        return {
            "training": self.title,
            "count": len(values),
            "shape": [*values.shape[1:]],
            "lowest": float(values.min()),
            "highest": float(values.max()),
            "mean": values.mean((0, 2, 3)).tolist(),
            "sd": values.std((0, 2, 3), correction=0).tolist(),
            "classes": self.classes,
        }

    def sheet(self, count: int = 64) -> Image:
        """Return a sheet of the first `count` images with their labels, without the normalization."""
        from zoo.analysis.render import grid
        from zoo.analysis.sheets import shown

        images = [shown(image, self.dataset.preprocess) for image in self.batch.inputs[:count]]
        names = [str(name) for name in self.dataset.preprocess["classes"]]
        return grid(images, [_caption(row, names) for row in self._shares()[:count].tolist()])

    def _repr_png_(self) -> bytes:
        from zoo.analysis.sheets import png

        return png(self.sheet())

    def _shares(self) -> Any:
        """Return the share of each class in each label, (B, K)."""
        from torch.nn.functional import one_hot

        targets = self.batch.targets.cpu()
        if targets.is_floating_point():
            return targets
        return one_hot(targets, len(self.dataset.preprocess["classes"])).float()


def _caption(shares: list[float], names: list[str]) -> tuple[str, ...]:
    """Return the labels of an image; with the share of each, if images are blended."""
    held = sorted(((share, name) for share, name in zip(shares, names, strict=True) if share), reverse=True)
    whole = all(share == 1 for share, _ in held)
    if whole:
        return (", ".join(name for _, name in held) or "none",)
    return tuple(f"{name} {share:.2f}" for share, name in held[:2])


@checked
def training_batch(
    name: str | Recipe,
    dataset: str | None = None,
    *,
    device: str | None = None,
    progress: bool = True,
    registry: Registry | None = None,
    **training: Any,
) -> TrainingBatch:
    """Return the first batch of the training run that `train` would start with the same arguments.

    ::

        zoo.training_batch("resnet20", "shapes", augment=["crop", "flip"]).sheet()

    Args:
        name: a recipe; an architecture, with `dataset`; or only a dataset, with the default training options
            of its task.
        dataset: as in `train`.
        device: as in `train`.
        progress: as in `train`.
        registry: as in `train`.
        training: `architecture`, `model`, `data`, `from_weights`, `seed`, `threads` and training options, as
            in `train`.

    Raises:
        OptionError: the data are not images with classes, or an option is invalid.
        ZooError: see `zoo.errors` for its subclasses.
    """
    registry = default_registry() if registry is None else registry
    if isinstance(name, str) and dataset is None and _is_dataset(name, registry):
        found = _of_dataset(name, registry, device=device or "cpu", progress=progress, **training)
    else:
        how: Any = {"registry": registry, "about": "reading a batch", "device": device, "progress": progress}
        with trial(name, dataset, **how, **training) as (steps, _):
            found = TrainingBatch(batch=steps.batch(), dataset=steps.dataset, title=steps.title)
    if found.batch.inputs.ndim != 4 or "classes" not in found.dataset.preprocess:
        raise OptionError(f"the batches of {found.title} are not images with classes")
    return found


def _is_dataset(name: str, registry: Registry) -> bool:
    return registry.has("dataset", name) and not registry.has("recipe", name)


def _of_dataset(
    name: str,
    registry: Registry,
    *,
    device: str,
    progress: bool,
    seed: int | None = None,
    data: dict[str, Any] | None = None,
    **training: Any,
) -> TrainingBatch:
    from zoo.interfaces import make_task

    entry = registry.dataset(name)
    for option in ("model", "from_weights", "threads"):
        if training.pop(option, None):
            raise OptionError(f"{option} requires an architecture", hint=f"put an architecture before {name}")
    number = options.convert(seed or 0, int, what="seed")
    config = registry.default_config(entry.spec.task).replace(training)
    with Bar() if progress else quiet():
        from zoo.api.models_and_datasets import open_dataset

        opened = open_dataset(entry.name, progress=False, registry=registry, **(data or {}))
        task = make_task(registry, entry.spec.task)
        batch = next(task.train_batches(opened, config, seed=number, epoch=0, device=device))
    return TrainingBatch(batch=batch, dataset=opened, title=entry.name)
