"""A check of the options of an entry's target, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.config.declarations import Option, declared, resolved_hints
from zoo.config.options import convert
from zoo.config.train_config import TrainConfig, fields_of
from zoo.errors import OptionError, SpecError
from zoo.registry.methods import own_options
from zoo.testing._case import Case, Skip, Warned, failing, message

# Fields of a spec that name options of its target
_NAMING = ("required", "card_options", "sample")


def options_are_typed(case: Case) -> None:
    """Every option has a type, against which given values are checked, and a default of that type.

    The options that the spec names exist. An optimizer, a schedule, an augmentation, a metric, an exporter or
    a tracker has a default for every option of its own. There is a warning if a training option replaces a
    different default of a schedule.
    """
    try:
        target = case.entry.load()
    except SpecError as error:
        raise Skip(str(error)) from None
    known = dict(declared(target))
    for field in _NAMING:
        for name in getattr(case.spec, field, ()):
            assert name in known, message(
                expected=f"an option {name}, since `{field}` lists it",
                got=f"the options {', '.join(known)}",
                usually="a misspelled or renamed option",
            )
    if case.entry.kind == "architecture":
        dims = case.registry.task(case.spec.task).dims
        known = {name: option for name, option in known.items() if name not in dims}
    elif case.entry.kind not in ("dataset", "analyzer"):
        known = dict(own_options(case.entry))
        required = [name for name, option in known.items() if option.required]
        assert not required, message(
            expected="options with a default",
            got=f"{', '.join(required)} without a default",
            usually="a function as the target; write a class with the methods `items` and `value` or `losses`"
            if case.entry.kind == "metric"
            else "a misspelled name of a training option",
        )
    types = _types(target) if known else {}
    for name, option in known.items():
        assert name in types, message(
            expected=f"a type for the option {name}", got="none", usually="a missing annotation"
        )
        if not option.required:
            with failing(
                (OptionError, TypeError),
                expected=f"a default for the option {name} that has the option's type and is JSON data",
                usually="a default that the type does not allow, such as None, or a class or function as an "
                "option",
            ):
                convert(option.default, types[name], what=name)
    if case.entry.kind == "schedule":
        _warn_of_replaced_defaults(declared(target))


def _warn_of_replaced_defaults(known: Mapping[str, Option]) -> None:
    """Raise Warned if an argument has the name of a training option, but a different default."""
    for name, field in fields_of(TrainConfig).items():
        if name in known and not known[name].required and known[name].default != field.default:
            text = message(
                expected=f"an argument {name} without a default of its own",
                got=f"{known[name].default!r}, which the training option {name} replaces, by default with "
                + repr(field.default),
                usually="an option of the schedule that has the name of a training option; rename it",
            )
            raise Warned(text)


def _types(target: Any) -> dict[str, Any]:
    with failing(
        NameError,
        expected="types that can be resolved",
        usually="a misspelled type, or one imported only under TYPE_CHECKING",
    ):
        return dict(resolved_hints(target))
