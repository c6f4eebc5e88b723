"""A check, its subject, and the message of its failure."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from zoo.config.declarations import declared
from zoo.config.recipe import Recipe
from zoo.errors import MissingModule, SpecError, ZooError, cause, first_line
from zoo.files.canonical import canonical_json, parse_json
from zoo.registry.hookspecs import Kind
from zoo.registry.plugins import Plugin
from zoo.registry.published import WeightsSpec
from zoo.registry.registry import Entry, Registry
from zoo.registry.specs import SpecWithExtra

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.interfaces import Dataset, Task

CheckKind = Kind | Literal["plugin", "recipe", "weights"]
Made = TypeVar("Made")

# The packages through which zoo calls a plugin
_NO_PLUGINS = {"zoo", "torch", *sys.stdlib_module_names}


class Skip(Exception):
    """A check cannot run here; the message gives the reason.

    Args:
        cause: the full name of the failed check that prevents this check from running, if any.
    """

    def __init__(self, reason: str, cause: str = "") -> None:
        super().__init__(reason)
        self.cause = cause


class Inapplicable(Exception):
    """A check promises nothing about an entry; the message gives the reason."""


def without_values(names: Iterable[str]) -> Skip:
    """Return the reason to skip a target with options that have no default."""
    return Skip(f"it requires a value for {', '.join(names)}, which the kit cannot generate")


def without_extra(spec: SpecWithExtra, error: SpecError) -> Skip:
    """Return the reason to skip a target that cannot be imported, with the extra that would install it."""
    why = f"; the extra {spec.extra} installs it" if isinstance(error, MissingModule) and spec.extra else ""
    return Skip(f"{error}{why}")


class Warned(Exception):
    """A check passed with a warning for the author; the message is the warning."""


class ProcessFailed(Exception):
    """A process that ran a part of a check ended or answered with an error, which is the message.

    Args:
        traceback: the traceback of this error, unless zoo raised it.
    """

    def __init__(self, error: str, traceback: str = "") -> None:
        super().__init__(error)
        self.traceback = traceback


class Failure(AssertionError):
    """A check failed; `message` formats the message."""

    def __init__(self, *, expected: str, got: str, usually: str) -> None:
        super().__init__(message(expected=expected, got=got, usually=usually))


@dataclass(frozen=True, slots=True)
class Case:
    """The subject of a check: an entry of a plugin, or the plugin itself.

    Attributes:
        subject: the entry; None if the subject is the plugin itself.
        shared: expensive objects that several checks of a plugin use; `entries`, `recipes` and `weights` are
            the ones to check.
    """

    plugin: Plugin
    subject: Entry[Any] | None
    registry: Registry
    shared: dict[str, Any]

    @property
    def entry(self) -> Entry[Any]:
        """The entry, in checks of entries."""
        assert self.subject is not None
        return self.subject

    @property
    def spec(self) -> Any:
        """The entry's spec."""
        return self.entry.spec

    @property
    def task(self) -> Task:
        """The task of the entry; for an analyzer, the first of its tasks."""
        from zoo.interfaces import make_task

        return make_task(self.registry, (*self.entry.tasks, self.spec.name)[0])

    def tiny(self, **options: Any) -> Dataset:
        """Return the tiny dataset of the entry's task, with images that are large enough for the model."""
        target, least = self.task.spec.load_tiny(), getattr(self.spec, "smallest_image", 0)
        usual = declared(target).get("size")
        if usual is not None and least > usual.default:
            options = {"size": least, **options}
        return target(**options)

    @property
    def recipes(self) -> dict[str, Recipe]:
        """The recipes of the plugin under check."""
        return self.shared["recipes"]

    @property
    def weights(self) -> dict[str, WeightsSpec]:
        """The published weights of the plugin under check."""
        return self.shared["weights"]

    @property
    def label(self) -> str:
        """The name of the entry or the plugin, which is the prefix of its check names."""
        return self.subject.spec.name if self.subject else self.plugin.name

    def kept(self, what: str, make: Callable[[], Made], *, of: object = None) -> Made:
        """Return what `make` returned to an earlier check of the same entry or, if given, of the same `of`.

        Only the latest is kept, since it may be large.
        """
        of = self.label if of is None else of
        if self.shared.get(what, (None, None))[0] != of:
            self.shared.pop(what, None)
            self.shared[what] = of, make()
        return self.shared[what][1]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise that a plugin makes; the function of the same name in `module` tests it.

    Attributes:
        needs: checks that must pass first; otherwise, this check is skipped.
        task: the only task that it applies to; None for all.
        dim: a dim that the task must have; None for any task.
        may_skip: whether an entry whose other checks ran may skip this check, since it may need the network
            or an export that few models support.
        thorough: whether the check is slow and therefore runs only on request.
    """

    module: str
    kind: CheckKind
    name: str
    needs: tuple[str, ...] = ()
    task: str | None = None
    dim: str | None = None
    may_skip: bool = False
    thorough: bool = False

    def load(self) -> Callable[[Case], None]:
        """Import and return the function."""
        return getattr(importlib.import_module(f"zoo.testing.{self.module}"), self.name)


def message(*, expected: str, got: str, usually: str) -> str:
    """Return the message of a failed check: what was expected, what was found, and the most common cause."""
    end = "" if got.endswith("?") else "."
    return f"expected {expected}; got {got.rstrip('.')}{end} Usually: {usually}"


def is_json(value: object) -> bool:
    """Return whether a value is JSON data, which a round trip does not change."""
    try:
        return parse_json(canonical_json(value)) == value
    except (TypeError, ValueError):
        return False


def reason_of(error: BaseException) -> str:
    """Return an error's message; unless zoo raised it, with its class and the line of the plugin."""
    return first_line(error) if isinstance(error, ZooError | ProcessFailed) else located(error)


def located(error: BaseException) -> str:
    """Return an error's class and message, and the last line of the plugin that led to it, if any."""
    frames = [
        (str(frame.f_globals.get("__name__")).partition(".")[0], Path(frame.f_code.co_filename), line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    others = [frame for frame in frames if frame[0] not in _NO_PLUGINS]
    own = [f"{file.parent.name}/{file.name}:{line}" for name, file, line in others if name == others[0][0]]
    return f"{cause(error)} ({own[-1]})" if own else cause(error)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error in a plugin's code, even in another process; otherwise, nothing."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    own_assertion = isinstance(error, AssertionError) and Path(last).parent != Path(__file__).parent
    if own_assertion or any(not isinstance(e, AssertionError | ZooError | ProcessFailed) for e in chain):
        return "".join(traceback.format_exception(error))
    return "".join(each.traceback for each in chain if isinstance(each, ProcessFailed))


@contextlib.contextmanager
def failing(
    on: type[Exception] | tuple[type[Exception], ...] = Exception,
    *,
    expected: str,
    usually: str | Callable[[Exception], str],
) -> Generator[None]:
    """Raise Failure for an error in the `with` block; `usually` may depend on the error."""
    try:
        yield
    except (Failure, Inapplicable, Skip, Warned):
        raise
    except on as error:
        cause = usually if isinstance(usually, str) else usually(error)
        raise Failure(expected=expected, got=reason_of(error), usually=cause) from error


def require_instance(value: object, type_: type, name: str, *, usually: str) -> None:
    """Raise AssertionError unless a value is of a type, whose full name is `name`."""
    assert isinstance(value, type_), message(expected=name, got=type(value).__name__, usually=usually)


def require_equal(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], *, expected: str, usually: str
) -> None:
    """Raise AssertionError unless tensors are equal to the bit."""
    import torch

    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differing, message(
        expected=expected, got=f"different values in {', '.join(differing[:3])}", usually=usually
    )
