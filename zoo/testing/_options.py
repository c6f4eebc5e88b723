"""Requirements for the options of every target."""

from __future__ import annotations

from collections.abc import Container, Iterable

from zoo.config.declarations import declared, resolved_hints
from zoo.config.options import convert
from zoo.errors import MissingModule, OptionError, SpecError, first_line
from zoo.registry.specs import SpecWithExtra
from zoo.testing._case import Case, Failure, Skip, message


def without_values(names: Iterable[str]) -> Skip:
    """Return the reason to skip a target with options that have no default."""
    return Skip(f"it requires a value for {', '.join(names)}, which the kit cannot generate")


def without_extra(spec: SpecWithExtra, error: SpecError) -> Skip:
    """Return the reason to skip a target that cannot be imported, with the extra that would install it."""
    why = f"; the extra {spec.extra} installs it" if isinstance(error, MissingModule) and spec.extra else ""
    return Skip(f"{error}{why}")


def require_types(case: Case, *, ignored: Container[str] = ()) -> None:
    """Raise AssertionError for an option without a type, or with a default of a different type.

    Raises Skip if the target cannot be imported.
    """
    try:
        target = case.entry.load()
    except SpecError as error:
        raise Skip(str(error)) from None
    try:
        types = resolved_hints(target)
    except NameError as error:
        types = {}
        unresolved = f"an annotation that cannot be resolved: {error}"
    else:
        unresolved = ""
    for name, option in declared(target).items():
        if name in ignored:
            continue
        assert name in types, message(
            expected=f"a type for the option {name}",
            got=unresolved or "none",
            usually="a misspelled type, or one imported only under TYPE_CHECKING"
            if unresolved
            else "a missing annotation",
        )
        if option.required:
            continue
        try:
            convert(option.default, types[name], what=name)
        except (OptionError, TypeError) as error:
            raise Failure(
                expected=f"a default for the option {name} that has the option's type and is JSON data",
                got=f"{option.default!r} ({first_line(error)})",
                usually="a default that the type does not allow, such as None, or a class or function as an "
                "option",
            ) from error
