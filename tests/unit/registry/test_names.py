"""One index of names, and one rule for what a name means."""

from __future__ import annotations

import warnings

import pytest

from zoo.errors import AmbiguousName, ZooWarning
from zoo.registry.name_index import KINDS, Named, Names

NAMES = Names(
    [
        Named("dataset", "acme/cam", 3),
        Named("architecture", "acme/gru", 3),
        Named("architecture", "acme/net", 3),
        Named("architecture", "beta/gru", 3),
        Named("analyzer", "cam/cam", 2),
        Named("architecture", "ours/net", 2),
        Named("recipe", "net", 1),
        Named("weights", "net", 1),
        Named("recipe", "acme/net", 3),
    ]
)


@pytest.mark.parametrize(
    ("word", "kinds", "kind", "name"),
    [
        ("net", (), "recipe", "net"),
        ("net", ("weights", "architecture"), "weights", "net"),
        ("net", ("architecture",), "architecture", "ours/net"),
        ("cam", (), "analyzer", "cam/cam"),
        ("cam", ("dataset",), "dataset", "acme/cam"),
        ("beta/gru", (), "architecture", "beta/gru"),
    ],
)
def test_a_registry_toml_comes_before_zoos_own_plugins_and_these_before_others(
    word: str, kinds: tuple[str, ...], kind: str, name: str
) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = NAMES.find(word, *kinds)
    assert found
    assert (found.kind, found.name) == (kind, name)
    assert len(told) == ({named.place for named in NAMES.matching(word, *kinds)} != {found.place})


def test_a_warning_names_each_of_the_others_once() -> None:
    meant = "'net' refers to the recipe in a registry.toml, yours .*; to choose another, write ours/net or"
    with pytest.warns(ZooWarning, match=meant):
        NAMES.find("net")


@pytest.mark.parametrize("kinds", [(), ("architecture",)])
def test_two_of_one_rank_are_an_error_that_lists_them(kinds: tuple[str, ...]) -> None:
    with pytest.raises(AmbiguousName) as caught:
        NAMES.find("gru", *kinds)
    listed = "architecture acme/gru, architecture beta/gru"
    assert str(caught.value) == f"'gru' could be {listed}; use the full name"


def test_a_name_that_nothing_has_finds_nothing() -> None:
    assert NAMES.find("nothing") is None
    assert NAMES.find("gru", "dataset") is None


@pytest.mark.parametrize(
    ("word", "kinds", "nearest"),
    [
        ("gur", (), "; did you mean 'gru'?"),
        ("beta/gur", ("architecture",), "; did you mean 'beta/gru'?"),
        ("gru", ("dataset",), "; it is an architecture"),
        ("net", ("dataset",), "; it is the id of trained weights, which zoo.load('net') loads"),
        ("xyzzy", KINDS, ""),
    ],
)
def test_an_unknown_name_is_answered_with_what_it_is_or_the_nearest(
    word: str, kinds: tuple[str, ...], nearest: str
) -> None:
    assert NAMES.nearest(word, kinds) == nearest
