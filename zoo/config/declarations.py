"""Declared options: the keyword arguments of a function or class, or the fields of a dataclass.

An option's type, default, limits and help are declared once. The check in Python, the command-line flag with
its completion and help, and the reference page are all generated from that declaration.
"""

from __future__ import annotations

import functools
import inspect
import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import field, is_dataclass
from types import SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from msgspec import NODEFAULT, Meta

T = TypeVar("T")

# How many of something, at most how many (0 for any number), and how likely something is
Count = Annotated[int, Meta(ge=1, le=100_000)]
Limit = Annotated[int, Meta(ge=0, le=100_000)]
Probability = Annotated[float, Meta(ge=0, le=1)]


# What happens if a training option changes when a run is resumed: nothing in particular, the epoch that was
# interrupted starts over, or the run is not resumed
OnResume = Literal["allowed", "restarts-epoch", "refused"]


class Option(NamedTuple):
    """The declaration of an option.

    Attributes:
        type: resolved type, including limits; `Any` if the option has no annotation, or one that exists only
            for type checkers.
        default: default value; `NODEFAULT` if the option is required.
        group: group of a training option; empty for options common to all tasks.

    The other attributes are those of `option`.
    """

    name: str
    type: Any
    default: Any
    help: str
    group: str = ""
    flag: str = ""
    names: str = ""
    read_by: str = ""
    inherited: bool = False
    on_resume: OnResume = "allowed"

    @property
    def typed(self) -> str:
        """The flag on the command line, such as `--batch-size` or, for a table, `--optimizer-option`."""
        return self.flag or flag_named(self.name)

    @property
    def required(self) -> bool:
        """Whether the option is required."""
        return self.default is NODEFAULT


def flag_named(name: str) -> str:
    """Return the flag of an option that does not declare one."""
    return f"--{name.removesuffix('s') if name.endswith('_options') else name}".replace("_", "-")


# What `option` tells about an option, in the metadata of its field
_TOLD = {*Option._fields} - {"name", "type", "default", "group"}


def option(
    default: T,
    help: str,  # noqa: A002
    *,
    flag: str = "",
    names: str = "",
    read_by: Literal["", "optimizer", "schedule"] = "",
    inherited: bool = False,
    on_resume: OnResume = "allowed",
) -> T:
    """Return a dataclass field for a training option.

    ::

        lr: Annotated[float, Meta(gt=0)] = option(0.1, "peak learning rate.")

    Args:
        default: the default value.
        help: help text, which `zoo train --help` prints.
        flag: the flag on the command line; by default, the name of the option, as in `--batch-size`.
        names: kind of the entries that the option names, such as `augmentation`.
        read_by: `optimizer` or `schedule`, if only some of them read the option; for the others, it is 0.
        inherited: whether fine-tuning takes the value from the training of the weights that it starts from.
            Choose this for options that suit the model, not the amount of data.
        on_resume: whether a resumed run may change the option: `allowed`; `restarts-epoch` if the option
            determines what is in a batch, so that the interrupted epoch starts over; or `refused`.
    """
    metadata = {
        "help": help,
        "flag": flag,
        "names": names,
        "read_by": read_by,
        "inherited": inherited,
        "on_resume": on_resume,
    }
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)  # type: ignore[return-value]
    return field(default=default, metadata=metadata)


def _kept(function: Callable[[Callable[..., Any]], T]) -> Callable[[Callable[..., Any]], T]:
    """Keep the results of a function for as long as the targets live, which may hold a session's data."""
    results: weakref.WeakKeyDictionary[Callable[..., Any], T] = weakref.WeakKeyDictionary()

    @functools.wraps(function)
    def keeping(target: Callable[..., Any]) -> T:
        if target not in results:
            results[target] = function(target)
        return results[target]

    cast("Any", keeping).cache_clear = results.clear  # as functools.cache has it
    return keeping


@_kept
def declared(target: Callable[..., Any]) -> Mapping[str, Option]:
    """Return the options of a function, class or dataclass by name, in order of declaration.

    The help text comes from `option` or from the `Args` section of the docstring.
    """
    about: dict[str, dict[str, Any]] = {name: {"help": text} for name, text in _documented(target).items()}
    for name, item in getattr(target, "__dataclass_fields__", {}).items():
        about[name] = about.get(name, {}) | {key: item.metadata[key] for key in _TOLD & item.metadata.keys()}
    try:
        types = resolved_hints(target)
    except NameError:
        types = {}
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {
        name: Option(
            name,
            types.get(name, Any),
            NODEFAULT if parameter.default is parameter.empty else parameter.default,
            "",
        )._replace(**about.get(name, {}))
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in kinds
    }


@_kept
def resolved_hints(target: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the resolved annotations of the arguments of a function or class, including `Annotated` limits.

    Raises NameError for an annotation that only type checkers can resolve.
    """
    if is_dataclass(target):
        return get_type_hints(target, include_extras=True)
    function = cast("Any", target).__init__ if inspect.isclass(target) else target
    names = getattr(inspect.unwrap(function), "__globals__", {})
    taken = {
        name: hint for name, hint in getattr(function, "__annotations__", {}).items() if name != "return"
    }
    return get_type_hints(SimpleNamespace(__annotations__=taken), names, include_extras=True)


def _documented(target: Callable[..., Any]) -> dict[str, str]:
    """Return the help text of each option, including options of base classes."""
    found: dict[str, str] = {}
    for part in reversed(getattr(target, "__mro__", (target,))):
        text = inspect.cleandoc(part.__doc__ or "")
        section = re.split(r"\n(?:Args|Attributes):\n", text, maxsplit=1)[1:]
        entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", "".join(section).partition("\n\n")[0], re.M)
        found |= {name: re.sub(r"\s+", " ", meaning) for name, meaning in entries}
    return found


def bounded_options(target: Callable[..., Any]) -> set[str]:
    """Return the names of options that are switches, choices, or numbers with a declared minimum and maximum.

    Values of these options cannot name files or require more memory than the author of `target` allows.
    """
    return {name for name, option in declared(target).items() if _is_bounded(option.type)}


def _is_bounded(type_: Any) -> bool:
    from msgspec.inspect import type_info  # slow to import

    if get_origin(type_) in (Union, UnionType):
        return all(map(_is_bounded, get_args(type_)))
    try:
        info: Any = type_info(type_)
    except TypeError:  # of a type that no option can have
        return False
    kind = type(info).__name__.removesuffix("Type")
    if kind in ("Int", "Float"):
        lower, upper = (info.ge, info.gt), (info.le, info.lt)
        return lower != (None, None) != upper
    return kind in ("Bool", "Literal", "None")
