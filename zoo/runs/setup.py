"""Set up a resolved recipe: open its data, build its model, and check everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from zoo.config.layers import DATA, DEVICE, Layers, blaming
from zoo.config.options import text
from zoo.config.recipe import Recipe
from zoo.config.train_config import TrainConfig
from zoo.data.opening import (
    decidable,
    open_to_train,
    options_of_pretrained,
    options_to_fine_tune,
    suited,
    typed_options,
)
from zoo.errors import DataError, OptionError, SpecError, warn
from zoo.evaluation.metrics import with_metrics
from zoo.interfaces import SPLITS, CarriesState, Dataset, Task, make_task
from zoo.models import precision
from zoo.models.building import build_model, model_arguments, model_options
from zoo.models.transfer import fit_or_load, load_base_model
from zoo.models.weights import require_loadable, require_storable
from zoo.registry.methods import with_checked_methods
from zoo.registry.plugins import LOCAL
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec
from zoo.runs.resolving import Resolved
from zoo.seeds import seed_for
from zoo.training.defaults import (
    FEWEST_STEPS,
    HEAD_ALONE,
    SMALLEST_BATCH,
    left_to_learn,
    steps_in_epoch,
    suited_to_data,
)
from zoo.training.freezing import freeze, refuse_frozen, set_frozen, without
from zoo.training.optimizers import make_optimizer
from zoo.training.probe import fit_last_layer
from zoo.training.saved import CheckpointInfo, RunIdentity
from zoo.training.schedules import make_schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """The opened data, the built model, and everything else needed to train a recipe.

    Attributes:
        layers: the training options with their sources, of which `config` is made.
        recipe: the recipe with full names and all options.
        arguments: every argument that `model` was built with.
        context: maximum number of tokens that `model` reads from an empty state; 0 for no limit.
        model: the model with its initial weights: random, pretrained, or from another model.
        base_model: description of the weights that training starts from, as in a card.
        device: the device to train on.
        measure_start: whether `model` already knows some of the classes, so that it is worth a measurement.
    """

    architecture: Entry[ArchitectureSpec]
    data: Entry[DatasetSpec]
    task: Task
    dataset: Dataset
    config: TrainConfig
    layers: Layers
    recipe: Recipe
    arguments: dict[str, Any]
    context: int
    model: nn.Module
    base_model: dict[str, str]
    device: str
    measure_start: bool

    @property
    def title(self) -> str:
        """The architecture and the dataset, as the title of a figure."""
        return f"{self.architecture.name} on {self.data.name}"

    @property
    def parts(self) -> tuple[nn.Module, Task, Dataset, TrainConfig]:
        """The arguments of `fit`."""
        return self.model, self.task, self.dataset, self.config

    @property
    def identity(self) -> RunIdentity:
        """The identity of a run of this recipe, compared when the run is resumed."""
        fingerprint = f"{self.dataset.fingerprint} {self.base_model.get('sha256', '')}".strip()
        return RunIdentity(
            recipe=self.recipe,
            fingerprint=fingerprint,
            base_model=self.base_model,
            cpu=torch.backends.cpu.get_cpu_capability(),
        )

    def check_batches(self, processes: int = 1) -> None:
        """Load a batch of each split, and warn if there is little data.

        Raises DataError if there is no training data, and OptionError if a batch is too small for the number
        of processes.
        """
        size = self.config.batch_size
        if size < processes:
            message = f"batch_size={size} must be at least the number of processes ({processes})"
            raise OptionError(message)
        steps = steps_in_epoch(self.task, self.dataset, self.config)
        if not steps:
            raise DataError("the training split is empty")
        if steps < FEWEST_STEPS:
            only = f"only {steps} steps" if steps > 1 else "a single step"
            smaller = f"a batch_size smaller than {size}, or " if size > SMALLEST_BATCH else ""
            warn(f"an epoch has {only}: use {smaller}more data")
        if not [name for name in SPLITS[1:] if next(self.task.eval_batches(self.dataset, name), None)]:
            warn("the data has no val or test split, so only the training loss is measured")


def build(
    resolved: Resolved, registry: Registry, *, device: str, resumed: CheckpointInfo | None = None
) -> TrainingSetup:
    """Open the data, build the model, and make the choices that depend on the data, the model or the device.

    Args:
        resumed: metadata of the checkpoint to resume from, including the origin of the run's initial weights.

    Raises:
        ZooError: something in the recipe is invalid or incompatible; see `zoo.errors` for its subclasses.
    """
    architecture, data = resolved.architecture, resolved.data
    task = make_task(registry, resolved.task.name)
    with blaming(resolved.source, unless=resolved.given.get("data") or ()):
        recipe = replace(resolved.recipe, data=typed_options(data, resolved.recipe.data))
    layers, source = resolved.layers, None
    if resumed is not None:
        recipe, layers = _completed(recipe, layers, data, resumed.identity.recipe)
    elif base := resolved.base:
        source = load_base_model(base.path, base.card, base.content, architecture, registry)
        needed = options_to_fine_tune(data, source.card, task, recipe.data)
        recipe = replace(recipe, model={**source.options, **recipe.model}, data={**recipe.data, **needed})
    # Before data is opened
    with blaming(resolved.source, unless=resolved.given.get("model") or ()):
        chosen = model_options(architecture, resolved.task, recipe.model)
    layers = with_checked_methods(layers)
    config = layers.config()
    task = with_metrics(task, registry, layers["metrics"], layers["metrics_options"], loss=layers["loss"])
    suiting = options_of_pretrained(data, architecture.spec.starts_from(chosen), recipe.data)
    recipe = replace(recipe, data={**recipe.data, **suiting})
    dataset = open_to_train(data, recipe)
    arguments = model_arguments(architecture, resolved.task, dataset.dims, recipe.model)
    dataset = suited(dataset, data, task, architecture, arguments)
    model = build_model(architecture, arguments, seed=seed_for(recipe.seed, "weights"))
    if architecture.plugin.name == LOCAL:
        _require_outputs(model, task, dataset, architecture.name)
    require_storable(model, architecture)
    require_loadable(model, architecture, arguments)
    copied = source.copy_into(model, task, arguments, dataset.preprocess) if source else None
    known = copied is not None and any(copied.labels)
    probed = fit_last_layer(model, task, dataset, copied.fresh) if copied and not known else None
    to_learn = left_to_learn(model, task, dataset, copied, probed) if copied else None
    alone = probed is not None and to_learn is not None and to_learn < HEAD_ALONE
    alone = alone and not layers.gives("freeze") and not layers["freeze_epochs"]
    suiting = suited_to_data(
        layers,
        config,
        task,
        dataset,
        context=architecture.spec.context(arguments),
        architecture=architecture,
        to_learn=to_learn,
        again=source is not None and bool(source.card.base_model),
        alone=alone,
    )
    if alone or (layers["freeze_epochs"] and not layers["freeze"]):
        if copied is None:
            message = f"freeze_epochs={layers['freeze_epochs']} requires freeze, or weights to start from"
            raise OptionError(message, hint="add --freeze NAMES or --from WEIGHTS")
        suiting["freeze"] = (*without(model, copied.fresh),)
    layers = layers.suggest(DATA, suiting)
    layers = layers.converted("precision", precision.resolve(layers["precision"], device), source=DEVICE)
    config = layers.config()
    task = task.as_trained(config.to_dict())
    frozen = freeze(model, config.freeze)
    make_optimizer(model, config)  # which may refuse the model
    make_schedule(config)(0.0)
    if resumed is not None:
        base_model = resumed.identity.base_model
    elif source is not None and copied is not None:
        refuse_frozen(copied.fresh, config.freeze)
        base_model = source.base_model
    else:
        base_model = fit_or_load(model, task, dataset, seed=seed_for(recipe.seed, "fit"))
    options = {name: value for name, value in arguments.items() if name not in resolved.task.dims}
    recipe = replace(recipe, model=options, train=config.to_dict())
    if resumed is None:
        _warn_of_what_is_frozen(model, config, base_model)
        _warn_of_what_was_chosen(resolved.recipe, recipe, layers, fine_tuned=bool(base_model))
        if not base_model:
            _warn_of_general_defaults(resolved, registry)
    set_frozen(frozen, not config.freeze_epochs)
    return TrainingSetup(
        architecture=architecture,
        data=data,
        task=task,
        dataset=dataset,
        config=config,
        layers=layers,
        recipe=recipe,
        arguments=arguments,
        context=architecture.spec.context(arguments),
        model=model,
        device=device,
        base_model=base_model,
        measure_start=known or probed is not None,
    )


def _require_outputs(model: nn.Module, task: Task, dataset: Dataset, name: str) -> None:
    """Call a model of a Python session once. Raises SpecError if its outputs do not have the task's form."""
    batch = next(task.eval_batches(dataset, "train"), None)
    if batch is None:
        return
    inputs = batch.inputs
    inputs = inputs[:, :2] if isinstance(task, CarriesState) else inputs[:2]
    with torch.no_grad():
        try:
            outputs = model.eval()(inputs)
        except Exception as error:
            error.add_note(
                f"{name} was called with {inputs.dtype} inputs of shape {[*inputs.shape]}, as in training"
            )
            raise
    model.train()
    if isinstance(task, CarriesState):
        if not isinstance(outputs, tuple | list) or len(outputs) != 2:
            raise SpecError(f"{name} must return the logits and the state (got a {type(outputs).__name__})")
        outputs = outputs[0]
    if task.spec.labels and isinstance(outputs, torch.Tensor):
        expected = (
            *(inputs.shape if isinstance(task, CarriesState) else inputs.shape[:1]),
            dataset.dims[task.spec.labels[0]],
        )
        if outputs.shape != expected:
            got = f"for inputs of shape {[*inputs.shape]}, got {[*outputs.shape]}"
            raise SpecError(f"{name} must return logits of shape {[*expected]} ({got})")


def _completed(
    recipe: Recipe, layers: Layers, data: Entry[DatasetSpec], run: Recipe
) -> tuple[Recipe, Layers]:
    """Return the recipe for resuming a run, with unset fine-tuning options copied from the run.

    The weights that the run started from may have been deleted or replaced.
    """
    if not recipe.from_weights:
        return recipe, layers
    if recipe.from_weights != run.from_weights:
        started = f"from {run.from_weights}" if run.from_weights else "from random weights"
        warn(f"--from {recipe.from_weights} has no effect on a resumed run, which started {started}")
    safe = decidable(data)
    theirs = {name: value for name, value in run.data.items() if name in safe}
    recipe = replace(recipe, model={**run.model, **recipe.model}, data={**theirs, **recipe.data})
    known = {name: value for name, value in run.train.items() if name in layers.known}
    return recipe, replace(layers, given=(*layers.give("run", known).given[-1:], *layers.given))


def _warn_of_what_is_frozen(model: nn.Module, config: TrainConfig, base_model: Mapping[str, str]) -> None:
    if not config.freeze:
        return
    if not base_model:
        warn("the frozen weights are randomly initialized; add --from to start from trained weights")
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    trained = sum(size for size, gradient in sizes if gradient)
    first = f" for {config.freeze_epochs} epochs, then all" if config.freeze_epochs else ""
    warn(f"training {trained:,} of {sum(size for size, _ in sizes):,} parameters{first}")


def _warn_of_general_defaults(resolved: Resolved, registry: Registry) -> None:
    """Warn if neither the architecture nor the recipe chooses training options, and list recipes that do."""
    name, data = resolved.architecture.name, (resolved.data.name, resolved.data.spec.name)
    if resolved.architecture.spec.training or "optimizer" in resolved.recipe.train:
        return
    recipes = [key for key, recipe in registry.recipes.items() if recipe.dataset in data and recipe.train]
    hint = f"; `zoo train RECIPE --architecture {name}` uses those of a recipe: {', '.join(recipes)}"
    warn(f"{name} sets no training options, so zoo's general defaults are used{hint * bool(recipes)}")


def _warn_of_what_was_chosen(given: Recipe, recipe: Recipe, layers: Layers, *, fine_tuned: bool) -> None:
    """Warn about options that zoo chose for the data, because neither the recipe nor the user sets them.

    For fine-tuning, this includes the epochs, the batch size and the learning rate, which matter most.
    """
    chosen = {name: value for name, value in recipe.data.items() if name not in given.data}
    main = {name for name in ("epochs", "batch_size", "lr") if fine_tuned and not layers.gives(name)}
    chosen |= {
        name: value for name, (value, source) in layers.merged.items() if source == DATA or name in main
    }
    if chosen:
        listed = ", ".join(f"{name}={text(value)}" for name, value in chosen.items())
        warn(f"options chosen for {DATA}: {listed}; each can be overridden")
