"""Checks that an architecture can be saved, copied, moved and exported."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.errors import WeightsError, cause, first_line
from zoo.files.cards import Card
from zoo.models import weights
from zoo.models.finite import infinite_buffers
from zoo.testing._case import Case, Failure, Skip, failing, message
from zoo.testing._data import empty_folder
from zoo.testing._fresh import ask_shared
from zoo.testing._models import (
    arguments,
    build,
    forward,
    made_up_card,
    outputs_of,
    random_inputs,
    step,
    train_batch,
    train_briefly,
)
from zoo.tools.export.export_weights import try_export
from zoo.tools.export.exportable import require_form

# What torch says of autocast on the meta device, where it has none, which says nothing about a model
_NO_AUTOCAST = ("unsupported scalarType", "for autocast")


def saves_and_loads(case: Case) -> None:
    """Saved after a few training steps and loaded in a new process, the model returns identical logits.

    It is built and loaded with different seeds, so that random values from its constructor are detected.
    """
    threads = torch.get_num_threads()
    with empty_folder() as folder:
        with failing(
            expected="a file that a new process can load",
            usually="buffers that change their shape, or weights created by the first forward()",
        ):
            before = _save(case, folder)
            ask_shared(case, "reload", folder=str(folder), task=case.spec.task, threads=threads)
        after = load_file(folder / "logits.safetensors")["logits"]
    named = _named(build(case))
    assert torch.equal(before, after), message(
        expected=f"the same {outputs_of(case)} after loading in a new process",
        got=f"a difference of {(before - after).abs().max().item():.2g}",
        usually=f"statistics or tables in plain attributes{named}; use register_buffer"
        if named
        else "numbers or lists in plain attributes, or values that differ between processes, such as hash()",
    )


def _named(model: nn.Module) -> str:
    """Return the names of tensors in plain attributes of a model, in parentheses; empty if there are none."""
    names = [
        f"{name}.{attribute}".lstrip(".")
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, Tensor)
    ]
    return f" ({', '.join(names[:3])})" if names else ""


def _save(case: Case, folder: Path) -> Tensor:
    """Save a briefly trained model and some inputs; return its logits for them."""
    model = train_briefly(case, build(case, seed=1), steps=3).eval()
    inputs = random_inputs(case, 3)
    card = _card(case)
    infinite = infinite_buffers(build(case))
    weights.save(folder / "model.safetensors", model, card, infinite=infinite)
    save_file({"inputs": inputs}, folder / "inputs.safetensors")
    return forward(case, model, inputs)[0]


def _card(case: Case) -> Card:
    """Return the card of a model that was trained briefly."""
    dataset = case.tiny()
    return made_up_card(
        case.spec.task,
        arguments=arguments(case),
        preprocess=dataset.preprocess,
        architecture=case.entry.name,
        fingerprint=dataset.fingerprint,
        training=case.registry.usual_config(case.entry).to_dict(),
    )


def deep_copies(case: Case) -> None:
    """After a step, the model can be deep-copied, and the copy is equal and independent.

    zoo keeps the EMA of the weights in a deep copy.
    """
    model = build(case)
    step(case, model, train_batch(case)).loss.backward()
    with failing(
        expected="copy.deepcopy(model) to work after a step",
        usually="an output or a hidden state kept on the module; return it instead",
    ):
        twin = copy.deepcopy(model)
    inputs = random_inputs(case, 2)
    before = forward(case, model.eval(), inputs)[0]
    assert torch.equal(before, forward(case, twin.eval(), inputs)[0]), message(
        expected=f"a copy with the same {outputs_of(case)}",
        got="different ones",
        usually="a __deepcopy__ or __getstate__ that omits something",
    )
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(before, forward(case, model, inputs)[0]), message(
        expected="an original that does not change with its copy",
        got=f"different {outputs_of(case)} after the copy's weights were changed",
        usually="a closure, bound method or list that still refers to the original's tensors",
    )


def moves_dtype_and_device(case: Case) -> None:
    """After conversion to float64, the model computes in float64; moving the model moves all its tensors.

    The other device is torch's meta device, which every machine has. It cannot compute anything that depends
    on values, so `data_dependent` models are not run on it.
    """
    model = build(case).eval()
    inputs = random_inputs(case, 2)
    try:
        logits = forward(case, model.double(), inputs.double() if inputs.is_floating_point() else inputs)[0]
    except RuntimeError as error:
        got = first_line(error)
    else:
        got = str(logits.dtype)
    assert got == "torch.float64", message(
        expected=f"float64 {outputs_of(case)} of a float64 model",
        got=got,
        usually="`.float()` or `.to(torch.float32)` in forward()"
        if got.startswith("torch.")
        else "a tensor created in forward() without a dtype; add `dtype=x.dtype, device=x.device`",
    )
    if case.spec.data_dependent:
        return
    got = _moved_to_meta(case, inputs)
    assert got == "meta", message(
        expected="a model that works on another device",
        got=got,
        usually=_immovable(model, got),
    )


def _immovable(model: nn.Module, got: str) -> str:
    """Return the most common cause of a model that does not work on the meta device."""
    if any(word in got for word in ("item()", "data-dependent", "meta tensor", "Meta tensors")):
        return "an `if` on a value, or an item(); for value-dependent models, set the spec's `data_dependent`"
    if named := _named(model):
        return f"a tensor in a plain attribute{named}; use register_buffer"
    return "a tensor created in forward() without a device; add `device=x.device`"


def exports(case: Case) -> None:
    """torch.export produces a program that matches the model's outputs to 1e-4, or the spec explains why not.

    This is the program that `zoo export` writes, with any batch size: for a language model, one step. The
    outputs are compared on inputs that differ from the example. A `data_dependent` model may fail. A model
    that `zoo export` does not support is skipped, with the reason that the command gives.
    """
    reason, context = case.spec.unexportable, case.spec.context(arguments(case))
    try:
        require_form(case.task, context)
    except WeightsError as error:
        if reason:
            return
        raise Skip(str(error)) from None
    try:
        wrong = try_export(build(case).eval(), _card(case), case.registry)
    except Exception as error:
        if reason or case.spec.data_dependent:
            return
        raise Failure(
            expected="a model that `zoo export` can write, or `unexportable` in the spec",
            got=cause(error),
            usually=f"{_untraceable(error)}; if this is intended, give the reason in the spec's "
            "`unexportable` or `data_dependent`",
        ) from None  # its message has the whole graph
    assert not reason, message(
        expected=f"no export, since the spec says: {reason}",
        got="a program",
        usually="an outdated reason; remove it from the spec",
    )
    assert not wrong, message(
        expected="an exported program with the same outputs",
        got=wrong,
        usually="a value computed in Python, which the program contains as a constant",
    )


def _untraceable(error: Exception) -> str:
    """Return the most common cause of an error of an export."""
    text = f"{type(error).__name__}: {error}"
    for word, usual in (
        ("DataDependent", "an `if` on a value, or an item()"),
        ("Constraints violated", "the batch size fixed as a number, or an `if` on it"),
        ("hidden state", "a state that grows, or that does not consist of tensors"),
    ):
        if word in text:
            return usual
    return "Python code that torch cannot trace"


def _moved_to_meta(case: Case, inputs: Tensor) -> str:
    """Return the device of a model's logits on the meta device, or the error."""
    try:
        return forward(case, build(case).eval().to("meta"), inputs.to("meta"))[0].device.type
    except (RuntimeError, NotImplementedError) as error:
        got = first_line(error)
        return "meta" if any(word in got for word in _NO_AUTOCAST) else got
