"""Specs and recipes."""

from __future__ import annotations

import json

import pytest

from zoo.config.training import ImageFields, TrainConfig
from zoo.errors import OptionError, SpecError
from zoo.registry.specs import ArchitectureSpec


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimiser": "sgd"}, "recipe has no option 'optimiser'; did you mean 'optimizer'?"),
        ({"optimizer": "rms"}, "optimizer: invalid enum value 'rms' (one of 'sgd', 'adam', 'adamw')"),
        ({"schedule": "linear"}, "(one of 'constant', 'cosine', 'one-cycle', 'cosine-restarts')"),
        ({"augment": ["crop", "flop"]}, "augment [1]: invalid enum value 'flop' (one of 'crop', 'cutout', "),
        ({"lr": 0}, "recipe lr: expected float > 0"),
        ({"momentum": 1.0}, "recipe momentum: expected float < 1"),
        ({"epochs": 1.5}, "recipe epochs: expected int, got float"),
        ({"bptt_jitter": 1}, "recipe bptt_jitter: expected bool, got int"),
    ],
)
def test_a_wrong_recipe_field_is_refused_by_name(change: dict[str, object], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        TrainConfig().replace(change)
    assert told in str(caught.value)


def test_a_recipe_survives_json() -> None:
    config = TrainConfig(lr=0.2, epochs=3, images=ImageFields(augment=("crop", "flip")))
    assert TrainConfig().replace(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("no_such_package.models:Net", "No module named 'no_such_package'"),
        ("json:Net", "does not resolve"),
        ("not an import string", "does not resolve"),
        ("json:__name__", "is a str, not a class or function"),
    ],
)
def test_a_target_that_is_not_there_is_a_spec_error(target: str, told: str) -> None:
    spec = ArchitectureSpec(name="x", target=target, task="classification", summary="")
    with pytest.raises(SpecError) as caught:
        spec.load()
    assert target in str(caught.value)
    assert told in str(caught.value)


def test_a_target_is_what_it_names() -> None:
    spec = ArchitectureSpec(name="x", target="json:JSONDecoder", task="classification", summary="")
    assert spec.load() is json.JSONDecoder


def test_words_between_commas_are_a_tuple() -> None:
    assert TrainConfig().replace({"augment": "crop, flip"}).augment == ("crop", "flip")
    assert TrainConfig().replace({"freeze": "stem"}).freeze == ("stem",)
    assert TrainConfig().replace({"augment": ""}).augment == ()
    with pytest.raises(OptionError, match="'zoom'"):
        TrainConfig().replace({"augment": "flip,zoom"})
