"""What a model computes is a list: computed when it is read, and kept when all of it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import zoo
from zoo.errors import OptionError

QUIET: dict[str, Any] = {"progress": False}
TEXTS = ["the will to power", "beyond <good>"]

pytestmark = pytest.mark.filterwarnings("ignore:tokens that are not in the model's vocabulary")


@pytest.fixture(scope="module")
def model() -> zoo.Model:
    return zoo.load("nietzsche-rnn", **QUIET)


@pytest.fixture
def calls(model: zoo.Model) -> Iterator[list[int]]:
    """Yield a list that grows whenever the module computes."""
    found: list[int] = []
    hook = model.module.register_forward_pre_hook(lambda *_: found.append(1))
    yield found
    hook.remove()


def test_nothing_is_computed_before_it_is_read_nor_twice(model: zoo.Model, calls: list[int]) -> None:
    rows = model.predict(TEXTS, **QUIET)
    assert calls == []
    assert [row["input"] for row in rows] == ["input 0", "input 1"]
    assert len(calls) == 2
    assert len(rows) == 2
    assert len(calls) == 4, "iterating keeps nothing"
    assert rows[1]["predictions"][0]["tokens"] == 13
    assert list(rows) == rows == rows[:] == model.predict(TEXTS, **QUIET)
    assert repr(rows) == repr([*rows])
    assert len(calls) == 6
    assert rows != rows[:1]


def test_a_list_of_the_rows_computes_them_once(model: zoo.Model, calls: list[int]) -> None:
    assert len(list(model.predict(TEXTS, **QUIET))) == len(calls) == 2


def test_an_iterator_of_inputs_is_read_once(model: zoo.Model) -> None:
    rows = model.predict(iter(TEXTS), **QUIET)
    assert [row["input"] for row in rows] == ["input 0", "input 1"]
    with pytest.raises(OptionError, match="the inputs are an iterator, which can be read only once"):
        len(rows)
    kept = model.predict(iter(TEXTS), **QUIET)
    assert (len(kept), len([*kept])) == (2, 2)


def test_a_notebook_shows_a_table(model: zoo.Model) -> None:
    rows = model.predict(TEXTS * 30, **QUIET)
    table = rows._repr_html_()
    assert table.startswith(
        "<table><tr><th>input</th><th>predictions</th><th>error</th></tr><tr><td>input 0</td>"
    )
    assert table.count("<tr>") == 51
    assert table.endswith("<p>and 10 more</p>")
    (shown,) = model.features(["<a> to b"], **QUIET)._repr_html_().split("<tr>")[2:]
    assert shown.endswith(
        f", …</td><td>{model.features(TEXTS, **QUIET)[0]['features'].size}</td><td></td></tr></table>"
    )


def test_features_become_one_array(model: zoo.Model) -> None:
    found = model.features(TEXTS, **QUIET)
    array = np.asarray(found)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [row["features"] for row in found])
    assert np.asarray(found, np.float64).dtype == np.float64


def test_texts_are_drawn_when_they_are_read(model: zoo.Model, calls: list[int]) -> None:
    texts = model.sample("the ", samples=2, max_new_tokens=10, **QUIET)
    assert calls == []
    assert [len(text) for text in texts] == [10, 10]
    assert len(calls) == 10
    assert str(texts) == f"{texts[0]}\n{texts[1]}"
    assert texts == [*texts]
    assert repr(texts) == repr([*texts])
    assert len(calls) == 10, "they are kept"
    assert "".join(token for token, _ in texts.stream()) == texts[0]
