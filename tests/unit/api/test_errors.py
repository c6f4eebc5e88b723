"""What errors and warnings say, and where warnings point."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import zoo
import zoo.errors
from zoo.cli import run
from zoo.config.near_names import did_you_mean
from zoo.errors import (
    Interrupted,
    Lost,
    MissingModule,
    ZooError,
    ZooWarning,
    cause,
    first_line,
    printable,
    warn,
)


class Mute(Exception):
    """An exception whose message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, naïve 漢字 😀", "plain text, naïve 漢字 😀"),
        ("red: \x1b[31m", r"red: \x1b[31m"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("gnp\u202e.exe", r"gnp\u202e.exe"),
        ("a\u200bb\u2028c", r"a\u200bb\u2028c"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_a_message_is_one_line_of_bounded_length() -> None:
    assert str(ZooError("two\nlines \x1b[31m")) == r"two lines \x1b[31m"
    long = str(ZooError("a" * 5_000 + "the end"))
    assert len(long) < 1_500
    assert long.startswith("aaa")
    assert long.endswith("the end")


def test_the_first_line_of_an_error_is_its_message() -> None:
    assert first_line(ValueError("\nfirst\nsecond")) == "first"
    assert first_line(ValueError()) == ""
    assert first_line(Mute()) == ""


def test_a_cause_names_the_class_of_an_error() -> None:
    assert cause(ValueError("first \x1b\nsecond")) == r"ValueError: first \x1b"
    assert cause(Mute()) == "Mute"


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("nietsche", ["nietzsche", "shapes"]) == "; did you mean 'nietzsche'?"
    assert did_you_mean("xyz", ["nietzsche"]) == ""
    assert did_you_mean("resnet2", ["resnet20", "resnet32"]) == "; did you mean 'resnet20'?"


def test_an_interruption_has_the_exit_code_of_its_signal() -> None:
    assert Interrupted("stopped", signal=15).exit_code == 143


def in_zoo(code: str, **names: Any) -> dict[str, Any]:
    """Run code as a module of zoo would be."""
    exec(compile(code, str(Path(zoo.errors.__file__).parent / "made_up.py"), "exec"), names)
    return names


def lines_of(frame: FrameType | None) -> tuple[str, int]:
    assert frame is not None
    return frame.f_code.co_filename, frame.f_lineno


@pytest.mark.parametrize("through", ["directly", "zoo", "others"])
def test_a_warning_points_at_the_call_into_zoo(through: str) -> None:
    def call(function: Any) -> None:  # a decorator of torch, for instance
        function()

    inner = in_zoo("def inner(): warn('look \\x1b')", warn=warn)["inner"]
    call_from_zoo = in_zoo("def outer(): call(inner)", call=call, inner=inner)["outer"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        here = lines_of(inspect.currentframe())
        {"directly": lambda: warn("look \x1b"), "zoo": inner, "others": call_from_zoo}[through]()
    (warning,) = caught
    assert warning.category is ZooWarning
    assert str(warning.message) == r"look \x1b"
    assert (warning.filename, warning.lineno) == (here[0], here[1] + 1)


def test_a_warning_may_be_made_an_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZooWarning)
        with pytest.raises(ZooWarning, match="look"):
            warn("look")


def test_a_hint_stands_in_the_traceback() -> None:
    assert "weights 'nope'\n`zoo list weights`" in traceback_of(lambda: zoo.load("nope"))


def test_a_hint_stands_in_the_traceback_once() -> None:
    error = ZooError("wrong", hint="do this")
    error.add_note("and know this")
    assert "".join(traceback.format_exception_only(error)).endswith("wrong\ndo this\nand know this\n")


def pickled(error: ZooError) -> ZooError:
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize(
    "error",
    [
        ZooError("wrong", hint="do this"),
        Interrupted("stopped", signal=2, hint="go on"),
        MissingModule("not there", module="timm"),
        Lost(waited=3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_a_copy(error: ZooError, again: Callable[[ZooError], ZooError]) -> None:
    copied = again(error)
    assert type(copied) is type(error)
    assert (str(copied), copied.hint, copied.exit_code) == (str(error), error.hint, error.exit_code)
    assert traceback.format_exception_only(copied) == traceback.format_exception_only(error)


def test_the_command_prints_a_hint_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "lstm"]) == 1
    assert capfd.readouterr().err.count("`zoo list datasets`") == 1


def traceback_of(call: Callable[[], object]) -> str:
    try:
        call()
    except zoo.ZooError:
        return traceback.format_exc()
    raise AssertionError("nothing was raised")
