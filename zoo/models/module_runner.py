"""A runner for a module: in evaluation mode, in fp32 and without gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.errors import WeightsError
from zoo.files.cards import Card
from zoo.files.exported import FEATURES
from zoo.interfaces import State, make_task
from zoo.models.features import features_of, pooled
from zoo.models.hooks import MOST_BYTES, MOST_OF_ONE, TooLarge, evaluating, no_larger_outputs, untouched
from zoo.models.landmarks import all_landmarks, feature_landmarks, layer_path
from zoo.models.recurrent import SingleSteps
from zoo.models.runners import Arrays, Runner, Step, Tokens
from zoo.models.windows import windowed
from zoo.registry.registry import Registry


class ModuleRunner(Runner):
    """Runs a module without changing it.

    Args:
        prepare: function that prepares items (B, ...) for the module.
        landmarks: paths of submodules by landmark.
        main_output: the name of the module's output.
        context: maximum number of tokens that the module reads from an empty state; 0 for no limit. See
            `zoo.models.windows`.
        architecture: name of the architecture with these landmarks, for messages.
        reader: `Task.reader`.
    """

    exported = False

    def __init__(
        self,
        module: nn.Module,
        *,
        prepare: Callable[[Tensor], Tensor] = lambda items: items,
        landmarks: Mapping[str, str] = {},
        main_output: str = "logits",
        context: int = 0,
        device: str = "cpu",
        architecture: str = "the model",
        reader: Callable[[nn.Module], nn.Module] = lambda module: module,
    ) -> None:
        self._module = module
        self._prepare = prepare
        self._landmarks = landmarks
        self._architecture = architecture
        self._reader = reader
        self._features: Mapping[str, str] = {}
        self._pool = True
        self.main_output = main_output
        self.context = context
        self.device = device

    @property
    def module(self) -> nn.Module:
        """The module."""
        return self._module

    def with_features(self, layer: str, *, pool: bool) -> ModuleRunner:
        """Return a runner whose outputs include the features of a layer.

        Raises:
            OptionError: the model has no such layer or, for `features`, has neither this landmark nor a head.
            SpecError: a landmark of its architecture does not exist.
        """
        landmarks = all_landmarks(self._landmarks, self._module)
        found = layer == FEATURES and feature_landmarks(self._module, landmarks, self._architecture)
        other = copy.copy(self)
        other._features = found or {FEATURES: layer_path(layer, landmarks, self._module)}
        other._pool = pool
        return other

    @torch.inference_mode()
    def run(self, items: NDArray[Any]) -> Arrays:
        """Return the outputs for a batch of items; a batch that is too large is split in half.

        Raises WeightsError if the model needs too much memory for a single item.
        """
        with self._lent() as model:
            tensors = torch.from_numpy(np.ascontiguousarray(items)).to(self.device)
            inputs = self._prepare(tensors)
            outputs = self._in_halves(model, inputs)
        names = (self.main_output, FEATURES)
        return {name: output.float().cpu().numpy() for name, output in zip(names, outputs, strict=False)}

    @contextmanager
    def reading(self, *, trusted: bool = False) -> Generator[Step]:
        """Yield a function that runs one step, with gradients disabled only while the step runs."""
        with ExitStack() as stack:
            inner = stack.enter_context(self._lent())
            if not trusted:
                stack.enter_context(no_larger_outputs(inner, MOST_OF_ONE))
            both = _WithFeatures(inner, self._features) if self._features else None
            model = self._reader(windowed(both or inner, self.context))
            single, first = SingleSteps(), True

            @torch.inference_mode()
            def step(tokens: Tokens, state: State) -> tuple[Arrays, State]:
                nonlocal first
                try:
                    with single if first or single.found else nullcontext():
                        answers, state, *_ = model(torch.from_numpy(tokens).to(self.device), state)
                except TooLarge as error:
                    raise _too_large(error) from None
                first = False
                found = answers.float().cpu().numpy()  # (T, B, V), or (T, B, V + F)
                if both is None:
                    return {self.main_output: found}, state
                return {self.main_output: found[..., : both.width], FEATURES: found[..., both.width :]}, state

            yield step

    @contextmanager
    def _lent(self) -> Generator[nn.Module]:
        """Yield the module in evaluation mode.

        Features are read without the module's wrappers, which do not call hooks.
        """
        if self._features:
            with untouched(self._module) as inner:
                yield inner
        else:
            with evaluating(self._module):
                yield self._module

    def _in_halves(self, model: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
        half = len(inputs) // 2
        try:
            with no_larger_outputs(model, MOST_BYTES if half else MOST_OF_ONE):
                return self._forward(model, inputs)
        except TooLarge as error:
            if not half:
                raise _too_large(error) from None
        pairs = zip(self._in_halves(model, inputs[:half]), self._in_halves(model, inputs[half:]), strict=True)
        return tuple(map(torch.cat, pairs))

    def _forward(self, model: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the module's output, and the features if there are any."""
        if not self._features:
            return (_tensor(model(inputs)),)
        with features_of(model, self._features) as features:
            answers = _tensor(model(inputs))
        return answers, pooled(features.output) if self._pool else features.output


def runner_of(module: nn.Module, card: Card, registry: Registry, *, device: str = "cpu") -> ModuleRunner:
    """Return a runner for a module, as its card specifies. Raises UnknownName."""
    task, entry = make_task(registry, card.task), registry.architecture(card.architecture)
    return ModuleRunner(
        module,
        prepare=partial(task.prepare, preprocess=card.preprocess),
        landmarks={**entry.spec.landmarks},
        main_output="outputs" if task.spec.labels is None else "logits",
        context=entry.spec.context(card.arguments),
        device=device,
        architecture=entry.name,
        reader=task.as_trained(card.training).reader,
    )


class _WithFeatures(nn.Module):
    """A language model that returns its logits and features as one array, so that windows can cut it.

    Attributes:
        width: number of logits in the array.
    """

    def __init__(self, model: nn.Module, landmarks: Mapping[str, str]) -> None:
        super().__init__()
        self.model = model
        self.width = 0
        self._landmarks = landmarks

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Map tokens (T, B) and a state to logits with features, (T, B, V + F), and the next state."""
        with features_of(self.model, self._landmarks, time_first=True) as features:
            logits, state, *_ = self.model(tokens, state)
        self.width = logits.shape[-1]
        return torch.cat([logits.float(), features.output.float()], -1), state


def _tensor(outputs: object) -> Tensor:
    """Return a module's output. Raises WeightsError if it is not a tensor."""
    if not isinstance(outputs, Tensor):
        what = f"a {type(outputs).__name__}, not a tensor"
        raise WeightsError(f"the model cannot be used: it returns {what}")
    return outputs


def _too_large(error: TooLarge) -> WeightsError:
    return WeightsError(f"the model cannot be used: one layer's output needs {error}")
