"""A trained model as functions over arrays, computed by a module or an exported file. Torch-free."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.config.threads import chosen_threads, cores
from zoo.errors import OptionError, WeightsError, first_line
from zoo.files.exported import FEATURES, Port, Program, Signature

if TYPE_CHECKING:
    from torch import nn

Tokens = NDArray[np.int64]
Numbers = NDArray[np.floating[Any]]
Arrays = Mapping[str, NDArray[Any]]
# Maps tokens (T, B) and a state, None at first, to the outputs after each token, (T, B, ...), and the state
Step = Callable[[Tokens, Any], tuple[Arrays, Any]]

# Tokens that are read at a time, or more for a model that reads half of its window again each time
_STEPS = 128
# Bytes of state of all lanes together; a file of a few kB may claim any shape
_MOST_STATE = 1 << 30
# The most threads for one step of a language model, unless the user chooses
_STEP_THREADS = 4


class Runner(ABC):
    """A trained model as functions over arrays. Several threads may use it at once.

    Attributes:
        main_output: the output that becomes predictions: `logits`, or `outputs` of a model that predicts
            numbers.
        device: the device on which it computes.
        exported: whether it runs an exported file, which has no module.
        context: maximum number of tokens that the model reads from an empty state; 0 for no limit.
    """

    main_output: str
    device: str
    exported: bool
    context: int = 0

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The module. Raises WeightsError for an exported file, which has no module."""

    @abstractmethod
    def run(self, items: NDArray[Any]) -> Arrays:
        """Return the outputs for a batch of items, (B, ...), as in a split of data.

        Raises WeightsError if the model cannot compute them.
        """

    @abstractmethod
    def reading(self, *, trusted: bool = False) -> AbstractContextManager[Step]:
        """Return a context manager that yields a step function of a language model, for its `with` block.

        Args:
            trusted: whether a layer may use any amount of memory, so that steps do not check the amount.
        """

    def read(self, tokens: Tokens) -> Iterator[Arrays]:
        """Yield the outputs after each token of a sequence (N,), in chunks (T, ...)."""
        size, state = max(_STEPS, self.context), None
        with self.reading() as step:
            for start in range(0, len(tokens), size):
                outputs, state = step(tokens[start : start + size, None], state)
                yield {name: output[:, 0] for name, output in outputs.items()}

    @abstractmethod
    def with_features(self, layer: str, *, pool: bool) -> Runner:
        """Return a runner whose outputs include the `features` of a layer.

        Args:
            layer: a landmark or the path of a module. `features` is the head's input, if there is no landmark
                with this name.
            pool: average over the positions of an image.

        Raises OptionError if the model has no such layer.
        """


class ProgramRunner(Runner):
    """The program of an exported file, whose inputs and outputs are checked against its signature.

    Args:
        name: name of the file, for messages.
        hint: hint for a program that fails.
    """

    device = "cpu"
    exported = True

    def __init__(
        self,
        program: Program,
        signature: Signature,
        *,
        name: str,
        hint: str | None = "export the model again",
    ) -> None:
        self._program, self._hint = program, hint
        self._signature = signature
        self._name = name
        self._inputs = {port.name: port for port in signature.inputs}
        following = signature.state.values()
        self.outputs = [port.name for port in signature.outputs if port.name not in following]
        self.main_output = self.outputs[0]

    @property
    def module(self) -> nn.Module:
        """Unavailable: raises WeightsError."""
        only = "which supports only predict, embed, sample, eval, inspect and serve"
        raise WeightsError(
            f"{self._name} is an exported file, {only}",
            hint="use the weights from which the file was exported",
        )

    def run(self, items: NDArray[Any]) -> Arrays:
        """Return the outputs for a batch of items.

        Raises WeightsError if the program fails, or if its outputs do not match its signature.
        """
        return self._run(items, {})

    @contextmanager
    def reading(self, *, trusted: bool = False) -> Generator[Step]:
        """Yield a step function, which runs the program once per token."""
        yield self.step

    def step(self, tokens: Tokens, state: Arrays | None) -> tuple[Arrays, Arrays]:
        """Return the outputs after each token (T, B), and the state."""
        found: list[Arrays] = []
        state = self._zeros(tokens.shape[1]) if state is None else state
        for row in tokens:
            outputs = self._run(row, state)
            state = {before: outputs[after] for before, after in self._signature.state.items()}
            found.append(outputs)
        return {name: np.stack([outputs[name] for outputs in found]) for name in self.outputs}, state

    def with_features(self, layer: str, *, pool: bool) -> ProgramRunner:
        """Return the runner itself. Raises OptionError unless the file has these features."""
        if FEATURES not in self.outputs:
            hint = "its architecture has no landmark called features or head"
            raise OptionError(f"{self._name} has no features", hint=hint)
        vectors = pool or self._signature.state
        if layer != FEATURES or not vectors:
            asked = f"the layer {layer}" if layer != FEATURES else "features that are not pooled"
            hint = "use the weights from which the file was exported"
            raise OptionError(f"{self._name} is an exported file, which does not provide {asked}", hint=hint)
        return self

    def _run(self, items: NDArray[Any], state: Arrays) -> Arrays:
        """Return the outputs for a batch: items (B, ...); or a token of each text, (B,), and the state."""
        wanted = self._signature.inputs[0]
        items = items.astype(wanted.dtype, copy=False)
        if not _fits(items, wanted, len(items)):
            raise self._wrong(f"expects {wanted.shown()}, but got {_shown(items)}")
        try:
            outputs = self._program({wanted.name: items, **state})
        except Exception as error:
            raise self._wrong(f"cannot be run: {first_line(error)}") from None
        for port in self._signature.outputs:
            got = outputs.get(port.name)
            if got is None or not _fits(got, port, len(items)):
                shown = "nothing" if got is None else _shown(got)
                raise self._wrong(f"must return {port.name} as {port.shown()}, but returned {shown}")
        return outputs

    def _zeros(self, lanes: int) -> Arrays:
        """Return the initial state of a batch. Raises WeightsError if it is too large."""
        ports = {name: self._inputs[name] for name in self._signature.state}
        shapes = {name: [lanes if n is None else n for n in port.shape] for name, port in ports.items()}
        if sum(8 * int(np.prod(shape, dtype=np.float64)) for shape in shapes.values()) > _MOST_STATE:
            raise self._wrong("needs too much memory for its state")
        return {name: np.zeros(shape, ports[name].dtype) for name, shape in shapes.items()}

    def _wrong(self, what: str) -> WeightsError:
        return WeightsError(f"{self._name} {what}", hint=self._hint)


def usual_threads(signature: Signature) -> int:
    """Return the number of threads for a program: $OMP_NUM_THREADS, or one for each core.

    The steps of a language model are too short to benefit from more than a few threads.
    """
    if chosen := chosen_threads():
        return chosen
    return min(cores(), _STEP_THREADS) if signature.state else cores()


def _fits(array: NDArray[Any], port: Port, batch: int) -> bool:
    shape = tuple(batch if size is None else size for size in port.shape)
    return array.shape == shape and array.dtype == np.dtype(port.dtype)


def _shown(array: NDArray[Any]) -> str:
    return f"{array.dtype} ({', '.join(map(str, array.shape))})"
