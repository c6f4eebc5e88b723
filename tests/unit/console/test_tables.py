"""One printer of tables: columns that widen, wrap, and stand closer together where there is little space."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.console.tables import Table

HEADER = ["NAME", "BITS PER CHAR", "WHAT IT IS"]
ROWS = [["a", "1.5", "a word"], ["a longer name", "12.25", "several words in a row"]]


def printed(table: Table, rows: Sequence[Sequence[str]]) -> list[str]:
    lines: list[str] = []
    table.put = lambda text: lines.append(text if isinstance(text, str) else text.text)
    table.print(rows)
    return lines


def test_without_a_width_a_table_is_as_wide_as_its_cells() -> None:
    assert printed(Table(HEADER, width=None, indent=2, numbers=[1]), ROWS) == [
        "  NAME           BITS PER CHAR  WHAT IT IS",
        "  a                        1.5  a word",
        "  a longer name          12.25  several words in a row",
    ]


def test_in_a_narrow_terminal_the_header_is_stacked_and_the_last_cell_wrapped() -> None:
    assert printed(Table(HEADER, width=36, numbers=[1]), ROWS) == [
        "               BITS WHAT",
        "                PER IT",
        "NAME           CHAR IS",
        "a               1.5 a word",
        "a longer name 12.25 several words in",
        "                    a row",
    ]


def test_the_last_cell_is_cut_on_request() -> None:
    assert printed(Table(width=36, cut=True), ROWS) == [
        "a              1.5    a word",
        "a longer name  12.25  several words…",
    ]


def test_a_cell_without_a_space_to_cut_it_at_fills_its_line() -> None:
    assert printed(Table(width=20, cut=True), [["a", "x" * 40]]) == ["a  " + "x" * 16 + "…"]


def test_columns_widen_with_later_rows() -> None:
    table = Table(["NAME", "SIZE"], width=None, numbers=[1])
    assert printed(table, [["a", "1"]]) == ["NAME  SIZE", "a        1"]
    assert printed(table, [["longer", "1,000,000"], ["b", "2"]]) == [
        "longer  1,000,000",
        "b               2",
    ]


def test_the_last_cell_of_a_short_row_widens_no_column() -> None:
    table = Table(["INPUT", "CLASS", "PROBABILITY"], width=40, numbers=[2])
    rows = [["a.png", "cat", "91.29%"], ["b.png", "it is a pipe or a device, not a regular file"]]
    assert printed(table, rows) == [
        "INPUT  CLASS  PROBABILITY",
        "a.png  cat         91.29%",
        "b.png  it is a pipe or a device, not a",
        "       regular file",
    ]


def test_what_a_terminal_would_obey_is_escaped_before_it_is_measured() -> None:
    assert printed(Table(), [["\x1b[31m", "x"], ["a", "y"]]) == ["\\x1b[31m  x", "a         y"]


def test_a_last_cell_that_just_fits_is_not_cut() -> None:
    assert printed(Table(width=19, cut=True), [["a", "x" * 16]]) == ["a  " + "x" * 16]
