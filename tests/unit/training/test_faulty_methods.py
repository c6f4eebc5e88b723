"""Faulty optimizers, schedules, augmentations and metrics of plugins: what a training says of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import zoo
from zoo import OptionError, Registry, ZooError

PLUGIN = '''"""Methods with one fault each."""
import torch
from zoo import AugmentationSpec, MetricSpec, OptimizerSpec, ScheduleSpec, hookimpl


class Keeping(torch.optim.Optimizer):
    """Gradient descent that keeps something more for each parameter."""

    def __init__(self, groups, *, lr):
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["steps"] = state.get("steps", 0) + 1
                parameter.sub_(parameter.grad, alpha=group["lr"])
                self.keep(state, parameter.grad)


class List(Keeping):
    def keep(self, state, gradient):
        state["history"] = [gradient]


class Late(Keeping):
    def keep(self, state, gradient):
        if state["steps"] == 2:
            state["late"] = gradient.clone()


class Growing(Keeping):
    def keep(self, state, gradient):
        state["norms"] = torch.cat([state.get("norms", gradient.new_zeros(0)), gradient.norm()[None]])


class Again(Keeping):
    def step(self, closure):
        closure()


class Accuracy:
    def items(self, outputs, targets):
        return {"right": (outputs.argmax(1) == targets).float()}

    def value(self, sums, count):
        return float(sums["right"]) / count


class Mean(Accuracy):
    def items(self, outputs, targets):
        return {"right": (outputs.argmax(1) == targets).float().mean()}


class Raises(Accuracy):
    def items(self, outputs, targets):
        raise IndexError("oops")


def floats(images, draws):
    return images.float() / 255


def smaller(images, draws):
    return images[..., 1:]


def nothing(images, draws):
    pass


def required(images, draws, *, p: float):
    return images


def tensor(progress):
    return torch.tensor(1.0)


def negative(progress):
    return 0.5 - progress


def nan(progress):
    return float("nan")


def specs(kind, *targets):
    names = [target.__name__ for target in targets]
    return [kind(name=name.lower(), target=f"faulty:{name}", summary="Faulty") for name in names]


@hookimpl
def zoo_optimizers():
    return specs(OptimizerSpec, List, Late, Growing, Again)


@hookimpl
def zoo_schedules():
    return specs(ScheduleSpec, tensor, negative, nan)


@hookimpl
def zoo_augmentations():
    return specs(AugmentationSpec, floats, smaller, nothing, required)


@hookimpl
def zoo_metrics():
    twin = MetricSpec(name="macro-f1", target="faulty:Accuracy", summary="Named like one of zoo's")
    return [*specs(MetricSpec, Accuracy, Mean, Raises), twin]
'''
SMALL: dict[str, Any] = {
    "data": {"size": 16, "train_size": 60, "val_size": 20, "test_size": 20},
    "model": {"widths": [4]},
    "batch_size": 20,
    "threads": 1,
    "epochs": 2,
    "progress": False,
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("plugin") / "faulty.py"
    path.write_text(PLUGIN)
    return Registry.discover(files=[path])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "list"}, "the optimizer keeps a list as 'history', not a tensor or a number"),
        ({"optimizer": "late"}, "optimizer faulty/late changed its state 'late' after the first step"),
        ({"optimizer": "growing"}, "optimizer faulty/growing changed its state 'norms' after the first"),
        ({"optimizer": "again"}, "optimizer faulty/again .* through a closure, which zoo does not support"),
        ({"schedule": "tensor"}, "schedule faulty/tensor returned tensor.*, not a number of at least 0"),
        ({"schedule": "negative"}, "schedule faulty/negative returned -0.*, not a number of at least 0"),
        ({"schedule": "nan"}, "schedule faulty/nan returned nan, not a number of at least 0"),
        ({"augment": ["floats"]}, r"augmentation floats must .*, torch.uint8 .* \(got torch.float32 "),
        ({"augment": ["smaller"]}, r"augmentation smaller must .* 16, 16\] \(got torch.uint8 .* 16, 15\]"),
        ({"augment": ["nothing"]}, r"augmentation nothing must .* \(got a NoneType"),
        ({"augment": ["required"]}, "augmentation faulty/required requires required.p"),
        ({"metrics": ["accuracy"]}, "metric faulty/accuracy has the name of another metric, 'accuracy'"),
        ({"metrics": ["faulty/macro-f1", "images/macro-f1"]}, "has the name of another metric, 'macro-f1'"),
        ({"metrics": ["mean"]}, r"metric mean must return one row per item \(got the shape \(\)"),
    ],
)
def test_a_fault_is_named_in_one_sentence(
    options: Mapping[str, Any], message: str, faulty: Registry, tmp_path: Path
) -> None:
    with pytest.raises(ZooError, match=message):
        zoo.train("mlp", "shapes", run=tmp_path / "run", registry=faulty, **SMALL, **options)


def test_a_plugin_whose_code_raised_the_error_is_named(faulty: Registry, tmp_path: Path) -> None:
    with pytest.raises(IndexError) as caught:
        zoo.train("mlp", "shapes", run=tmp_path / "run", registry=faulty, metrics=["raises"], **SMALL)
    assert any("faulty.py` may explain this error" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("names", ["flip,crop", "images/flip,crop", ["flip", "images/crop"]])
def test_names_may_be_short_or_full_in_a_list_or_a_text(names: object) -> None:
    named = Registry.discover().with_methods({"augment": names})
    assert named == {"augment": ("flip", "crop")}


def test_weights_are_measured_without_a_metric_that_is_not_installed(
    tmp_path: Path, faulty: Registry
) -> None:
    model = zoo.train("mlp", "shapes", run=tmp_path / "run", **SMALL).model
    training = {**model.card.training, "metrics": ["gone/share", "macro-f1"]}
    model.card = structs.replace(model.card, training=training)
    with pytest.warns(
        zoo.ZooWarning, match="not measured, because no installed plugin provides it: gone/share"
    ):
        assert "macro-f1" in model.evaluate(progress=False)["metrics"]
    with pytest.raises(OptionError, match="unknown metric 'gone/share'"):
        model.evaluate(metrics=["gone/share"], progress=False)
