"""Language modeling: predict each token from the preceding tokens."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import DataError, TrainConfig, seed_for
from zoo.interfaces import Batch, Dataset, Split, State, Step, Task
from zoo.plugin import Card, View, Vocabulary, moved, text_metrics
from zoo_text.batching import batch_text, cut_lanes, longest_batch
from zoo_text.encoding import token_dtype
from zoo_text.fields import TextFields
from zoo_text.reread import TOKENS, Reread

# Tokens that are renumbered at a time
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class EvaluationBatch(Batch):
    """A batch of an evaluation, with the number of characters of each token of the vocabulary, (V,)."""

    lengths: Tensor | None = None


class LanguageModeling(Task):
    """Predict each token from all preceding tokens, or from those of a window or section.

    Attributes:
        text: how the text of an evaluation is cut.
    """

    text = TextFields()

    @property
    def context(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The length of windows or sections; 0 if the hidden state is carried over."""
        return 0 if self.text.batching == "stateful" else self.text.bptt

    def as_trained(self, training: Mapping[str, Any]) -> Self:
        """Return the task with an evaluation that cuts the text in the way in which training does."""
        names = [field.name for field in fields(TextFields) if field.name in training]
        return self._cutting(TextFields(**{name: training[name] for name in names}))

    def with_context(self, context: int) -> Self:
        """Return the task with an evaluation in windows of `context` tokens; 0 carries the hidden state."""
        return self._cutting(TextFields(batching="windows", bptt=context) if context else TextFields())

    def _cutting(self, text: TextFields) -> Self:
        other = copy.copy(self)
        other.text = text
        return other

    def reader(self, model: nn.Module) -> nn.Module:
        """Return a model that predicts each token from `context` tokens, unless the state is carried over."""
        return Reread(model, self.context) if self.context else model

    def example(self, dims: Mapping[str, int]) -> Tensor:
        """Return one token, (1, 1)."""
        return torch.zeros(1, 1, dtype=torch.int64)

    def reading(self, card: Card, dataset: Dataset) -> dict[str, Any]:
        """Return the model's text options that differ from the dataset's."""
        ours, theirs = (Vocabulary(source.preprocess).options() for source in (card, dataset))
        return {name: value for name, value in ours.items() if value != theirs[name]}

    def data_options(self, card: Card) -> dict[str, Any]:
        """Return the options that split text into tokens; the vocabulary comes from the new text."""
        options = Vocabulary(card.preprocess).options()
        return {name: value for name, value in options.items() if name != "vocabulary"}

    def feed(self, dataset: Dataset, card: Card) -> Dataset:
        """Return the text with its tokens mapped to the card's vocabulary; unknown tokens become `<unk>`.

        Raises DataError if the kind of tokens or the reading direction differs from the card's.
        """
        ours, theirs = Vocabulary(card.preprocess), Vocabulary(dataset.preprocess)
        if _token_order(ours) != _token_order(theirs):
            message = f"the model reads {_token_order(ours)}, but the data has {_token_order(theirs)}"
            raise DataError(message, hint=f"the model was trained on {card.dataset.name}")
        table = None
        if ours.texts != theirs.texts:
            texts = [text.lower() if ours.lower else text for text in theirs.texts]
            numbers = [ours.number(text) for text in texts]
            table = torch.tensor(numbers, dtype=token_dtype(len(ours)))
        return View(
            dims={"vocab_size": len(ours)},
            preprocess=card.preprocess,
            split=lambda name: (
                dataset.split(name) if table is None else _renumbered(dataset.split(name), table)
            ),
            fingerprint=dataset.fingerprint,
        )

    def train_batches(
        self,
        dataset: Dataset,
        config: TrainConfig,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: str = "cpu",
    ) -> Iterator[Batch]:
        """Yield (T, B) batches, split according to `batching`; each process reads its own part."""
        batches = batch_text(
            dataset.split("train"),
            config,
            seed=seed,
            epoch=epoch,
            start=start,
            rank=rank,
            world_size=world_size,
        )
        preprocess = dataset.preprocess
        for batch in batches:
            inputs, targets = _column(batch.inputs, device), _column(batch.targets, device)
            step_seed = seed_for(seed, "step", epoch, batch.index, rank)
            place = (batch.index, batch.total, step_seed, batch.fresh, batch.share)
            yield Batch(inputs, targets, *place, preprocess=preprocess)

    def within(self, config: TrainConfig, context: int) -> dict[str, Any]:
        """Return the options that limit batches to `context` tokens; empty if no batch can be longer."""
        text = config.group("text", TextFields)
        steady = {"bptt_jitter": False} if text.bptt_jitter else {}
        return {"bptt": min(context, text.bptt), **steady} if longest_batch(text) > context else {}

    def batches_of(
        self, items: Any, preprocess: Mapping[str, Any], *, device: str = "cpu"
    ) -> Iterator[Batch]:
        """Yield a text in 16 parallel streams, so that metrics do not depend on `batch_size`.

        With windows, the tokens of the first window are not predicted, since each prediction has the same
        context. With sections, each starts from a state of zeros.
        """
        if self.context and len(items) > 1:
            batches = self._pieces(items, device)
        else:
            batches = self.lane_batches(items, lanes=16, steps=128, device=device)
        characters = preprocess.get("tokens", "char") == "char"
        lengths = None if characters else moved(_lengths(Vocabulary(preprocess)), device)
        for each in batches:
            place = (each.index, each.total, each.seed, each.fresh)
            yield EvaluationBatch(each.inputs, each.targets, *place, preprocess=preprocess, lengths=lengths)

    def _pieces(self, tokens: Tensor, device: str) -> Iterator[Batch]:
        """Yield a text in windows or sections, in text order; a short last section is a batch of its own.

        Raises DataError if the text is too short for a window.
        """
        length, rest = self.context, list[tuple[Tensor, Tensor]]()
        if self.text.batching == "windows":
            if len(tokens) <= length:
                message = f"the text has {len(tokens):,} tokens, too few for a context of {length:,}"
                raise DataError(message, hint="use a longer text, or a shorter context")
            inputs, targets = tokens[:-1].unfold(0, length, 1), tokens[length:, None]
        else:
            length = min(length, len(tokens) - 1)
            inputs, targets = cut_lanes(tokens, (len(tokens) - 1) // length, length)
            last = tokens[inputs.numel() :]
            rest = [(last[None, :-1], last[None, 1:])] if len(last) > 1 else []
        size = max(1, TOKENS // length)
        parts = [*zip(inputs.split(size), targets.split(size), strict=True), *rest]
        for index, (x, y) in enumerate(parts):
            yield Batch(_column(x, device), _column(y, device), index, len(parts), 0, fresh=True)

    def lane_batches(self, items: Any, *, lanes: int, steps: int, device: str = "cpu") -> Iterator[Batch]:
        """Yield the batches of a text, in which every token except the first is predicted once.

        The remainder is read as a separate, short stream from a state of zeros.
        """
        tokens: Tensor = items
        if len(tokens) == 0:
            return
        if len(tokens) < 2:
            raise DataError("the text must have at least 2 tokens (got 1)")
        lanes = min(lanes, len(tokens) - 1)
        inputs, targets = cut_lanes(tokens, lanes, (len(tokens) - 1) // lanes)
        spare = tokens[inputs.numel() :]  # at least the last target
        starts = range(0, inputs.shape[1], steps)
        parts = ((inputs[:, start : start + steps], targets[:, start : start + steps]) for start in starts)
        rest = [(spare[None, :-1], spare[None, 1:])] if len(spare) > 1 else []
        total = len(starts) + len(rest)
        for index, (x, y) in enumerate(chain(parts, rest)):
            fresh = index in (0, len(starts))
            yield Batch(_column(x, device), _column(y, device), index, total, 0, fresh)

    def step(
        self, model: nn.Module, batch: Batch, state: State = None, *, config: TrainConfig | None = None
    ) -> Step:
        """Return the cross-entropy in nats per token, and the hidden state for the next batch.

        Targets (T', B) with fewer time steps than the inputs belong to the last T' positions. A penalty that
        the model returns is part of the loss for `backward()`, but not of the metrics.
        """
        logits, state, *penalty = model(batch.inputs, None if batch.fresh else state)  # (T, B, V)
        logits = logits[-len(batch.targets) :]
        flat, targets = logits.flatten(0, 1).float(), batch.targets.flatten()
        loss = F.cross_entropy(flat, targets)
        count = batch.targets.numel()
        sums = {"loss": loss.detach() * count}
        if not model.training:
            losses = partial(F.cross_entropy, flat.detach(), targets, reduction="none")
            lengths: dict[str, Tensor] = {}
            if isinstance(batch, EvaluationBatch) and batch.lengths is not None:
                lengths["characters"] = batch.lengths[batch.targets]  # (T, B)
                sums["characters"] = lengths["characters"].sum()

            def items() -> dict[str, Tensor]:
                return {"loss": losses().view_as(batch.targets), **lengths}

            return Step(loss, sums, count, state, items=items)
        if not penalty:
            return Step(loss, sums, count, state)
        return Step(loss + penalty[0], sums, count, state, torch.as_tensor(penalty[0]).detach())

    def counts(self, dataset: Dataset, split: Split) -> dict[str, int]:
        """Return the number of tokens, and the number of `<unk>` tokens among them."""
        tokens = dataset.split(split)
        unknown = len(tokens) - int(tokens.count_nonzero()) if dataset.preprocess["specials"] else 0
        return {"tokens": len(tokens), "unknown": unknown}

    def baseline(self, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return the loss of a uniform distribution over the V tokens, ln V."""
        return {"loss": math.log(len(preprocess["vocabulary"]))}

    def metrics(self, sums: Mapping[str, Any], count: int, preprocess: Mapping[str, Any]) -> dict[str, float]:
        """Return the loss in nats and in bits per token (`bits_per_char` for characters), and perplexity.

        An evaluation of tokens other than characters adds `nats_per_char`, the loss of the text divided by
        its number of characters, so that models with different tokens can be compared. Special tokens, such
        as `<unk>`, count as one character.
        """
        per_char = {"nats_per_char": sums["loss"] / sums["characters"]} if "characters" in sums else {}
        return text_metrics(sums["loss"] / count, preprocess) | per_char


def _lengths(vocabulary: Vocabulary) -> Tensor:
    """Return the number of characters of each token, (V,); 1 for special tokens."""
    return torch.tensor(
        [len(text) if n >= vocabulary.specials else 1 for n, text in enumerate(vocabulary.texts)],
        dtype=torch.float32,
    )


def _token_order(vocabulary: Vocabulary) -> str:
    return f"{vocabulary.kind} tokens in {'reverse' if vocabulary.backwards else 'text'} order"


def _renumbered(tokens: Tensor, table: Tensor) -> Tensor:
    """Return `table[token]` for each token, (N,), block by block, since an index takes 8 bytes per token."""
    numbers = torch.empty(len(tokens), dtype=table.dtype)
    for start in range(0, len(tokens), _BLOCK):
        numbers[start : start + _BLOCK] = table[tokens[start : start + _BLOCK].long()]
    return numbers


def _column(lanes: Tensor, device: str) -> Tensor:
    """Return streams (B, T) of a small integer type as (T, B) int64 on the device."""
    return moved(lanes.T, device, torch.int64)
