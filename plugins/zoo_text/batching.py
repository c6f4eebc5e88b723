"""Three ways to batch a text, in the order in which the fast.ai lesson introduces them.

A text `a b c d e f g h i j k l m` and `bptt` 3::

    windows     abc -> d   bcd -> e   cde -> f ...     one prediction per window; a character is read 3 times
    sections    abc -> bcd   def -> efg   ghi -> hij   one prediction per position; a character is read once
    stateful    abc|def -> bcd|efg  with 2 streams: the same, but each batch continues from the state
                ghi|jkl -> hij|klm                     that the previous one ended with

Windows and sections are shuffled each epoch and start from a hidden state of zeros. Streams are read from
start to end; stopping the gradient at each border is truncated backpropagation through time (Williams & Peng
1990). All streams have the same length, so that a carried state always fits; up to `batch_size` - 1 tokens at
the end of the text are not used. Tokens after the last whole section are not used either. With
`random_offset`, streams and sections begin at a random one of the first `bptt` tokens in each epoch.

Source: fast.ai deep learning course, lesson 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo import DataError, OptionError, TrainConfig, seed_for
from zoo.plugin import part_of
from zoo_text.fields import TextFields

# With jitter a batch is about `bptt` tokens long, with this standard deviation; torch draws none beyond six
_DEVIATION = 5


@dataclass(frozen=True, slots=True)
class TextBatch:
    """A batch of text, batch dimension first.

    Attributes:
        inputs: (B, T).
        targets: (B, T), or (B, 1) if only the last position predicts.
        fresh: whether the hidden state starts from zeros.
        share: fraction of the whole batch that this process reads, in distributed training.
    """

    inputs: Tensor
    targets: Tensor
    index: int
    total: int
    fresh: bool
    share: float


def batch_text(
    tokens: Tensor,
    config: TrainConfig,
    *,
    seed: int,
    epoch: int,
    start: int,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[TextBatch]:
    """Yield the batches of an epoch of a text (N,), from batch `start` on, split according to `batching`.

    Raises DataError for a text that is too short for its streams or for `bptt`, and OptionError for varying
    lengths with `compile`.
    """
    text = config.group("text", TextFields)
    if config.compile and text.batching == "stateful" and text.bptt_jitter:
        # torch.compile gives up after eight lengths, which depend on where a run was resumed
        message = (
            "bptt_jitter=true cannot be combined with compile: the model would be recompiled for each length"
        )
        raise OptionError(message, hint="try --no-bptt-jitter")
    if len(tokens) < 2:
        raise DataError(f"the text must have at least 2 tokens (got {len(tokens)})")
    if len(tokens) <= text.bptt:
        message = f"the training split must be longer than bptt={text.bptt:,} tokens (got {len(tokens):,})"
        raise DataError(message, hint=f"use a longer text, or lower --bptt to {len(tokens) - 1}")
    if text.random_offset and text.batching != "windows":  # those begin at every token anyway
        room = len(tokens) - max(text.bptt, config.batch_size)  # enough must remain
        generator = torch.Generator().manual_seed(seed_for(seed, "offset", epoch))
        tokens = tokens[int(torch.randint(max(1, min(text.bptt, room)), (), generator=generator)) :]
    if text.batching == "stateful":
        return _stateful(tokens, config, seed_for(seed, "lengths", epoch), start, rank, world_size)
    if text.batching == "sections":
        inputs, targets = cut_lanes(tokens, (len(tokens) - 1) // text.bptt, text.bptt)
    else:
        inputs = tokens[:-1].unfold(0, text.bptt, 1)  # (N - bptt, bptt): a view
        targets = tokens[text.bptt :, None]
    generator = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
    chunks = torch.randperm(len(inputs), generator=generator).split(config.batch_size)
    return _shuffled(inputs, targets, chunks, start, rank, world_size)


def longest_batch(text: TextFields) -> int:
    """Return the maximum number of tokens of a stream in a batch."""
    return text.bptt + 6 * _DEVIATION * text.bptt_jitter


def cut_lanes(tokens: Tensor, count: int, length: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as (count, length) views of the start of the text, without copying."""
    used = count * length
    return tokens[:used].view(count, length), tokens[1 : used + 1].view(count, length)


def _stateful(
    tokens: Tensor, config: TrainConfig, seed: int, start: int, rank: int, world_size: int
) -> Iterator[TextBatch]:
    count = config.batch_size
    if count < world_size:
        raise DataError(
            f"batch_size={count} is too small for {world_size} processes: each needs at least one stream"
        )
    length = (len(tokens) - 1) // count
    if length < 1:
        fits = max(1, (len(tokens) - 1) // 2)
        hint = f"use a longer text, or lower --batch-size to {fits}"
        message = f"the training split has {len(tokens):,} tokens, too few for batch_size={count}"
        raise DataError(message, hint=hint)
    inputs, targets = cut_lanes(tokens, count, length)
    mine, share = part_of(count, rank=rank, world_size=world_size)
    borders = _borders(length, config.group("text", TextFields), seed)
    for index in range(start, len(borders) - 1):
        span = slice(borders[index], borders[index + 1])
        yield TextBatch(inputs[mine, span], targets[mine, span], index, len(borders) - 1, index == 0, share)


def _shuffled(
    inputs: Tensor, targets: Tensor, chunks: Sequence[Tensor], start: int, rank: int, world_size: int
) -> Iterator[TextBatch]:
    for index in range(start, len(chunks)):
        mine, share = part_of(len(chunks[index]), rank=rank, world_size=world_size)
        chosen = chunks[index][mine]
        yield TextBatch(inputs[chosen], targets[chosen], index, len(chunks), True, share)


def _borders(length: int, text: TextFields, seed: int) -> list[int]:
    """Return the positions where batches of a stream begin and end.

    With jitter, they are about `bptt` tokens apart, or half as far.

    Source: the loader of AWD-LSTM (Merity et al. 2018, section 5) and of the fast.ai lesson.
    """
    if not text.bptt_jitter:
        return [*range(0, length, text.bptt), length]
    generator = torch.Generator().manual_seed(seed)
    count = math.ceil(length / max(1, min(5, text.bptt)))
    middle = torch.where(torch.rand(count, generator=generator) < 0.95, 1.0, 0.5) * text.bptt
    lengths = (middle + _DEVIATION * torch.randn(count, generator=generator)).long()
    lengths = lengths.clamp(min=min(5, text.bptt))
    ends = lengths.cumsum(0)
    return [0, *ends[ends < length].tolist(), length]
