"""Checks of a group of training options."""

from __future__ import annotations

from zoo.config import options
from zoo.config.train_config import fields_of
from zoo.errors import OptionError
from zoo.testing._case import Case, message


def fields_are_described(case: Case) -> None:
    """Each field has help text, which `zoo train --help` shows."""
    silent = [name for name, field in fields_of(case.spec.fields).items() if not field.help]
    assert not silent, message(
        expected='help text for each field: `name: type = option(default, "help")`',
        got=f"none for {', '.join(silent)}",
        usually="a field that was added later",
    )


def fields_can_be_typed(case: Case) -> None:
    """The value of a field is accepted in the form in which zoo prints it: `--name VALUE`."""
    for name, field in fields_of(case.spec.fields).items():
        typed = options.Typed(options.text(field.default))
        try:
            read, wanted = (options.convert(value, field.type, what=name) for value in (typed, field.default))
            problem = "" if read == wanted else f"{read!r} from {str(typed)!r}"
        except OptionError as error:
            problem = str(error)
        assert not problem, message(
            expected=f"{name} to be a number, a switch, a choice, a string, or a list of these",
            got=problem,
            usually="a type that cannot be written on the command line or in TOML",
        )
