"""Convert a model to a torch.export program for any batch size, without paths from this machine."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator, Mapping
from inspect import signature

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from zoo.files.exported import Signature

# Keys of what torch notes of each node: where in which file it was called
_TRACES = ("stack_trace", "from_node", "source_fn_stack", "torch_fn", "custom")

_LARGEST_BATCH = 2**20


def trace(module: nn.Module, inputs: Mapping[str, Tensor], ports: Signature) -> ExportedProgram:
    """Return the program of a module. Raises torch's error for a module that cannot be traced.

    Args:
        inputs: an example of each input, by name.
        ports: the inputs and outputs.
    """
    batch = Dim("batch", min=1, max=_LARGEST_BATCH)
    first, *others = ({port.shape.index(None): batch} if None in port.shape else {} for port in ports.inputs)
    shapes = (first, tuple(others)) if _takes_several(module) else (first,)
    with silently(), torch.no_grad():
        program = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        for key in _TRACES:
            node.meta.pop(key, None)
    return program


def _takes_several(module: nn.Module) -> bool:
    """Return whether a module accepts any number of tensors: `forward(self, tokens, *state)`."""
    return any(each.kind is each.VAR_POSITIONAL for each in signature(module.forward).parameters.values())


@contextlib.contextmanager
def silently() -> Generator[None]:
    """Suppress torch's warnings and output during tracing."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(io.StringIO()):
                yield
    finally:
        logging.disable(level)
