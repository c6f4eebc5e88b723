"""Types and ranges of the models' options, checked before a model is built."""

from typing import Annotated, Literal

from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Strength = Annotated[float, Meta(ge=0)]
Init = Literal["default", "identity"]
Nonlinearity = Literal["tanh", "relu"]
