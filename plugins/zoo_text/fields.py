"""Training options for text. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from zoo.plugin import option, options


@dataclass(frozen=True, kw_only=True)
class TextFields:
    """Training options for text."""

    batching: Literal["stateful", "sections", "windows"] = option(
        "stateful",
        "how text is divided into batches: parallel streams with a hidden state that carries over from step "
        "to step (`stateful`), disjoint `sections`, or overlapping `windows` with one target token each.",
        inherited=True,
        on_resume="restarts-epoch",
    )
    bptt: Annotated[int, Meta(ge=1, le=1_000_000_000)] = option(
        64,
        "number of tokens per step, section or window: the length of backpropagation through time.",
        inherited=True,
        on_resume="restarts-epoch",
    )
    bptt_jitter: bool = option(
        False,
        "vary the number of tokens per step around `bptt`, so that step boundaries differ between epochs "
        "(`stateful` only).",
        inherited=True,
        on_resume="restarts-epoch",
    )
    random_offset: bool = option(
        False,
        "begin each epoch at a random one of the first `bptt` tokens, so that step boundaries differ between "
        "epochs while all steps have the same length (not for `windows`, which begin at every token).",
        inherited=True,
        on_resume="restarts-epoch",
    )

    def __post_init__(self) -> None:
        options.validate(self)
