"""A model as a program of torch.export: a batch of any size, and nothing of this machine in it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator
from inspect import signature

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from zoo.interfaces import Exportable

__all__ = ["silently", "traced"]

# Keys of what torch notes of each node: where in which file it was called
_TRACES = ("stack_trace", "from_node", "source_fn_stack", "torch_fn", "custom")

_LARGEST_BATCH = 2**20


def traced(model: Exportable) -> ExportedProgram:
    """Return the program of a model. Raises whatever torch does for one that it cannot trace."""
    batch = Dim("batch", min=1, max=_LARGEST_BATCH)
    ports = model.signature.inputs
    first, *others = ({port.shape.index(None): batch} if None in port.shape else {} for port in ports)
    shapes = (first, tuple(others)) if _takes_several(model.module) else (first,)
    with silently(), torch.no_grad():
        program = torch.export.export(model.module, tuple(model.inputs.values()), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        for key in _TRACES:
            node.meta.pop(key, None)
    return program


def _takes_several(module: nn.Module) -> bool:
    """Return whether a module is called with any number of tensors: `forward(self, tokens, *state)`."""
    return any(each.kind is each.VAR_POSITIONAL for each in signature(module.forward).parameters.values())


@contextlib.contextmanager
def silently() -> Generator[None]:
    """Keep torch from warning of how it traces, and from printing what it cannot."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(io.StringIO()):
                yield
    finally:
        logging.disable(level)
