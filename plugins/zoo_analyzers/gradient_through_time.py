"""How the gradient of a recurrent network vanishes or explodes on its way back through time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, State, Subject
from zoo.plugin import detach, style, untouched
from zoo_analyzers.nested import tensors_in
from zoo_analyzers.plots import gradient_plot


class GradientThroughTime(Analyzer):
    """The norm of the gradient of a prediction's loss with respect to the hidden states before it.

    In training, a token can only change what a network remembers as far back as this gradient reaches.

    Args:
        steps: how far back to follow the gradient, in tokens; less in a shorter text.
        sequences: number of predictions to average over; all of a batch's streams count.

    Source: Bengio, Simard & Frasconi 1994, "Learning Long-Term Dependencies with Gradient Descent is
        Difficult"; Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063.
    """

    def __init__(
        self, *, steps: Annotated[int, Meta(ge=2, le=500)] = 60, sequences: Annotated[int, Meta(ge=1)] = 256
    ) -> None:
        self.steps = steps
        self.sequences = sequences

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `gradient`, `gradient.png` and the score `factor`.

        `norm` is the root mean square, over all sequences, of the norm of the gradient with respect to the
        state before the last `back` tokens were read; the state includes all layers and, in an LSTM, the cell
        states. `factor` is the mean factor by which a step back changes the norm (geometric mean).

        Raises OptionError if the model does not carry a state, or the text has fewer than three tokens.
        """
        steps = min(self.steps, _longest(batches) - 1)
        if steps < 2:
            raise OptionError("the text must have at least three tokens")
        squares, count = torch.zeros(steps, dtype=torch.float64), 0
        # cuDNN computes gradients of recurrent layers in training mode only
        with untouched(model) as inner, torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            for gradients, streams in _gradients(inner, batches, steps):
                squares += gradients
                count += streams
                if count >= self.sequences:
                    break
        norms = (squares / count).sqrt().tolist()
        factor = (norms[-1] / norms[0]) ** (1 / (steps - 1)) if norms[0] else 0.0
        rows = [{"back": back, "norm": norm} for back, norm in enumerate(norms, 1)]
        printed = {1, 2, 4, 8, 16, 32, 64, 128, 256, steps}
        return Analysis(
            scores={"factor": factor},
            tables={"gradient": rows},
            details={"sequences": count},
            figures={"gradient.png": lambda: style.png(gradient_plot(norms, factor, title=subject.title))},
            text="\n".join(
                f"{row['back']:>3} back: {row['norm']:.2g}" for row in rows if row["back"] in printed
            ),
        )


def _longest(batches: Iterable[Batch]) -> int:
    """Return the number of tokens in the longest stream that is read without a fresh state."""
    longest = length = 0
    for batch in batches:
        length = (0 if batch.fresh else length) + len(batch.inputs)
        longest = max(longest, length)
    return longest


def _gradients(model: nn.Module, batches: Iterable[Batch], steps: int) -> Iterator[tuple[Tensor, int]]:
    """Yield the squared norms of the gradients (steps,), summed over the streams, and their number.

    The model reads one token at a time, so that each state is a tensor of its own. Then the graph is cut.
    """
    state: State = None
    states: list[list[Tensor]] = []
    for batch in batches:
        if batch.fresh:
            state, states = None, []
        for tokens, targets in zip(batch.inputs, batch.targets, strict=True):  # (B,), one time step
            before = [leaf for leaf in tensors_in(state) if leaf.requires_grad]  # none after a cut
            logits, state, *_ = model(tokens[None], state)
            if not any(leaf.requires_grad for leaf in tensors_in(state)):
                raise OptionError("this model does not carry a hidden state from token to token")
            if before:
                states.append(before)
            if len(states) < steps:
                continue
            loss = F.cross_entropy(logits[-1].float(), targets, reduction="sum")
            leaves = [leaf for each in states for leaf in each]
            found = torch.autograd.grad(loss, leaves, materialize_grads=True)
            squares = torch.stack([gradient.double().square().sum() for gradient in found]).cpu()
            yield squares.view(steps, -1).sum(1).flip(0), len(tokens)
            state, states = detach(state), []
