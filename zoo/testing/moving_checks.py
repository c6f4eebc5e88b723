"""Checks of whether an architecture can be saved, copied, moved and exported."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo._version import __version__
from zoo.files.cards import Card, DatasetCard
from zoo.models import weights
from zoo.testing import _fresh
from zoo.testing._models import (
    arguments,
    build,
    forward,
    inputs,
    step,
    train_batch,
    train_briefly,
)
from zoo.testing._suite import Case, first_line, told
from zoo.testing._tiny import tiny_dataset

__all__ = [
    "deep_copies",
    "exports",
    "moves_dtype_and_device",
    "saves_and_loads",
]


def saves_and_loads(case: Case) -> None:
    """After a few training steps, saved and loaded in a new process, the model gives the same bits."""
    assert case.entry is not None
    if "reloaded" not in case.shared:
        case.shared["reloaded"] = _reload_all(case)  # one new process for all of a plugin's models
    kept, loaded = case.shared["reloaded"][case.entry.name]
    assert isinstance(loaded, Tensor), told(
        expected="a file that a new process can load",
        got=loaded,
        usually="state that changes its shape, or weights that only exist after the first forward()",
    )
    assert torch.equal(kept, loaded), told(
        expected="the same logits after loading in a new process",
        got=f"a difference of {(kept - loaded).abs().max().item():.2g}",
        usually="statistics or tables kept in plain attributes; use register_buffer",
    )


def _reload_all(case: Case) -> dict[str, tuple[Tensor, Tensor | str]]:
    """Return each architecture's logits before saving, and after loading or why that failed."""
    cases = [
        dataclasses.replace(case, entry=entry)
        for entry in case.shared["entries"]
        if entry.kind == "architecture"
    ]
    folder = Path(tempfile.mkdtemp(prefix="zoo-check-"))
    results: dict[str, tuple[Tensor, Tensor | str]] = {}
    models: dict[str, str] = {}
    try:
        for number, each in enumerate(cases):
            assert each.entry is not None
            try:
                kept = _save(each, folder, number)
            except Exception as error:
                results[each.entry.name] = torch.empty(0), f"{type(error).__name__}: {error}"
            else:
                results[each.entry.name] = kept, ""
                models[str(number)] = each.spec.task
        request = {"folder": str(folder), "models": models, "threads": torch.get_num_threads()}
        answer = _fresh.run("reload", case.plugin, **request)
        try:
            told_back = json.loads(answer)
        except ValueError:
            told_back = dict.fromkeys(models, answer)
        for number in models:
            entry = cases[int(number)].entry
            assert entry is not None
            kept, _ = results[entry.name]
            file = folder / f"{number}.logits.safetensors"
            results[entry.name] = kept, told_back[number] or load_file(file)["logits"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return results


def _save(case: Case, folder: Path, number: int) -> Tensor:
    assert case.entry is not None
    model = train_briefly(case, build(case), steps=3).eval()
    given = inputs(case, 3)
    dataset = tiny_dataset(case.spec.task)
    card = Card(
        architecture=case.entry.name,
        arguments=arguments(case),
        task=case.spec.task,
        dataset=DatasetCard(name="tiny", options={}, fingerprint=dataset.fingerprint),
        preprocess=dict(dataset.preprocess),
        training=case.spec.training.to_dict(),
        seed=0,
        progress={"epochs": 0, "steps": 3},
        metrics={},
        versions={"zoo": __version__},
    )
    weights.save(folder / f"{number}.model.safetensors", model, card)
    save_file({"inputs": given}, folder / f"{number}.inputs.safetensors")
    return forward(case, model, given)[0]


def deep_copies(case: Case) -> None:
    """After a step the model can be deep-copied, and copy and original are equal and apart.

    The moving average of the weights is such a copy.
    """
    model = build(case)
    step(case, model, train_batch(case)).loss.backward()
    try:
        twin = copy.deepcopy(model)
    except Exception as error:
        raise AssertionError(
            told(
                expected="copy.deepcopy(model) to work after a step",
                got=str(error).split("\n")[0],
                usually="an output or a hidden state kept on the module; hand it back instead",
            )
        ) from error
    given = inputs(case, 2)
    before = forward(case, model.eval(), given)[0]
    assert torch.equal(before, forward(case, twin.eval(), given)[0]), told(
        expected="a copy with the same logits",
        got="other logits",
        usually="a __deepcopy__ or __getstate__ that leaves something out",
    )
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(before, forward(case, model, given)[0]), told(
        expected="an original that does not change with its copy",
        got="other logits after the copy's weights were changed",
        usually="a closure, bound method or list that still holds the original's tensors",
    )


def moves_dtype_and_device(case: Case) -> None:
    """Turned to float64, the model computes in it; moved to another device, all of it goes along.

    The other device is torch's meta device, which every machine has.
    """
    model = build(case).eval()
    given = inputs(case, 2)
    try:
        logits = forward(case, model.double(), given.double() if given.is_floating_point() else given)[0]
    except RuntimeError as error:
        got = first_line(error)
    else:
        got = str(logits.dtype)
    assert got == "torch.float64", told(
        expected="float64 logits of a float64 model",
        got=got,
        usually="a tensor made in forward() without a dtype; give it `dtype=x.dtype, device=x.device`",
    )
    try:
        logits = forward(case, build(case).eval().to("meta"), given.to("meta"))[0]
    except (RuntimeError, NotImplementedError) as error:
        got = first_line(error)
    else:
        got = logits.device.type
    assert got == "meta", told(
        expected="a model that works on another device",
        got=got,
        usually="a tensor in a plain attribute, or made in forward() without a device; or item() there",
    )


def exports(case: Case) -> None:
    """torch.export takes the model, and the program computes the same to 1e-4; or the spec says why not."""
    model = build(case).eval()
    given = inputs(case, 2)
    reason = case.spec.unexportable
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's own, on how it takes modules apart
            answer = torch.export.export(model, (given,)).module()(given)
    except Exception as error:
        if reason:
            return
        raise AssertionError(
            told(
                expected="torch.export.export(model, (inputs,)) to work, or `unexportable` in the spec",
                got=f"{type(error).__name__}: {first_line(error)}",
                usually="an `if` on a value, item(), or something of Python's that torch cannot follow",
            )
        ) from error
    assert not reason, told(
        expected=f"no export, since the spec says: {reason}",
        got="a program",
        usually="a reason that holds no longer; take it out of the spec",
    )
    logits = answer if case.spec.task == "classification" else answer[0]
    ours = forward(case, model, given)[0]
    distance = (logits - ours).abs().max().item()
    assert distance <= 1e-4 * max(1.0, ours.abs().max().item()), told(
        expected="an exported program with the same logits",
        got=f"a difference of {distance:.2g}",
        usually="a value computed in Python, which the program keeps as it was when it was made",
    )
