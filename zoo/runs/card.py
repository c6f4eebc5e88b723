"""Create the card of a model during training."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo._version import __version__
from zoo.data.opening import decidable
from zoo.files.cards import Card, DatasetCard
from zoo.models.ties import ties
from zoo.runs.environment import environment_of
from zoo.runs.setup import TrainingSetup
from zoo.training.state import TrainState


def make_card(setup: TrainingSetup, state: TrainState, changes: tuple[str, ...]) -> Card:
    """Return the card for weights about to be written; weights saved within an epoch have no metrics.

    Args:
        changes: options that changed during the run, and the point at which each change was made.
    """
    last = state.history[-1] if state.history and not state.batch else {}
    plugin = setup.architecture.plugin
    name, fingerprint = setup.data.name, setup.dataset.fingerprint
    seconds = sum(row["clock"]["seconds"] for row in state.history)
    safe = decidable(setup.data)
    options = {  # a number that a card may not decide is worth telling; a text could be a path
        name: value
        for name, value in setup.recipe.data.items()
        if name in safe or isinstance(value, bool | int | float)
    }
    arguments = dict(setup.arguments)
    if file := setup.architecture.spec.pretrained_file(arguments):
        arguments["pretrained"] = Path(file).name  # without the folders of this machine
    return Card(
        architecture=setup.architecture.name,
        arguments=arguments,
        task=setup.task.name,
        dataset=DatasetCard(name=name, options=options, fingerprint=fingerprint),
        preprocess=dict(setup.dataset.preprocess),
        training=setup.config.to_dict(),
        seed=setup.recipe.seed,
        progress={"epochs": state.epoch, "steps": state.steps},
        metrics={split: last[split] for split in ("val", "test") if split in last},
        base_model=setup.base_model,
        changes=changes,
        environment=environment_of(setup.model, device=setup.device, seconds=seconds),
        tied=ties(state.best),
        versions={
            "zoo": __version__,
            "torch": torch.__version__.partition("+")[0],
            "plugin": f"{plugin.distribution} {plugin.version}" if plugin.dist else Path(plugin.where).name,
        },
    )
