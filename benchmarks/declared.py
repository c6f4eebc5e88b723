"""The list of benchmarks, read from their source; a module's options, read from its functions."""

from __future__ import annotations

import argparse
import ast
import inspect
import math
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rows import Row

__all__ = ["Declared", "declared"]


class Declared(NamedTuple):
    """A benchmark: its name, its module, what it measures, and what it takes."""

    name: str
    group: str
    summary: str
    minutes: float
    needs: str

    def load(self) -> Callable[..., Iterator[Row]]:
        """Import its function."""
        return getattr(import_module(f"benchmarks.{self.group}"), self.name)

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of its options: the arguments of its function."""
        function = self.load()
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks {self.name}",
            description=inspect.getdoc(function),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for option in inspect.signature(function).parameters.values():
            flag, default = f"--{option.name.replace('_', '-')}", option.default
            if option.kind is option.VAR_POSITIONAL:
                parser.add_argument(option.name, nargs="*")
            elif isinstance(default, bool):
                parser.add_argument(flag, action="store_true")
            elif isinstance(default, tuple):
                parser.add_argument(flag, nargs="+", type=_type_like(default[0]), default=default)
            else:
                help_ = f"default: {default}"
                parser.add_argument(flag, type=_type_like(default), default=default, help=help_)
        return parser

    def rows(self, given: dict[str, Any]) -> Iterator[Row]:
        """Measure with options, as the parser returns them."""
        function, options = self.load(), dict(given)
        kinds = inspect.signature(function).parameters.values()
        names = [options.pop(each.name) for each in kinds if each.kind is each.VAR_POSITIONAL]
        return function(*(names[0] if names else ()), **options)


def _type_like(default: Any) -> Callable[[str], Any]:
    """Return the type of a default; numbers like those of rounds or seconds must be positive, as it is."""
    kind = type(default)
    if kind not in (int, float) or not default:
        return kind

    def positive(text: str) -> float:
        number = kind(text)
        if not 0 < number < math.inf:
            raise argparse.ArgumentTypeError(f"must be more than 0 (got {text})")
        return number

    positive.__name__ = kind.__name__  # argparse's message for what is no number
    return positive


def declared() -> dict[str, Declared]:
    """Return all benchmarks by name, those of a module together."""
    found: dict[str, Declared] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for call in node.decorator_list:
                    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "benchmark":
                        told = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
                        summary = (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")
                        name = node.name
                        found[name] = Declared(
                            name, path.stem, summary, told["minutes"], told.get("needs", "")
                        )
    return found
