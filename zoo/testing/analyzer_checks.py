"""Checks of an analyzer, on a small convolutional network of the kit's own."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import SpecError
from zoo.interfaces import Analysis, Analyzer, Batch, Subject
from zoo.testing._suite import Case, Skip, told
from zoo.testing._tiny import tiny_dataset

__all__ = ["deterministic", "finite", "leaves_model_untouched"]

_LANDMARKS = {"features": "features", "mean_head": "head", "head": "head"}


class _Net(nn.Module):
    """Features, their mean, and a linear head: what class activation maps were made for."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)
        )
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))  # (B, 8, 16, 16) to (B, 10)


def finite(case: Case) -> None:
    """`analyze` returns an Analysis with something in it, all of it finite."""
    found = _analyze(case, _model())
    assert isinstance(found, Analysis), told(
        expected="an Analysis", got=type(found).__name__, usually="a bare tensor or dict returned"
    )
    assert found.maps is not None or found.scores or found.tables, told(
        expected="maps, a score or a table",
        got="an empty Analysis",
        usually="a hook that never fired: hook the submodules that `landmarks` names",
    )
    broken = ["maps"] if found.maps is not None and not found.maps.isfinite().all() else []
    broken += [name for name, score in found.scores.items() if not math.isfinite(score)]
    assert not broken, told(
        expected="finite maps and scores",
        got=f"inf or nan in {', '.join(broken)}",
        usually="a map divided by its largest value, which can be 0",
    )


def deterministic(case: Case) -> None:
    """The same model and input give the same analysis, whatever the random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        one = _analyze(case, _model())
        torch.manual_seed(1)
        other = _analyze(case, _model())
    differing = [] if _same(one.maps, other.maps) else ["maps"]
    differing += [name for name in one.scores if one.scores[name] != other.scores[name]]
    differing += [name for name in one.tables if one.tables[name] != other.tables[name]]
    assert not differing, told(
        expected="the same analysis twice",
        got=f"other values in {', '.join(differing)}",
        usually="the model left in training mode, or noise without a seed of its own",
    )


def leaves_model_untouched(case: Case) -> None:
    """Weights, buffers, gradients, modes, requires_grad, hooks and the random state are as they were."""
    for training in (True, False):
        model = _model().train(training)
        model.features[1].train(not training)  # type: ignore[index]
        model.head.bias.requires_grad_(False)
        model.head.weight.grad = torch.ones_like(model.head.weight)
        before = _everything(model)
        _analyze(case, model)
        after = _everything(model)
        changed = [name for name in before if not _same(before[name], after.get(name))]
        changed += [name for name in after if name not in before]
        assert not changed, told(
            expected="a model, and a random state, as they were",
            got=f"a change in {', '.join(changed[:3])}",
            usually="eval() or hooks not undone in a `finally`, or backward() where autograd.grad() would do",
        )


def _model() -> _Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Net().eval()


def _analyze(case: Case, model: nn.Module) -> Any:
    assert case.entry is not None
    lacking = case.spec.lacks(_LANDMARKS)
    if lacking:
        raise Skip(f"it needs {', '.join(lacking)}, which the kit's model does not have")
    if "classification" not in case.spec.tasks:
        raise Skip("it is for language models, and the kit's model is an image classifier")
    try:
        analyzer = case.entry.load()()
    except SpecError as error:
        raise Skip(str(error)) from None
    assert isinstance(analyzer, Analyzer), told(
        expected="a zoo.interfaces.Analyzer",
        got=type(analyzer).__name__,
        usually="a class that does not subclass it",
    )
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, torch.tensor([3, -1]), 0, 1, 0)
    subject = Subject(
        task="classification", landmarks=_LANDMARKS, preprocess=tiny_dataset("classification").preprocess
    )
    return analyzer.analyze(model, [batch], subject=subject)


def _everything(model: nn.Module) -> dict[str, Any]:
    state: dict[str, Any] = {f"weight {name}": tensor.clone() for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state[f"requires_grad of {name}"] = parameter.requires_grad
        state[f"gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
    for name, module in model.named_modules():
        state[f"mode of {name or 'the model'}"] = module.training
        for attribute, held in vars(module).items():
            if attribute.endswith("_hooks"):
                state[f"{attribute.strip('_')} of {name or 'the model'}"] = list(held)
    state["random state"] = torch.get_rng_state()
    return state


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    return one == other
