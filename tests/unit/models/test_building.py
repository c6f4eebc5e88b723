"""From names and options to models and datasets."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import nn

import zoo
from tests.trainings import set_up
from zoo.config.recipe import Recipe
from zoo.data.opening import open_dataset
from zoo.errors import OptionError, SpecError
from zoo.interfaces import make_task
from zoo.models.building import build_model, model_arguments, on_meta
from zoo.models.cost import measure_cost
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec
from zoo_images.plugin import CLASSIFICATION


class Net(nn.Module):
    """A classifier with an option of each sort."""

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        num_classes: int,
        width: int = 4,
        widths: tuple[int, ...] = (1, 2),
        mode: Literal["plain", "fancy"] = "plain",
    ) -> None:
        super().__init__()
        if width > 99:
            raise ValueError("a width above 99 is not for this net\nreally")
        self.out = nn.Linear(in_channels * image_size**2, num_classes)


class Deep(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3)
        self.table = nn.Parameter(torch.zeros(1, 2, 3, 4, 5))


def not_a_net(**_: Any) -> str:
    return "net"


def entry(name: str, **changes: Any) -> Entry[Any]:
    fields: dict[str, Any] = {
        "name": "net",
        "target": f"{__name__}:{name}",
        "task": "classification",
        "summary": "",
    }
    plugin = Plugin(name="acme", status="ok", where="acme.plugin")
    return Entry("architecture", ArchitectureSpec(**fields | changes), plugin)


TASK = CLASSIFICATION
DIMS = {"in_channels": 1, "image_size": 2, "num_classes": 3}
NET = entry("Net", config={"width": 8})


def test_arguments_are_dims_then_defaults_then_the_preset_then_the_user() -> None:
    assert model_arguments(NET, TASK, DIMS, {}) == DIMS | {"width": 8, "widths": [1, 2], "mode": "plain"}
    given = {"width": 5, "widths": [3], "mode": "fancy"}
    assert model_arguments(NET, TASK, DIMS, given) == DIMS | given


def test_the_dims_are_not_offered_as_options() -> None:
    with pytest.raises(OptionError, match=r"\(known: mode, width, widths\)"):
        model_arguments(NET, TASK, DIMS, {"x": 1})


def test_a_dataset_must_declare_the_dims_of_its_task() -> None:
    with pytest.raises(
        SpecError, match="the dataset does not declare image_size, num_classes, which classification requires"
    ):
        model_arguments(NET, TASK, {"in_channels": 3}, {})


def test_initial_weights_are_drawn_from_the_seed_and_nothing_else_is_drawn() -> None:
    before = torch.get_rng_state()
    models: list[Any] = [build_model(NET, DIMS, seed=seed) for seed in (1, 1, 2)]
    one, again, other = models
    assert torch.equal(one.out.weight, again.out.weight)
    assert not torch.equal(one.out.weight, other.out.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_refuses_its_arguments_is_quoted_in_one_line() -> None:
    with pytest.raises(SpecError) as caught:
        build_model(NET, DIMS | {"width": 100})
    assert str(caught.value).startswith("acme/net cannot be built with in_channels=1, ")
    assert str(caught.value).endswith("width=100: a width above 99 is not for this net")


def test_a_target_must_build_a_torch_module() -> None:
    with pytest.raises(SpecError, match=r"must return an nn\.Module \(got a str\)"):
        build_model(entry("not_a_net"), DIMS)


def test_a_target_must_return_a_dataset() -> None:
    spec = DatasetSpec(name="net", target=f"{__name__}:not_a_net", task="classification", summary="")
    with pytest.raises(SpecError, match=r"must return a zoo\.interfaces\.Dataset \(got a str\)"):
        open_dataset(Entry("dataset", spec, NET.plugin), {})


@pytest.mark.parametrize(("name", "parameters"), [("lstm", 3_271_016), ("resnet-lite", 769_170)])
def test_parameters_and_flops_are_counted_without_building_the_model(
    registry: Registry, name: str, parameters: int
) -> None:
    before = torch.get_rng_state()
    entry = registry.architecture(name)
    cost = measure_cost(entry, registry.task(entry.spec.task), make_task(registry, entry.spec.task))
    assert cost["parameters"] == parameters
    assert cost["flops"] > parameters  # a weight counts twice: it multiplies and adds
    assert torch.equal(torch.get_rng_state(), before)


# Those of zoo_timm have no number: they are the library's
COUNTED = [entry for entry in Registry.discover().entries("architecture") if entry.plugin.name != "timm"]


@pytest.mark.parametrize("entry", COUNTED, ids=lambda entry: entry.name)
def test_an_architecture_of_ours_has_as_many_parameters_as_it_says(entry: Any, registry: Registry) -> None:
    cost = measure_cost(entry, registry.task(entry.spec.task), make_task(registry, entry.spec.task))
    assert cost["parameters"] == entry.spec.parameters


def test_images_that_are_too_small_are_refused(registry: Registry) -> None:
    resnet = registry.architecture("resnet20")
    large = dataclasses.replace(resnet.spec, name="large", smallest_image=64)
    plugin = replace(NET.plugin, specs=(("architecture", large),))
    ours = Registry([*registry.plugins, plugin])
    message = r"^acme/large needs images of at least 64×64 pixels \(got 32×32\)(?m:$)"
    with pytest.raises(OptionError, match=message) as caught:
        set_up(
            Recipe(architecture="large", dataset="shapes", data={"train_size": 8, "val_size": 0}),
            ours,
            device="cpu",
        )
    assert caught.value.hint == "choose a size of at least 64 pixels"
    with pytest.raises(OptionError, match=message):
        zoo.create_model("large", registry=ours)


def test_an_architecture_is_measured_with_images_that_it_can_read(registry: Registry) -> None:
    resnet = registry.architecture("resnet20")
    large = replace(resnet, spec=dataclasses.replace(resnet.spec, smallest_image=64))
    cost = measure_cost(large, registry.task("classification"), make_task(registry, "classification"))
    assert cost["measured_at"] == {"in_channels": 3, "image_size": 64, "num_classes": 10}
    assert cost["parameters"] == 269_722


def test_an_example_may_come_from_numpy(registry: Registry) -> None:
    entry, task = registry.architecture("resnet20"), make_task(registry, "classification")
    task.example = lambda dims: torch.from_numpy(np.zeros((1, 3, 32, 32), np.float32))
    cost = measure_cost(entry, registry.task("classification"), task)
    assert cost["parameters"] == 269_722


def test_4d_weights_are_channels_last_and_5d_weights_may_exist() -> None:
    model: Any = build_model(entry("Deep"), {"in_channels": 3, "image_size": 32, "num_classes": 10})
    assert model.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.table.shape == (1, 2, 3, 4, 5)


def test_building_on_meta_skips_normal_numbers_and_only_there() -> None:
    with on_meta():
        planned = nn.Embedding(4, 3)
        here = nn.init.normal_(torch.zeros(1_000, device="cpu"))
    assert planned.weight.is_meta
    assert here.std() == pytest.approx(1.0, abs=0.2)


@pytest.mark.slow  # in a process
def test_building_on_meta_does_not_import_torchs_compiler() -> None:
    code = (
        "import sys; from torch import nn; from zoo.models.building import on_meta\n"
        "with on_meta():\n"
        "    nn.init.kaiming_normal_(nn.Embedding(4, 3).weight)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
