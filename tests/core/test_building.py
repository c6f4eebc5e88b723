"""From names and options to models and datasets."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import nn

from zoo.data.opening import open_dataset
from zoo.errors import DataError, OptionError, SpecError
from zoo.evaluation.measure import measure
from zoo.models.building import build_model, check_same_task, model_arguments
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import ArchitectureSpec, DatasetSpec


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


def needy(*, in_channels: int, image_size: int, num_classes: int, depth: int) -> nn.Module:
    return nn.Identity()


class Deep(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3)
        self.table = nn.Parameter(torch.zeros(1, 2, 3, 4, 5))


def not_a_net(**_: Any) -> str:
    return "net"


def entry(name: str, **changes: Any) -> Entry[Any]:
    fields = {"name": "net", "target": f"{__name__}:{name}", "task": "classification", "summary": ""}
    plugin = Plugin(name="acme", status="ok", where="acme.plugin")
    return Entry("architecture", ArchitectureSpec(**(fields | changes)), plugin)


DIMS = {"in_channels": 1, "image_size": 2, "num_classes": 3}
NET = entry("Net", config={"width": 8})


def test_arguments_are_dims_then_defaults_then_the_preset_then_the_user() -> None:
    assert model_arguments(NET, DIMS, {}) == DIMS | {"width": 8, "widths": [1, 2], "mode": "plain"}
    given = {"width": 5, "widths": [3], "mode": "fancy"}
    assert model_arguments(NET, DIMS, given) == DIMS | given


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"widht": 3}, "architecture acme/net has no option 'widht'; did you mean 'width'?"),
        ({"image_size": 3}, "architecture acme/net has no option 'image_size'"),
        ({"width": "3"}, "architecture acme/net: width: expected int, got str"),
        ({"widths": [1, "2"]}, "architecture acme/net: widths [1]: expected int, got str"),
        ({"mode": "grand"}, "(one of 'plain', 'fancy')"),
    ],
)
def test_a_wrong_option_is_refused_by_name(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        model_arguments(NET, DIMS, given)
    assert told in str(caught.value)


def test_the_dims_are_not_offered_as_options() -> None:
    with pytest.raises(OptionError, match=r"\(known: mode, width, widths\)"):
        model_arguments(NET, DIMS, {"x": 1})


def test_an_option_without_a_default_is_asked_for() -> None:
    with pytest.raises(OptionError) as caught:
        model_arguments(entry("needy"), DIMS, {})
    assert str(caught.value) == "architecture acme/net needs depth"


def test_data_that_does_not_say_its_dims_is_refused() -> None:
    with pytest.raises(SpecError, match="the dataset does not say its image_size, num_classes"):
        model_arguments(NET, {"in_channels": 3}, {})


def test_initial_weights_are_drawn_from_the_seed_and_nothing_else_is_drawn() -> None:
    before = torch.get_rng_state()
    one, again, other = (build_model(NET, DIMS, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.out.weight, again.out.weight)
    assert not torch.equal(one.out.weight, other.out.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_refuses_its_arguments_is_quoted_in_one_line() -> None:
    with pytest.raises(SpecError) as caught:
        build_model(NET, DIMS | {"width": 100})
    assert str(caught.value).startswith("acme/net cannot be built with in_channels=1, ")
    assert str(caught.value).endswith("width=100: a width above 99 is not for this net")


def test_what_is_no_torch_module_is_refused() -> None:
    with pytest.raises(SpecError, match="built a str, not a torch module"):
        build_model(entry("not_a_net"), DIMS)


def test_data_of_another_task_is_refused_with_where_to_look(registry: Registry) -> None:
    with pytest.raises(
        SpecError, match="convnet/resnet-lite does classification, and text/stdlib is"
    ) as caught:
        check_same_task(registry.architecture("resnet-lite"), registry.dataset("stdlib"))
    assert "zoo list dataset --where task=classification" in (caught.value.hint or "")
    assert check_same_task(registry.architecture("lstm"), registry.dataset("stdlib")) == "language-modelling"


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("text/files", {}, "dataset text/files needs paths"),
        ("text/files", {"path": "a"}, "dataset text/files has no option 'path'; did you mean 'paths'?"),
        ("text/files", {"paths": "a", "min_freq": 0}, "dataset text/files: min_freq: expected int >= 1"),
        ("images/shapes", {"size": 8}, "dataset images/shapes: size: expected int >= 16"),
    ],
)
def test_a_wrong_option_of_a_dataset_is_refused(
    registry: Registry, name: str, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(OptionError) as caught:
        open_dataset(registry.dataset(name), given)
    assert told in str(caught.value)


def test_a_dataset_s_own_complaint_is_passed_on(registry: Registry) -> None:
    with pytest.raises(DataError, match="there is no file or folder 'nowhere'"):
        open_dataset(registry.dataset("text/files"), {"paths": "nowhere"})


def test_what_is_no_dataset_is_refused() -> None:
    spec = DatasetSpec(name="net", target=f"{__name__}:not_a_net", task="classification", summary="")
    with pytest.raises(SpecError, match=r"is not a zoo\.interfaces\.Dataset"):
        open_dataset(Entry("dataset", spec, NET.plugin), {})


@pytest.mark.parametrize(("name", "parameters"), [("lstm", 3_271_016), ("resnet-lite", 769_170)])
def test_a_model_is_measured_without_being_made(registry: Registry, name: str, parameters: int) -> None:
    before = torch.get_rng_state()
    told = measure(registry.architecture(name))
    assert told["parameters"] == parameters
    assert told["flops"] > parameters  # each parameter multiplies and adds at least once, biases apart
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_four_dimensions_lie_channels_last_and_those_of_five_may_exist() -> None:
    model = build_model(entry("Deep"), {"in_channels": 3, "image_size": 32, "num_classes": 10})
    assert model.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.table.shape == (1, 2, 3, 4, 5)
