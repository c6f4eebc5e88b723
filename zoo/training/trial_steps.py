"""The first steps of training, for a trial without saving anything."""

from __future__ import annotations

from itertools import chain, count
from statistics import fmean

from torch import nn

from zoo.config.train_config import TrainConfig
from zoo.interfaces import Batch, Dataset, Task
from zoo.models.precision import resolve
from zoo.training.freezing import freeze, train_mode
from zoo.training.state import TrainState
from zoo.training.step import completes_step, train_step


class TrialSteps:
    """Training in single steps, at learning rates that the caller chooses; see `zoo.runs.trial_training`.

    The steps are the first steps of `fit`, with the same batches, optimizer, precision, clipping and frozen
    parts, and continue into the next epoch. The schedule does not apply. Weights are not averaged, since
    averaging has no effect on the steps.

    Args:
        model: the model, which is trained in place.
        context: as in `fit`.

    Attributes:
        task: the task to train for.
        dataset: the dataset, prepared for the model.
        config: the training configuration.
        title: the architecture and the dataset, such as `charrnn/lstm on text/nietzsche`.
        fine_tuned: whether the model starts with the weights of another model.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        dataset: Dataset,
        config: TrainConfig,
        *,
        context: int = 0,
        seed: int = 0,
        device: str = "cpu",
        title: str = "",
        fine_tuned: bool = False,
    ) -> None:
        config = config.replace({"ema_decay": 0.0, "nonmono": 0})
        always = () if config.freeze_epochs else config.freeze
        freeze(model, always)
        train_mode(model, always)
        self.task = task
        self.dataset = dataset
        self.title = title
        self.fine_tuned = fine_tuned
        self.config = config
        precision = resolve(config.precision, device)
        self._state = TrainState.begin(
            model.to(device), config, precision=precision, device=device, context=context
        )
        epochs = (task.train_batches(dataset, config, seed=seed, epoch=n, device=device) for n in count())
        self._batches = chain.from_iterable(epochs)

    @property
    def steps(self) -> int:
        """The number of optimizer steps taken."""
        return self._state.steps

    def batch(self) -> Batch:
        """Return the next batch without a step."""
        return next(self._batches)

    def step(self, lr: float) -> float:
        """Take one optimizer step on `grad_accum_steps` batches; return their mean loss before the update.

        Raises Diverged if the loss, a gradient or a weight is not finite.
        """
        losses: list[float] = []
        for batch in self._batches:
            losses.append(float(train_step(self._state, self.task, batch, self.config, lr)))
            if completes_step(batch, self.config):
                break
        return fmean(losses)
