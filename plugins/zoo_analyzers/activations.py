"""Statistics of every layer's output: whether the signal fades or explodes, and which units are dead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zoo import OptionError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import style, untouched, watching
from zoo_analyzers.plots import activation_plot

# Units converted at a time, so that statistics take little more memory than the output itself
_UNITS = 64


class Activations(Analyzer):
    """Mean, standard deviation and dead units of each layer's output over all inputs, in evaluation mode.

    A unit is a channel of feature maps or a component of a vector. A unit is dead if its output is the same
    for every input and position, so it carries no information about the input.

    Source: the argument for BatchNorm in the fast.ai lesson; Ioffe & Szegedy 2015, arXiv 1502.03167, section
        1.
    """

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `layers`, in the order of execution, and `activations.png`.

        `dead` is the share of the layer's dead units, or None if each unit has a single value; the score
        `most_dead` is the highest share. A module that runs with different numbers of units has one row for
        each number.

        Raises OptionError if no layer outputs a tensor.
        """
        layers: dict[tuple[str, int], _Statistics] = {}

        def see(name: str, output: object) -> None:
            values = output[0] if isinstance(output, tuple) and output else output
            if isinstance(values, Tensor) and values.is_floating_point() and values.ndim > 1:
                units = values.shape[1 if values.ndim == 4 else -1]
                layers.setdefault((name, units), _Statistics()).add(values.detach())

        with untouched(model) as inner, torch.no_grad():
            modules = {name: module for name, module in inner.named_modules() if name and _is_layer(module)}
            with watching(modules, see):
                carried, state = False, None
                for batch in batches:
                    carried = carried or batch.fresh  # from the first batch on, or never
                    if carried:
                        _, state, *_ = inner(batch.inputs, None if batch.fresh else state)
                    else:
                        inner(batch.inputs)
        rows = [
            {"layer": name, "kind": type(modules[name]).__name__, **statistics.row()}
            for (name, _), statistics in layers.items()
        ]
        if not rows:
            raise OptionError("no layer of this model outputs a tensor")
        return Analysis(
            tables={"layers": rows},
            scores={"most_dead": max(statistics.dead or 0.0 for statistics in layers.values())},
            figures={"activations.png": lambda: style.png(activation_plot(rows, title=subject.title))},
        )


def _is_layer(module: nn.Module) -> bool:
    """Return whether a module has parameters or is a torch activation.

    Other modules, such as zero padding, may have constant units that are not dead.
    """
    if isinstance(module, nn.Sequential | nn.ModuleList):
        return False
    activation = type(module).__module__ == nn.ReLU.__module__
    return activation or any(True for _ in module.parameters())


class _Statistics:
    """Sums over the outputs of a layer."""

    def __init__(self) -> None:
        self.count = self.values_per_unit = 0
        self.sum = self.squares = 0.0
        self.low: Tensor | None = None
        self.high: Tensor | None = None

    def add(self, values: Tensor) -> None:
        units = 1 if values.ndim == 4 else values.ndim - 1
        lows: list[Tensor] = []
        highs: list[Tensor] = []
        for part in values.cpu().float().transpose(0, units).split(_UNITS):
            flat = part.flatten(1)  # (units, values per unit)
            self.sum += float(flat.sum(dtype=torch.float64))
            self.squares += float(flat.double().square().sum())
            lows.append(flat.amin(1))
            highs.append(flat.amax(1))
        low, high = torch.cat(lows), torch.cat(highs)
        self.count += values.numel()
        self.values_per_unit += values.numel() // len(low)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)

    @property
    def dead(self) -> float | None:
        """The share of units that are dead."""
        assert self.low is not None
        assert self.high is not None
        return float((self.low == self.high).float().mean()) if self.values_per_unit > 1 else None

    def row(self) -> dict[str, Any]:
        assert self.low is not None
        mean = self.sum / self.count
        variance = max(self.squares / self.count - mean**2, 0.0)
        return {"units": len(self.low), "mean": mean, "std": variance**0.5, "dead": self.dead}
