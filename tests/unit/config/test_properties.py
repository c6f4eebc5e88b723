"""Properties of every option, recipe and card: what zoo writes, it reads, and it reads nothing else."""

from __future__ import annotations

import contextlib
import json
import tomllib
from pathlib import Path
from typing import Any

import rtoml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.configs import FIELDS, configured
from tests.nightly.reliability.files import CARD
from zoo import OptionError, Recipe
from zoo.config import options
from zoo.errors import WeightsError, printable
from zoo.files.canonical import canonical_json, parse_json, readable_json
from zoo.files.cards import parse_card

QUICK = settings(derandomize=True, deadline=None, max_examples=60, database=None)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(PLAIN, lambda item: st.lists(item, max_size=4) | st.dictionaries(TEXTS, item, max_size=4))

# A type of an option, and its values
TYPED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, TEXTS),
    (tuple[int, ...], st.lists(st.integers(-(10**6), 10**6), max_size=5).map(tuple)),
    (tuple[str, ...], st.lists(TEXTS, max_size=4).map(tuple)),
    (int | None, st.none() | st.integers(-5, 5)),
    (list[float], st.lists(st.floats(-1e9, 1e9), max_size=5)),
]


@QUICK
@given(st.sampled_from(TYPED).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_an_option_is_accepted_as_it_is_printed(case: tuple[Any, Any]) -> None:
    type_, value = case
    assert options.convert(options.Typed(options.text(value)), type_, what="x") == value


@QUICK
@given(TEXTS, st.sampled_from([type_ for type_, _ in TYPED]))
def test_what_is_typed_is_a_value_or_an_option_error(word: str, type_: Any) -> None:
    try:
        options.convert(options.Typed(word), type_, what="x")
    except OptionError as error:
        assert str(error).isprintable()  # noqa: PT017


@QUICK
@given(st.data())
def test_a_recipe_survives_toml(data: st.DataObject) -> None:
    table = st.dictionaries(TEXTS, st.booleans() | NUMBERS | TEXTS | st.lists(TEXTS, max_size=3), max_size=3)
    recipe = Recipe(
        architecture=data.draw(TEXTS),
        dataset=data.draw(TEXTS),
        summary=data.draw(TEXTS),
        model=data.draw(table),
        data=data.draw(table),
        train={"lr": data.draw(st.floats(1e-9, 10)), "epochs": data.draw(st.integers(1, 10**9))},
        seed=data.draw(st.integers(-(2**63), 2**63 - 1)),
    )
    text = rtoml.dumps({"recipes": {"it": recipe.to_dict()}})
    assert Recipe(**tomllib.loads(text)["recipes"]["it"]) == recipe


@QUICK
@given(st.sampled_from([*FIELDS]), JSON)
def test_a_training_option_is_valid_or_an_option_error(name: str, value: Any) -> None:
    try:
        config = configured().replace({name: value})
    except OptionError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert configured().replace(json.loads(canonical_json(config.to_dict()))) == config


@QUICK
@given(st.dictionaries(TEXTS, JSON, max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_a_card_survives_json(table: dict[str, Any], versions: dict[str, str]) -> None:
    card = parse_card(json.dumps(CARD.to_dict() | {"arguments": table, "versions": versions}), Path("x"))
    assert parse_card(card.to_json(), Path("x")) == card


@QUICK
@given(st.sampled_from([*CARD.to_dict()]), JSON)
def test_what_is_no_card_is_a_weights_error(field: str, value: Any) -> None:
    try:
        card = parse_card(json.dumps(CARD.to_dict() | {field: value}), Path("x"))
    except WeightsError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert parse_card(card.to_json(), Path("x")) == card


@QUICK
@given(TEXTS | st.binary(max_size=40).map(lambda data: data.decode(errors="surrogateescape")))
def test_text_that_is_no_json_is_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_json(text)


@QUICK
@given(
    st.recursive(
        PLAIN | st.floats() | st.text(), lambda item: st.lists(item) | st.dictionaries(st.text(), item)
    )
)
def test_a_document_is_ascii_and_strict(document: Any) -> None:
    text = readable_json(document)
    assert text.isascii()
    assert parse_json(text) is not None or document is None or isinstance(document, float)


@QUICK
@given(st.text())
def test_what_is_printable_is_one_line_of_text(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
