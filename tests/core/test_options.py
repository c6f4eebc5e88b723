"""Options as people type them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from zoo.config import options
from zoo.config.training import TrainConfig
from zoo.errors import OptionError


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("0.1", 0.1),
        ("3e-3", 0.003),
        ("1_000", 1000),
        ("true", True),
        ("[10, 20]", [10, 20]),
        ("{a = 1}", {"a": 1}),
        ('"1"', "1"),
        ("adamw", "adamw"),
        ("text/files", "text/files"),
        ("C:\\texts", "C:\\texts"),
        ("a=b", "a=b"),
        ("", ""),
        ("1\nb = 2", "1\nb = 2"),
    ],
)
def test_a_value_is_toml_where_it_can_be_and_a_string_elsewhere(raw: str, value: object) -> None:
    parsed = options.parse([f"key={raw}"], what="--data")
    assert parsed == {"key": value}
    assert type(parsed["key"]) is type(value)


def test_dashes_in_a_key_are_underscores() -> None:
    assert options.parse(["batch-size=4", "x=a-b"], what="--train") == {"batch_size": 4, "x": "a-b"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["epochs"], "--train 'epochs' is not of the form key=value"),
        (["=3"], "--train '=3' is not of the form key=value"),
        (["batch-size=1", "batch_size=2"], "--train batch_size is given twice"),
    ],
)
def test_a_malformed_word_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        options.parse(words, what="--train")
    assert str(caught.value) == told


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(OptionError) as caught:
        options.check_names(["lr", "epoch"], ["lr", "epochs"], what="training")
    assert str(caught.value) == "training has no option 'epoch'; did you mean 'epochs'? (known: epochs, lr)"


def test_an_owner_without_options_says_so() -> None:
    with pytest.raises(OptionError, match=r"corpus has no option 'x' \(known: none\)"):
        options.check_names(["x"], [], what="corpus")


@dataclass(frozen=True, kw_only=True)
class Knobs:
    size: Annotated[int, Meta(ge=1)] = 1
    mode: Literal["slow", "fast"] = "slow"
    modes: tuple[Literal["slow", "fast"], ...] = ()
    share: float = 0.5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 0}, "size: expected int >= 1 (0)"),
        ({"size": "4"}, "size: expected int, got str ('4')"),
        ({"size": True}, "size: expected int, got bool (True)"),
        ({"mode": "swift"}, "mode: invalid enum value 'swift' (one of 'slow', 'fast')"),
        ({"modes": ["slow", "swift"]}, "modes [1]: invalid enum value 'swift' (one of 'slow', 'fast')"),
        ({"share": float("inf")}, "share: expected a finite number, got inf"),
        ({"share": float("nan")}, "share: expected a finite number, got nan"),
    ],
)
def test_a_wrong_value_names_the_field_and_what_it_allows(change: dict[str, object], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        options.replace(Knobs(), change, what="knobs")
    assert str(caught.value) == f"knobs {told}"


def test_replacing_converts_and_leaves_the_original_alone() -> None:
    base = Knobs()
    assert options.replace(base, {"modes": ["fast"], "share": 1}, what="knobs") == Knobs(
        modes=("fast",), share=1.0
    )
    assert base == Knobs()


@pytest.mark.parametrize("type_", [str, str | None])
def test_a_whole_number_is_text_where_text_is_wanted(type_: Any) -> None:
    assert options.convert(2024, type_, what="root") == "2024"
    with pytest.raises(OptionError, match="root: expected str"):
        options.convert(True, type_, what="root")


@pytest.mark.parametrize("field", ["batch_size", "epochs", "lr", "weight_decay", "warmup_epochs"])
def test_a_recipe_holds_no_number_that_torch_could_not(field: str) -> None:
    value = 10**20 if field in ("batch_size", "epochs") else 1e300
    with pytest.raises(OptionError, match=f"recipe {field}: expected "):
        TrainConfig().replace({field: value})


def test_choices_that_are_numbers_are_told_too() -> None:
    with pytest.raises(OptionError, match=r"channels: invalid enum value 2 \(one of 1, 3\)"):
        options.convert(2, Literal[1, 3], what="channels")
