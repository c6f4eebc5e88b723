"""Options as people type them, and classes that check their own fields."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import pytest
from msgspec import Meta

from tests.configs import configured
from zoo.config import options
from zoo.config.declarations import declared, option
from zoo.config.recipe import Recipe
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
def test_what_was_typed_is_toml_if_possible_where_no_type_is_known(raw: str, value: object) -> None:
    parsed = options.parse([f"key={raw}"], what="--data")
    read = options.convert(parsed["key"], cast("type[Any]", Any), what="key")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("raw", "type_", "value"),
    [
        ("2024", str, "2024"),
        ("2024-01-01", str, "2024-01-01"),
        ("true", str, "true"),
        ("none", str, "none"),
        ("1", float, 1.0),
        (".5", float, 0.5),
        ("True", bool, True),
        ("none", int | None, None),
        ("None", tuple[str, ...], ()),
        ("flip", tuple[str, ...], ("flip",)),
        ("a.txt, b.txt", tuple[str, ...], ("a.txt", "b.txt")),
        ("90,5,5", list[int], [90, 5, 5]),
        ("[8, 16]", tuple[int, ...], (8, 16)),
        ("2024,2025", tuple[str, ...], ("2024", "2025")),
        ("a,b", str, "a,b"),
        ("1e3", int | str, "1e3"),
    ],
)
def test_what_was_typed_is_read_as_its_type_demands(raw: str, type_: Any, value: object) -> None:
    read = options.convert(options.Typed(raw), type_, what="key")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (None, int | None),
        (True, bool),
        (1e-5, float),
        (2.0, float),
        ((8, 16, 32), tuple[int, ...]),
        ((), tuple[str, ...]),
        (("a,b", "c"), tuple[str, ...]),
        (("[x]",), tuple[str, ...]),
        ([[1, 2], [3]], list[list[int]]),
        ({"a b": 1}, dict[str, int]),
        ("two words", str),
    ],
)
def test_a_value_can_be_typed_as_it_is_printed(value: object, type_: Any) -> None:
    assert options.convert(options.Typed(options.text(value)), type_, what="key") == value


def test_the_error_for_what_was_typed_quotes_it() -> None:
    positive: Any = Annotated[int, Meta(ge=1)]
    for raw, message in (("x", "an integer (got 'x')"), ("0", "at least 1 (got 0)")):
        with pytest.raises(OptionError) as caught:
            options.convert(options.Typed(raw), positive, what="size")
        assert str(caught.value) == f"size must be {message}"


def test_dashes_in_a_key_are_underscores() -> None:
    assert options.parse(["batch-size=4", "x=a-b"], what="--data") == {"batch_size": "4", "x": "a-b"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["epochs"], "--data expects KEY=VALUE (got 'epochs')"),
        (["=3"], "--data expects KEY=VALUE (got '=3')"),
        (["batch-size=1", "batch_size=2"], "--data sets batch_size twice"),
    ],
)
def test_a_malformed_word_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        options.parse(words, what="--data")
    assert str(caught.value) == message


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(OptionError) as caught:
        options.check_names(["lr", "epoch"], ["lr", "epochs"], what="training")
    assert str(caught.value) == "training has no option 'epoch'; did you mean 'epochs'?"


def test_the_error_says_if_there_are_no_options_at_all() -> None:
    with pytest.raises(OptionError, match=r"corpus has no option 'x' \(known: none\)"):
        options.check_names(["x"], [], what="corpus")


@dataclass(frozen=True, kw_only=True)
class Knobs:
    size: Annotated[int, Meta(ge=1)] = 1
    mode: Literal["slow", "fast"] = "slow"
    modes: tuple[Literal["slow", "fast"], ...] = ()
    share: float = 0.5
    sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options.validate(self, what="knobs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size must be at least 1 (got 0)"),
        ({"size": "4"}, "size must be an integer (got '4')"),
        ({"size": True}, "size must be an integer (got True)"),
        ({"mode": "swift"}, "mode must be one of 'fast', 'slow' (got 'swift')"),
        (
            {"modes": ["slow", "swift"]},
            "modes must be a list, each item one of 'fast', 'slow' (got ['slow', 'swift'])",
        ),
        ({"share": float("inf")}, "share must be finite (got inf)"),
        ({"share": float("nan")}, "share must be finite (got nan)"),
        ({"sizes": {"a": 1.5}}, "sizes must be a table, each value an integer (got {'a': 1.5})"),
        ({"sizes": [1]}, "sizes must be a table, each value an integer (got [1])"),
    ],
)
def test_the_error_for_a_wrong_value_names_the_field_and_what_it_must_be(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        Knobs(**change)
    assert str(caught.value) == f"knobs {message}"


def test_fields_are_converted_to_their_types() -> None:
    listed: Any = ["fast"]
    knobs = Knobs(modes=listed, share=1)
    assert knobs == Knobs(modes=("fast",), share=1.0)
    assert type(knobs.share) is float
    words: Any = "fast, slow"
    assert Knobs(modes=words).modes == ("fast", "slow")


@pytest.mark.parametrize(
    ("type_", "value", "description"),
    [
        (int | None, None, "an integer or none"),
        (Annotated[int, Meta(ge=1, le=9)], 10, "at most 9"),
        (Annotated[float, Meta(lt=1)], 1.0, "less than 1"),
        (Annotated[str, Meta(pattern="a", description="lower-case letters")], "A", "lower-case letters"),
        (tuple[int, ...], None, "a list, each item an integer"),
        (dict[str, Any], None, "a table"),
        (dict[str, str], None, "a table"),
        (Knobs, None, "a Knobs"),
        (Literal["x"], None, "'x'"),
    ],
)
def test_a_type_is_described_in_words(type_: Any, value: object, description: str) -> None:
    assert options.describe(type_, value) == description


@pytest.mark.parametrize("type_", [str, str | None])
def test_an_integer_is_accepted_where_a_string_is_wanted(type_: Any) -> None:
    assert options.convert(2024, type_, what="root") == "2024"
    with pytest.raises(OptionError, match=r"root must be a string.* \(got True\)"):
        options.convert(True, type_, what="root")


@pytest.mark.parametrize("name", ["batch_size", "epochs", "lr", "weight_decay", "warmup_epochs"])
def test_a_training_option_has_no_number_that_torch_cannot_represent(name: str) -> None:
    value = 10**20 if name in ("batch_size", "epochs") else 1e300
    with pytest.raises(OptionError, match=f"{name} must be at most (1,000,000,000|1e\\+38) "):
        configured().replace({name: value})


@pytest.mark.parametrize(
    ("value", "type_", "converted"),
    [
        (Path("a/b"), str, "a/b"),
        (Path("a/b"), str | None, "a/b"),
        ([Path("a"), "b"], tuple[str, ...], ("a", "b")),
        (np.array([1, 2]), tuple[int, ...], (1, 2)),
        ((np.int64(8),), tuple[int, ...], (8,)),
    ],
)
def test_paths_and_numbers_of_numpy_are_taken_as_what_they_stand_for(
    value: Any, type_: Any, converted: object
) -> None:
    """In a recipe, they are so from the start: files and other processes get JSON data."""
    assert options.convert(value, type_, what="it") == converted
    recipe = Recipe(architecture="mlp", dataset="shapes", data={"value": value})
    assert options.convert(json.loads(json.dumps(recipe.data["value"])), type_, what="it") == converted


def test_choices_may_be_numbers() -> None:
    choices: Any = Literal[1, 3]
    with pytest.raises(OptionError, match=r"channels must be one of 1, 3 \(got 2\)"):
        options.convert(2, choices, what="channels")


@pytest.mark.parametrize(
    "value",
    ["v1.0", "none", "None", '"a"', "'a'", "1.0", "[x]", "{a = 1}", "", " a", "a,b", "2024-01-01", "a\nb"],
)
@pytest.mark.parametrize("type_", [str, str | None, tuple[str, ...]])
def test_a_string_of_any_looks_can_be_typed_as_it_is_printed(value: str, type_: Any) -> None:
    if value.lower() == "none" and type_ == (str | None):
        pytest.skip("it says that there is no value")
    for one in (value,) if type_ != tuple[str, ...] else ((value,), (value, "x")):
        assert options.convert(options.Typed(options.text(one)), type_, what="key") == one


def test_a_table_in_a_table_can_be_typed() -> None:
    value = {"a": {"b": [1, True]}, "c": None}
    assert options.convert(options.Typed(options.text(value)), dict[str, Any], what="key") == {
        "a": value["a"]
    }


@pytest.mark.parametrize(
    ("raw", "type_", "message"),
    [
        ("9" * 5000, int, "must be an integer"),
        ("2024-01-01", int, "must be an integer (got '2024-01-01')"),
        ("nan,1", tuple[float, ...], "must be finite (got nan)"),
    ],
)
def test_an_odd_value_is_one_error_that_quotes_what_was_typed(raw: str, type_: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        options.convert(options.Typed(raw), type_, what="size")
    assert message in str(caught.value)


def test_the_help_of_an_option_is_its_own_before_that_of_the_docstring() -> None:
    @dataclass
    class Described:
        """Some options.

        Attributes:
            width: in the docstring.
            depth: in the docstring.
        """

        width: int = option(1, "in the option.")
        depth: int = 1

    helps = {name: each.help for name, each in declared(Described).items()}
    assert helps == {"width": "in the option.", "depth": "in the docstring."}
