"""Specs, training configurations and recipes check themselves when they are made."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.configs import configured
from zoo.config.recipe import Recipe
from zoo.config.train_config import TrainConfig
from zoo.errors import OptionError, SpecError
from zoo.registry.specs import (
    AnalyzerSpec,
    ArchitectureSpec,
    DatasetSpec,
    MetricSpec,
    Pretrained,
    TaskSpec,
)
from zoo_images.fields import ImageFields
from zoo_text.fields import TextFields

NET: dict[str, Any] = {"name": "net", "target": "m:Net", "task": "classification", "summary": "A net"}
CAM: dict[str, Any] = {"name": "cam", "target": "m:Cam", "tasks": ("classification",), "summary": "A map"}

LISTED = Pretrained(size=24)


def net(**changes: Any) -> ArchitectureSpec:
    fields: dict[str, Any] = {**NET, **changes}
    return ArchitectureSpec(**fields)


# Training configurations


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("lr", -1, "lr must be greater than 0 (got -1)"),
        ("lr", math.nan, "lr must be finite (got nan)"),
        ("epochs", "x", "epochs must be an integer (got 'x')"),
        ("momentum", 1.0, "momentum must be less than 1 (got 1.0)"),
        ("optimizer", 3.5, "optimizer must be a string (got 3.5)"),
        ("optimizer_options", "beta2=0.9", "optimizer_options must be a table (got 'beta2=0.9')"),
        ("lr_scales", {"head": 0}, "lr_scales: head must be greater than 0 (got 0)"),
        ("precision", "fp8", "precision must be one of 'auto', 'bf16', 'fp16', 'fp32' (got 'fp8')"),
        ("bptt_jitter", 1, "bptt_jitter must be true or false (got 1)"),
        ("mixup_alpha", -0.5, "mixup_alpha must be at least 0 (got -0.5)"),
        ("augment", ["crop", 3], "augment must be a list, each item a string (got ['crop', 3])"),
    ],
)
def test_a_wrong_training_option_is_refused_wherever_it_is_set(field: str, value: Any, message: str) -> None:
    groups = (TrainConfig, ImageFields, TextFields)
    (owner,) = [group for group in groups if field in group.__dataclass_fields__]
    for make in (
        lambda: owner(**{field: value}),
        lambda: dataclasses.replace(owner(), **{field: value}),
        lambda: configured().replace({field: value}),
    ):
        with pytest.raises(OptionError) as caught:
            make()
        assert str(caught.value) == message


def test_users_see_one_flat_list_of_training_fields() -> None:
    config = configured().replace({"lr": 0.2, "augment": ["crop", "flip"], "bptt": 9})
    assert config == configured(lr=0.2, augment=("crop", "flip"), bptt=9)
    assert config.changed() == {"lr": 0.2, "augment": ["crop", "flip"], "bptt": 9}
    assert config.to_dict().keys().isdisjoint({"images", "text"})
    assert configured().replace(json.loads(json.dumps(config.to_dict()))) == config


def test_a_list_of_words_may_be_separated_by_commas() -> None:
    assert configured(augment="crop, flip").to_dict()["augment"] == ["crop", "flip"]
    assert configured().replace({"freeze": "stem"}).freeze == ("stem",)
    assert configured(augment="").to_dict()["augment"] == []


# Recipes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": None}, "architecture must be a string (got None)"),
        ({"seed": "1"}, "seed must be an integer (got '1')"),
        ({"seed": True}, "seed must be an integer (got True)"),
        ({"model": [1]}, "model must be a table (got [1])"),
        ({"from_weights": 1.5}, "from_weights must be a string (got 1.5)"),
    ],
)
def test_a_wrong_field_of_a_recipe_is_refused(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"architecture": "net", "dataset": "data", **change}
    with pytest.raises(OptionError) as caught:
        Recipe(**fields)
    assert str(caught.value) == message


def test_a_recipe_is_json_data() -> None:
    recipe = Recipe(architecture="net", dataset="data", train={"lr": 0.1}, seed=3)
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


# Specs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"summary": None}, "architecture 'net': summary must be a string (got None)"),
        ({"name": "../net"}, "architecture '../net': name must be lowercase letters, digits and - . _ +"),
        (
            {"landmarks": {"banana": "stages"}},
            "architecture 'net': landmarks must be a table, each key one of 'class_maps', 'features', "
            "'head', 'mean_head', 'tokens' (got {'banana': 'stages'})",
        ),
        ({"landmarks": {"head": 3}}, "architecture 'net': landmarks must be a table"),
        ({"training": {"lr": -1}}, "lr must be greater than 0 (got -1)"),
        ({"config": [1]}, "architecture 'net': config must be a table (got [1])"),
        ({"context_length": -1}, "architecture 'net': context_length must be an integer of at least 0 or "),
        ({"context_length": True}, "architecture 'net': context_length must be an integer of at least 0 or"),
        ({"smallest_image": -1}, "architecture 'net': smallest_image must be an integer of at least 0 (got"),
        ({"parameters": 1e6}, "architecture 'net': parameters must be an integer of at least 0 (got 1000000"),
        ({"pretrained": {"a b": {}}}, "architecture 'net': pretrained must be a table, each key letters,"),
        ({"pretrained": {"a": 3}}, "architecture 'net': pretrained must be a table, each key letters, "),
        ({"expected_failures": ["exports"]}, "architecture 'net': expected_failures must be a table (got ["),
    ],
)
def test_a_wrong_field_of_a_spec_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        net(**change)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("field", ["summary", "target", "source", "unexportable", "data_dependent", "task"])
@pytest.mark.parametrize("text", ["two\nlines", "red \x1b[31m", "gnp\u202e.exe", "a\tb", "a\u2028b", "\x00"])
def test_a_text_that_a_terminal_would_obey_is_refused(field: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        net(**{field: text})
    message = f"architecture 'net': {field} must be one line of printable text (got {text!r})"
    assert str(caught.value) == message
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("why", ["", " ", "two\nlines", "\x1b[31m"])
def test_an_expected_failure_has_a_reason_in_one_line(why: str) -> None:
    with pytest.raises(SpecError, match="the reason for 'exp"):
        net(expected_failures={"exports": why})


def test_pretrained_weights_have_a_mean_and_a_deviation_per_channel() -> None:
    weights = Pretrained(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    assert net(pretrained={"IMAGENET1K_V1": weights}).pretrained["IMAGENET1K_V1"] is weights
    with pytest.raises(SpecError, match=r"mean and std must each have one value per channel \(got 3 and 1\)"):
        Pretrained(mean=(0.5, 0.4, 0.3), std=(0.2,))
    with pytest.raises(OptionError, match="pretrained: std must be a list, each item a number"):
        Pretrained(mean=(0.5,), std=(0,))
    with pytest.raises(SpecError, match="pretrained: source must be one line of printable text"):
        Pretrained(source="a\x1b")


def test_pretrained_weights_may_be_listed_only_when_they_are_used() -> None:
    spec = net(pretrained_target="tests.unit.registry.test_specs:listed", config={"depth": 3})
    assert spec.pretrained == {}
    assert spec.all_pretrained().keys() == {"true", "tag-3"}
    assert spec.starts_from({"pretrained": True}) is spec.starts_from({"pretrained": "true"}) is not None
    missing = net(pretrained_target="tests.unit.registry.missing:listed")
    for none in ({}, {"pretrained": False}, {"pretrained": "none"}):
        assert missing.starts_from(none) is None, "without importing anything"
    with pytest.raises(
        OptionError, match="net has no pretrained weights 'tag-4'; did you mean 'tag-3'"
    ) as caught:
        spec.starts_from({"pretrained": "tag-4"})
    assert caught.value.hint == "pretrained must be one of true, tag-3, none"
    with pytest.raises(OptionError, match="net has no pretrained weights 'true'") as caught:
        net(pretrained_target="builtins:dict").starts_from({"pretrained": True})
    assert caught.value.hint is None


def listed(*, depth: int) -> dict[str, Pretrained]:
    return {"true": LISTED, f"tag-{depth}": LISTED}


def test_the_other_specs_check_themselves_too() -> None:
    with pytest.raises(OptionError, match=r"dataset 'net': download_bytes must be at least 0 \(got -1\)"):
        DatasetSpec(**NET, download_bytes=-1)
    with pytest.raises(SpecError, match="dataset 'net': license must be one line of printable text"):
        DatasetSpec(**NET, license="MIT\n")
    clas: Any = ("clas",)
    with pytest.raises(OptionError, match="analyzer 'cam': ignores must be a list, each item one of 'class'"):
        AnalyzerSpec(**CAM, ignores=clas)
    with pytest.raises(OptionError, match=r"analyzer 'cam': needs must be one of .* did you mean 'features'"):
        AnalyzerSpec(**CAM, needs=("class_maps|feature",))


def test_the_shape_of_outputs_names_dims_and_numbers() -> None:
    fields: dict[str, Any] = {"name": "days", "target": "m:Days", "summary": "Days", "processor": "m:P"}
    fields |= {"tiny": "m:Tiny", "dims": {"horizon": 24}}
    spec = TaskSpec(**fields, output_shape=("horizon", 3))
    assert spec.shape_of_outputs({"horizon": 12}) == (12, 3)
    with pytest.raises(
        SpecError, match="'days': output_shape has an unknown dim 'horizn'; did you mean 'hor"
    ):
        TaskSpec(**fields, output_shape=("horizn", 3))
    with pytest.raises(OptionError, match="'days': output_shape must be a list, each item"):
        TaskSpec(**fields, output_shape=("horizon", 0))


def test_a_target_value_is_a_number_and_not_a_direction() -> None:
    fields: dict[str, Any] = {"name": "coverage", "target": "m:Coverage", "summary": "Coverage"}
    assert MetricSpec(**fields, target_value=0.9).target_value == 0.9
    with pytest.raises(SpecError, match="'coverage': target_value and higher_is_better exclude each other"):
        MetricSpec(**fields, target_value=0.9, higher_is_better=True)
    with pytest.raises(OptionError, match=r"metric 'coverage': target_value must be finite \(got nan\)"):
        MetricSpec(**fields, target_value=math.nan)
    assert MetricSpec(**fields, target_value=40, unit="s").target_value == 40
    with pytest.raises(SpecError, match=r"'coverage': target_value must be at most 1, since .* \(got 90\)"):
        MetricSpec(**fields, target_value=90, unit="%")


def test_an_analyzer_may_be_for_every_task_whose_data_has_some_dims() -> None:
    fields: Any = {"target": "m:f", "summary": "s", "processor": "m:p", "tiny": "m:f"}
    images = {"in_channels": 3, "image_size": 32}
    tasks = {
        name: TaskSpec(name=name, dims=dims, **fields)
        for name, dims in {"text": {"vocab_size": 9}, "images": images, "masks": {**images, "k": 2}}.items()
    }
    about: Any = {"name": "near", "target": "m:f", "summary": "s", "tasks": ("text",)}
    assert AnalyzerSpec(**about).among(tasks).tasks == ("text",)
    wide = AnalyzerSpec(**about, dims=("in_channels", "image_size"))
    assert wide.among(tasks).tasks == ("text", "images", "masks")
    assert wide.among(tasks).dims == wide.dims
    assert AnalyzerSpec(**{**about, "tasks": ()}).among(tasks).tasks == ("text", "images", "masks")


def test_an_analyzer_may_need_either_of_two_landmarks() -> None:
    spec = AnalyzerSpec(**CAM, needs=("features", "class_maps|mean_head"))
    assert spec.lacks({"features", "mean_head"}) == []
    assert spec.lacks({"head"}) == ["features", "class_maps|mean_head"]
    fitting = ArchitectureSpec(**NET, landmarks={"features": "stages", "class_maps": "out"})
    assert spec.fits(fitting)
    assert not spec.fits(dataclasses.replace(fitting, task="language-modeling"))


# Targets


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_package.models:Net", "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
        ("json:Net", "cannot be imported: AttributeError: "),
        ("not an import string", "cannot be imported: ValueError: "),
        ("json:__name__", "must be a class or a function (got a str)"),
    ],
)
def test_a_target_that_does_not_resolve_is_a_spec_error(target: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        net(target=target).load()
    assert str(caught.value).startswith(f"target {target!r} {message}")


def test_what_a_module_prints_while_it_is_imported_goes_to_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chatty_net.py").write_text("print('hello')\ndef net(): ...")
    monkeypatch.syspath_prepend(tmp_path)
    net(target="chatty_net:net").load()
    assert capsys.readouterr() == ("", "hello\n")


def test_a_target_is_what_it_names() -> None:
    assert net(target="json:JSONDecoder").load() is json.JSONDecoder
