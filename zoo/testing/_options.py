"""What every target's options must be, whatever it is a target of."""

from __future__ import annotations

from collections.abc import Container

from zoo.config.options import convert
from zoo.config.signatures import option_types, signature_options
from zoo.errors import OptionError
from zoo.testing._suite import Case, first_line, told

__all__ = ["require_types"]


def require_types(case: Case, *, besides: Container[str] = ()) -> None:
    """Raise AssertionError for an option without a type, or with a default that is not of it."""
    assert case.entry is not None
    target = case.entry.load()
    try:
        types = option_types(target)
    except NameError as error:
        types = {}
        unresolved = f" ({error})"
    else:
        unresolved = ""
    for name, option in signature_options(target).items():
        if name in besides:
            continue
        assert name in types, told(
            expected=f"a type for the option {name}",
            got=f"none{unresolved}",
            usually="a missing annotation, or one that is imported for type checkers only",
        )
        if option.default is option.empty:
            continue
        try:
            convert(option.default, types[name], what=name)
        except (OptionError, TypeError) as error:
            raise AssertionError(
                told(
                    expected=f"a default of {name} that is of its type, and JSON data",
                    got=f"{option.default!r} ({first_line(error)})",
                    usually="a None that the type does not allow, or a class or function as an option",
                )
            ) from error
