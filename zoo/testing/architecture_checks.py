"""Checks of an architecture, on the preset as it is and tiny made-up data."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import zoo
from zoo import weights
from zoo.building import signature_options
from zoo.cards import Card, DatasetCard
from zoo.errors import SpecError
from zoo.testing import _fresh
from zoo.testing._models import (
    arguments,
    build,
    forward,
    inputs,
    mean_loss,
    step,
    train_batch,
    train_briefly,
)
from zoo.testing._suite import Case, told
from zoo.testing._tiny import tiny_dataset

__all__ = [
    "batch_mates_do_not_matter",
    "builds",
    "builds_on_meta",
    "deep_copies",
    "eval_is_deterministic",
    "every_parameter_gets_a_gradient",
    "first_loss_near_uniform",
    "landmarks_resolve",
    "output_shape",
    "overfits_one_batch",
    "same_seed_same_weights",
    "saves_and_loads",
]


def builds(case: Case) -> None:
    """The preset builds from the task's dims and its own config, each a named argument and JSON data."""
    assert case.entry is not None
    given = arguments(case)
    unnamed = given.keys() - signature_options(case.entry.load()).keys()
    assert not unnamed, told(
        expected=f"a constructor with a keyword argument for each of {', '.join(given)}",
        got=f"none for {', '.join(sorted(unnamed))}",
        usually="**kwargs handed on to a base class; options are known by the signature",
    )
    try:
        same = json.loads(json.dumps(given)) == given
    except TypeError:
        same = False
    assert same, told(
        expected="arguments that JSON can hold",
        got=str(given),
        usually="a class, a tensor or a function as an option; take its name and look it up",
    )
    try:
        build(case)
    except SpecError as error:
        raise AssertionError(
            told(
                expected="a model from the task's dims and the spec's config alone",
                got=str(error),
                usually="an option without a default that `config` does not give either",
            )
        ) from error


def same_seed_same_weights(case: Case) -> None:
    """Built twice from one seed, the model has the same weights and buffers."""
    one, other = build(case, seed=1).state_dict(), build(case, seed=1).state_dict()
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differing, told(
        expected="equal weights from equal seeds",
        got=f"other values in {', '.join(differing[:3])}",
        usually="initial values from numpy, `random` or a generator of one's own; use torch's default one",
    )


def output_shape(case: Case) -> None:
    """Batches of 1, 2 and 5 give finite floating-point logits, (B, K) or (T, B, V)."""
    model = build(case).eval()
    dims = tiny_dataset(case.spec.task).dims
    for size in (1, 2, 5):
        given = inputs(case, size)
        answer = _answer(case, model, given)
        wanted = (size, dims["num_classes"]) if given.ndim == 4 else (*given.shape, dims["vocab_size"])
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        assert got == wanted, told(
            expected=f"logits {wanted} from inputs {tuple(given.shape)}",
            got=str(got),
            usually="a squeeze() that drops a batch of one, batch and time in the other order, or a tuple",
        )
        assert answer.is_floating_point(), told(
            expected="floating-point logits", got=str(answer.dtype), usually="an argmax inside the model"
        )
        assert answer.isfinite().all(), told(
            expected="finite logits",
            got="inf or nan",
            usually="a division by a deviation that can be 0, or a log of 0",
        )


def _answer(case: Case, model: nn.Module, given: Tensor) -> Any:
    try:
        return forward(case, model, given)[0]
    except (TypeError, ValueError) as error:
        if case.spec.task == "classification":
            raise
        raise AssertionError(
            told(
                expected="model(tokens, state) to return (logits, state)",
                got=str(error).split("\n")[0],
                usually="a forward without `state=None`, logits alone, or a penalty in eval mode too",
            )
        ) from error


def first_loss_near_uniform(case: Case) -> None:
    """Before training, the loss is about that of guessing: within half of ln(classes)."""
    dims = tiny_dataset(case.spec.task).dims
    guess = math.log(dims.get("num_classes") or dims["vocab_size"])
    loss = mean_loss(step(case, build(case), train_batch(case, size=8)))
    assert 0.5 * guess <= loss <= 1.5 * guess, told(
        expected=f"a first loss of about ln(classes) = {guess:.2f}",
        got=f"{loss:.2f}",
        usually="initial weights that are too large, or an output that is not logits",
    )


def every_parameter_gets_a_gradient(case: Case) -> None:
    """Within three steps every trainable parameter has had a gradient that is finite and not all zero.

    The first may be zero: behind a layer that starts as zeros, as the last of a residual block may.
    """
    model = build(case)
    batch = train_batch(case)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trainable.values(), lr=1e-2)
    waiting = set(trainable)
    for number in range(3):
        optimizer.zero_grad()
        step(case, model, batch, seed=number).loss.backward()
        for name, parameter in trainable.items():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), told(
                    expected=f"a finite gradient for {name}",
                    got="inf or nan",
                    usually="a square root or a norm at 0",
                )
                if parameter.grad.any():
                    waiting.discard(name)
        optimizer.step()
    assert not waiting, told(
        expected="a gradient for every parameter",
        got=f"none for {', '.join(sorted(waiting)[:3])}",
        usually="a layer that forward() does not use, a detach(), or weights copied instead of shared",
    )


def overfits_one_batch(case: Case) -> None:
    """Trained on one small batch, the loss falls to less than half, at one of two learning rates."""
    batch = train_batch(case)
    lowest = first = 0.0
    for lr in (3e-3, 3e-4):
        model = build(case)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr)
        losses: list[float] = []
        for number in range(60):
            optimizer.zero_grad()
            done = step(case, model, batch, seed=number)
            losses.append(mean_loss(done))
            if losses[-1] < 0.5 * losses[0]:
                return
            done.loss.backward()
            optimizer.step()
        first, lowest = losses[0], min(losses)
    raise AssertionError(
        told(
            expected=f"less than half of the first loss, {first:.2f}, after 60 steps of Adam on one batch",
            got=f"{lowest:.2f} at best",
            usually="a signal that is cut or scaled away, a softmax before the loss, or inputs mixed up",
        )
    )


def batch_mates_do_not_matter(case: Case) -> None:
    """In eval mode, what the model says of an item does not depend on what else is in the batch."""
    model = build(case).eval()
    lane = 0 if case.spec.task == "classification" else 1
    ours, others = inputs(case, 3), inputs(case, 3, seed=1)
    others.select(lane, 0).copy_(ours.select(lane, 0))
    one, other = (forward(case, model, given)[0].select(lane, 0) for given in (ours, others))
    distance = (one - other).abs().max().item()
    assert distance <= 1e-5 * max(1.0, one.abs().max().item()), told(
        expected="the same logits in other company",
        got=f"a difference of {distance:.2g}",
        usually="statistics of the batch used in eval mode, or a mean over the wrong axis",
    )


def eval_is_deterministic(case: Case) -> None:
    """In eval mode, the same input gives the same bits, whatever the random state."""
    model = build(case).eval()
    given = inputs(case, 2)
    one, other = (forward(case, model, given, seed=seed)[0] for seed in (0, 1))
    assert torch.equal(one, other), told(
        expected="the same logits twice in eval mode",
        got=f"a difference of {(one - other).abs().max().item():.2g}",
        usually="F.dropout without `training=self.training`",
    )


def builds_on_meta(case: Case) -> None:
    """The model can be built on torch's meta device, where nothing has values."""
    try:
        with torch.device("meta"):
            model = build(case)
    except SpecError as error:
        raise AssertionError(
            told(
                expected="a model on the meta device",
                got=str(error),
                usually="a constructor that reads values, with float(), item() or tolist()",
            )
        ) from error
    real = [name for name, tensor in model.state_dict().items() if not tensor.is_meta]
    assert not real, told(
        expected="only meta tensors",
        got=f"values in {', '.join(real[:3])}",
        usually="a device given by name, or a tensor made from numpy",
    )


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
        for entry in case.registry.entries("architecture")
        if entry.plugin is case.plugin
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
        recipe=case.spec.recipe.to_dict(),
        seed=0,
        progress={"epochs": 0, "steps": 3},
        metrics={},
        versions={"zoo": zoo.__version__},
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


def landmarks_resolve(case: Case) -> None:
    """Every landmark is the path of a submodule, and forward() calls it, so that a hook there fires."""
    model = build(case).eval()
    called: set[str] = set()
    for name, path in case.spec.landmarks.items():
        try:
            module = model.get_submodule(path)
        except AttributeError as error:
            known = ", ".join(name for name, _ in model.named_children())
            raise AssertionError(
                told(
                    expected=f"a submodule at the landmark {name}={path!r}",
                    got=f"{error}; there are {known}",
                    usually="a renamed attribute",
                )
            ) from error
        module.register_forward_hook(_noting(name, called))
    forward(case, model, inputs(case, 2))
    silent = sorted(set(case.spec.landmarks) - called)
    assert not silent, told(
        expected=f"forward() to call the landmark {', '.join(silent)}",
        got="no call",
        usually="a module used through its weights, or through its forward(), which skips hooks",
    )


def _noting(name: str, called: set[str]) -> Callable[..., None]:
    def note(*_: object) -> None:
        called.add(name)

    return note
