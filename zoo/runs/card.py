"""Create the card of a model during training."""

from __future__ import annotations

from pathlib import Path

from zoo.data.opening import card_options
from zoo.files.cards import Card, DatasetCard
from zoo.models.ties import ties
from zoo.runs.environment import environment_of, versions_of
from zoo.runs.setup import TrainingSetup
from zoo.training.state import TrainState


def make_card(setup: TrainingSetup, state: TrainState, changes: tuple[str, ...]) -> Card:
    """Return the card for weights about to be written; weights saved within an epoch have no metrics.

    Args:
        changes: options that changed during the run, and the point at which each change was made.
    """
    last = state.history[-1] if state.history and not state.batch else {}
    name, fingerprint = setup.data.name, setup.dataset.fingerprint
    seconds = sum(row["clock"]["seconds"] for row in state.history)
    options = card_options(setup.data, setup.recipe.data)
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
        versions=versions_of(setup.architecture.plugin),
    )
