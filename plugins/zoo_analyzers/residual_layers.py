"""How much each residual layer adds to its input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.plugin import SpecError, receiving, style, untouched, watching
from zoo_analyzers.nested import tensors_in
from zoo_analyzers.plots import residual_plot

_ADDITIONS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__)


class ResidualLayers(Analyzer):
    """The size of f(x) beside that of x in each residual layer, which computes x + f(x).

    The summand that has passed through more layers with weights is f(x); the other one is x, possibly
    shortened or projected to the shape of f(x).

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv 1512.03385, section 4.2.
    """

    def analyze(self, model: nn.Module, batches: Iterable[Batch], *, subject: Subject) -> Analysis:
        """Return the table `layers`, in the order of execution, and `residual-layers.png`.

        `x` and `f` are the root mean squares of the summands over all inputs, and `ratio` is f / x. The
        score is the mean ratio.

        Raises SpecError if the model has no residual layers.
        """
        with untouched(model) as inner, torch.no_grad():
            additions = _Additions()
            modules = dict(inner.named_modules())
            with receiving(modules, additions.enter), watching(modules, additions.leave), additions:
                for batch in batches:
                    additions.begin()
                    inner(batch.inputs)
        rows: list[dict[str, Any]] = [
            {
                "layer": name,
                "x": (x / count) ** 0.5,
                "f": (f / count) ** 0.5,
                "ratio": (f / max(x, 1e-30)) ** 0.5,
            }
            for name, (x, f, count) in additions.sums.items()
        ]
        if not rows:
            raise SpecError(
                "this model has no residual layers: it adds no two tensors of the same shape, of which one "
                "has passed through more layers with weights"
            )
        return Analysis(
            scores={"ratio": sum(row["ratio"] for row in rows) / len(rows)},
            tables={"layers": rows},
            figures={"residual-layers.png": lambda: style.png(residual_plot(rows, title=subject.title))},
        )


class _Additions(TorchFunctionMode):
    """Measures both summands of each addition of activations in the `with` block.

    Attributes:
        sums: by the name of the module that adds, the sums of squares of x and of f(x), and the count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, tuple[float, float, int]] = {}
        self._running: list[str] = []
        self._added: Counter[str] = Counter()
        self._depths = WeakTensorKeyDictionary()  # how many layers with weights a tensor has passed through

    def begin(self) -> None:
        """Begin a forward pass."""
        self._running.clear()
        self._added.clear()

    def enter(self, name: str, _: object) -> None:
        self._running.append(name)

    def leave(self, name: str, _: object) -> None:
        while self._running and self._running.pop() != name:
            pass

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        tensors = [*tensors_in((args, kwargs))]
        depths = [int(self._depths.get(tensor) or 0) for tensor in tensors]
        if func in _ADDITIONS and len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
            self._add(tensors, depths, alpha=(kwargs or {}).get("alpha", 1))
        output = func(*args, **(kwargs or {}))
        weighted = any(isinstance(tensor, nn.Parameter) for tensor in tensors)
        for tensor in tensors_in(output):
            self._depths[tensor] = max(depths, default=0) + weighted
        return output

    def _add(self, tensors: list[Tensor], depths: list[int], *, alpha: float) -> None:
        """Measure two summands, unless neither has passed through more layers than the other.

        Args:
            alpha: factor of the second one, as in `torch.add`.
        """
        if depths[0] == depths[1] or any(isinstance(tensor, nn.Parameter) for tensor in tensors):
            return
        where = self._running[-1] if self._running else ""
        self._added[where] += 1
        name = where if self._added[where] == 1 else f"{where} ({self._added[where]})"
        squares = [float(tensor.double().square().sum()) for tensor in tensors]
        squares[1] *= alpha**2
        x, f = (squares[depths.index(each)] for each in sorted(depths))
        before = self.sums.get(name, (0.0, 0.0, 0))
        self.sums[name] = (before[0] + x, before[1] + f, before[2] + tensors[0].numel())
