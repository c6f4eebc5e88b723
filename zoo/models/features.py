"""The features of a model: its representation of an input, just before the head.

    with untouched(model) as inner, features_of(inner, subject.landmarks) as features:
        logits = inner(images)
    pooled(features.output)  # (B, F)

Features can be used to search for similar inputs, to cluster inputs, or to train a small classifier.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping

from torch import Tensor, nn

from zoo.errors import OptionError
from zoo.models.hooks import receiving, watching


class CapturedFeatures:
    """The features of the last batch that a model read.

    Args:
        place: description of where the features are, for messages.
        time_first: whether the model reads sequences, (T, B).

    Attributes:
        inputs: the batch.
        found: the value found at that place.
    """

    def __init__(self, place: str, *, time_first: bool = False) -> None:
        self.place = place
        self.time_first = time_first
        self.inputs: object = None
        self.found: object = None

    @property
    def output(self) -> Tensor:
        """The features: a vector or maps for each item, (B, F, ...), or a vector for each token, (T, B, F).

        Raises OptionError if the layer returns anything else.
        """
        found, inputs = self.found, self.inputs
        if not isinstance(found, Tensor) or not isinstance(inputs, Tensor) or not found.is_floating_point():
            what = "nothing, because it did not run" if found is None else f"a {type(found).__name__}"
            raise OptionError(f"{self.place} must return features (got {what})")
        items = inputs.shape[: 1 + self.time_first]
        if found.shape[: len(items)] != items or found.ndim == len(items):
            shapes = f"shape {tuple(found.shape)} for inputs of shape {tuple(inputs.shape)}"
            hint = "choose a layer that runs once and returns a vector or feature maps for each input"
            raise OptionError(f"{self.place} must return features (got {shapes})", hint=hint)
        return found


@contextlib.contextmanager
def features_of(
    model: nn.Module, landmarks: Mapping[str, str], *, time_first: bool = False
) -> Generator[CapturedFeatures]:
    """Store the features of each batch, detached, before the model can change them in place.

    The features are the output of the landmark `features` or, without this landmark, the input of the `head`.
    If a layer returns a tuple, as a GRU does, the features are the tuple's first element.

    Args:
        landmarks: paths of submodules, including one of these two.
        time_first: whether the model reads sequences, (T, B).
    """
    of_head = "features" not in landmarks
    path = landmarks["head" if of_head else "features"]
    features = CapturedFeatures(
        f"the input of layer {path}" if of_head else f"layer {path}", time_first=time_first
    )

    def read(_: str, inputs: object) -> None:
        features.inputs, features.found = inputs, None

    def keep(_: str, found: object) -> None:
        part: object = found[0] if isinstance(found, tuple) and found else found  # pyright: ignore[reportUnknownVariableType]
        features.found = part.detach().clone() if isinstance(part, Tensor) else part

    layer = {path: model.get_submodule(path)}
    with receiving({"": model}, read), (receiving if of_head else watching)(layer, keep):
        yield features


def pooled(features: Tensor) -> Tensor:
    """Return one vector for each item, (B, F) in fp32: the mean over all positions.

    Args:
        features: vectors (B, F), which are returned unchanged; sequences of them (B, N, F), such as the
            tokens of a Transformer; or feature maps (B, F, h, w).
    """
    features = features.float()
    if features.ndim == 3:
        return features.mean(1)
    return features.flatten(2).mean(2) if features.ndim > 3 else features
