"""A trained model in a form that can be exported: its inputs and outputs are tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import OptionError, SpecError, WeightsError
from zoo.files.cards import Card
from zoo.files.exported import FEATURES, Port, Signature, metadata_of
from zoo.interfaces import CarriesState, Exportable, State, Task
from zoo.models.features import features_of, pooled
from zoo.models.states import tensors_of, with_tensors
from zoo.processors import TakesItems
from zoo.tools.export.traced_program import trace

# The outputs with the class activation maps of each image, and with the feature maps that they are sums of
CLASS_MAPS, FEATURE_MAPS = "class_maps", "feature_maps"

_HINT = "use the original weights with `zoo predict` and `zoo sample`"


@torch.no_grad()
def exportable(
    model: nn.Module,
    card: Card,
    task: Task,
    *,
    landmarks: Mapping[str, str],
    context: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Exportable:
    """Return a copy of a model for an exporter.

    - If all items of the task have the same shape, the copy maps items, as in a split, to `logits` and their
      `probabilities`, or to `outputs` if the model predicts numbers.
    - If the task is stateful, the copy maps one token of each text in the batch and the state to logits
      and the next state, because `torch.export` cannot export a recurrent network for texts of any length.

    If the model has features, the next output is `features`, a vector for each item or text. If a linear
    layer is applied to the mean of feature maps, the last outputs are `class_maps` (B, classes, h, w), the
    feature maps weighted by the layer's row for each class, and `feature_maps` (B, F, h, w).

    Args:
        landmarks: paths of submodules, as for `features_of`; if empty, there are no features. `mean_head`,
            the path of the linear layer, adds class maps.
        context: maximum number of tokens that the model reads from an empty state; 0 for no limit.
        options: options of the exporter, which the metadata records.

    Raises WeightsError if the task supports neither form, or if the model's state cannot be an input.
    """
    require_form(task, context)
    model = copy.deepcopy(model).cpu().float().eval()
    if isinstance(task, CarriesState):
        module, inputs, state, axes = _step(model, card, landmarks)
    else:
        assert isinstance(task.processor, TakesItems)
        module = _Prepared(model, task, card.preprocess, landmarks)
        item = torch.from_numpy(task.processor.item(card.arguments))
        inputs, state, axes = {"inputs": torch.stack([item, item])}, {}, {"inputs": 0}
    try:
        outputs = module(*inputs.values())
    except OptionError:  # what is at the place is no vector for each item
        module.landmarks = {}
        outputs = module(*inputs.values())
    names = module.output_names(state)
    if not all(isinstance(output, Tensor) for output in outputs):
        raise WeightsError("the model cannot be exported: it does not return a tensor", hint=_HINT)
    axes |= {after: axes[before] for before, after in state.items()}
    signature = Signature(
        inputs=tuple(_port(name, tensor, axes[name]) for name, tensor in inputs.items()),
        outputs=tuple(
            _port(name, output, axes.get(name, 0)) for name, output in zip(names, outputs, strict=True)
        ),
        state=state,
    )
    return Exportable(
        module=module,
        inputs=inputs,
        signature=signature,
        metadata=metadata_of(card, signature, options or {}),
        trace=partial(trace, module, inputs, signature),
    )


def require_form(task: Task, context: int) -> None:
    """Raise WeightsError if models for a task, or with a limited `context`, cannot be exported."""
    if context:
        what = f"its context is limited to {context:,} tokens, so it must reread recent tokens, "
        what += "but an exported model reads each token only once"
        raise WeightsError(f"the model cannot be exported: {what}", hint=_HINT)
    if not isinstance(task, CarriesState) and not isinstance(task.processor, TakesItems):
        hint = "the task's processor must implement zoo.plugin.TakesItems"
        raise WeightsError(
            f"models for {task.name} cannot be exported: the task does not implement export", hint=hint
        )


class _Program(nn.Module):
    """A model whose inputs and outputs are tensors; the last outputs are its features and maps.

    Attributes:
        landmarks: location of the features; empty for none.
        mean_head: path of the linear layer that reads the mean of feature maps; empty for none.
    """

    time_first = False

    def __init__(self, model: nn.Module, landmarks: Mapping[str, str]) -> None:
        super().__init__()
        self.model = model
        self.landmarks = {name: landmarks[name] for name in landmarks if name in ("features", "head")}
        self.mean_head = landmarks.get("mean_head", "")
        self.eval()

    def run(self, *inputs: object) -> tuple[Any, tuple[Tensor, ...]]:
        """Return the outputs of the model, and its features and maps if it has any."""
        if not self.landmarks:
            return self.model(*inputs), ()
        with features_of(self.model, self.landmarks, time_first=self.time_first) as features:
            outputs = self.model(*inputs)
        # Checked when it is first run, not while it is traced: then the batch has a symbol for its size
        found: Any = features.found if torch.compiler.is_exporting() else features.output
        if self.time_first:
            return outputs, (found[-1].float(),)
        if not self.mean_head or found.ndim != 4:
            self.mean_head = ""  # it reads the mean of something else than maps
            return outputs, (pooled(found),)
        head: Any = self.model.get_submodule(self.mean_head)
        maps = found.float()
        return outputs, (pooled(found), F.conv2d(maps, head.weight[:, :, None, None]), maps)

    def output_names(self, state: Mapping[str, str]) -> list[str]:
        maps = [CLASS_MAPS, FEATURE_MAPS] if self.mean_head else []
        return [FEATURES, *maps] if self.landmarks else []


class _Prepared(_Program):
    """A model that prepares its inputs, and also returns the probabilities of its classes."""

    def __init__(
        self, model: nn.Module, task: Task, preprocess: Mapping[str, Any], landmarks: Mapping[str, str]
    ) -> None:
        super().__init__(model, landmarks)
        self._task = task
        self._preprocess = preprocess

    def forward(self, items: Tensor) -> tuple[Any, ...]:
        outputs, features = self.run(self._task.prepare(items, self._preprocess))
        if self._task.spec.labels is None or not isinstance(outputs, Tensor):
            return outputs, *features
        return outputs.float(), self._task.probabilities(outputs.float()), *features

    def output_names(self, state: Mapping[str, str]) -> list[str]:
        answers = ["outputs"] if self._task.spec.labels is None else ["logits", "probabilities"]
        return answers + super().output_names(state)


class _Step(_Program):
    """A language model that reads one token of each text in a batch, with its state as a list of tensors."""

    time_first = True

    def __init__(self, model: nn.Module, state: State, landmarks: Mapping[str, str]) -> None:
        super().__init__(model, landmarks)
        self._state = state

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        outputs, features = self.run(tokens[None], with_tensors(self._state, iter(state)))
        logits, following, *_ = outputs
        return logits[-1].float(), *tensors_of(following).values(), *features

    def output_names(self, state: Mapping[str, str]) -> list[str]:
        return ["logits", *state.values(), *super().output_names(state)]


def _step(
    model: nn.Module, card: Card, landmarks: Mapping[str, str]
) -> tuple[_Step, dict[str, Tensor], dict[str, str], dict[str, int | None]]:
    """Return a step of a model, its inputs, the output of each part of the state, and the batch axes.

    Raises WeightsError unless the state consists of tensors that keep their shape from step to step.
    """
    tokens = torch.zeros(2, dtype=torch.int64)
    try:
        _, state, *_ = model(tokens[None], None)
        _, following, *_ = model(tokens[None], state)
        _, wider, *_ = model(torch.zeros(1, 3, dtype=torch.int64), None)
    except RuntimeError as error:
        raise SpecError(f"{card.architecture} cannot process one token at a time: {error}") from None
    parts, after, lanes = tensors_of(state), tensors_of(following), tensors_of(wider)
    shapes = [{name: (part.shape, part.dtype) for name, part in each.items()} for each in (parts, after)]
    if (
        shapes[0] != shapes[1]
        or [*map(_rank, parts.items())] != [*map(_rank, lanes.items())]
        or _rest(state) != _rest(following)
    ):
        what = "its hidden state must consist of tensors whose shapes do not change between tokens"
        raise WeightsError(f"the model cannot be exported: {what}", hint=_HINT)
    axes: dict[str, int | None] = {"tokens": 0}
    for name, part in parts.items():
        pairs = enumerate(zip(part.shape, lanes[name].shape, strict=True))
        axes[name] = next((n for n, (two, three) in pairs if two != three), None)
    return (
        _Step(model, state, landmarks),
        {"tokens": tokens, **{name: part.contiguous() for name, part in parts.items()}},
        {name: f"next_{name}" for name in parts},
        axes,
    )


def _rank(part: tuple[str, Tensor]) -> tuple[str, int]:
    return part[0], part[1].ndim


def _rest(state: State) -> str:
    """Return the parts of a state that are not tensors."""
    return repr(with_tensors(state, iter([torch.zeros(())] * len(tensors_of(state)))))


def _port(name: str, tensor: Tensor, axis: int | None) -> Port:
    shape = tuple(None if n == axis else size for n, size in enumerate(tensor.shape))
    return Port(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=shape)  # pyright: ignore[reportArgumentType]
