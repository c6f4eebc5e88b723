"""Import names lazily: each module is imported when one of its names is first used.

The names are listed only in the module's `.pyi` stub, which type checkers and this module both read. The stub
has one line per name: `from MODULE import NAME as NAME`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def lazy(module: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a module, `__name__` and `__file__`."""
    names = names_in_stub(file)

    def get(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return imported(names[name], name)

    return get, lambda: sorted(names)


def names_in_stub(file: str) -> dict[str, str]:
    """Return the names that a module's stub imports, each with the module that defines it.

    Args:
        file: path of the module, `__file__`.
    """
    lines = Path(file).with_suffix(".pyi").read_text(encoding="utf-8").splitlines()
    imports = [line.split() for line in lines if line.startswith("from ")]
    return {name: module for _, module, _, name, *_ in imports}


def imported(module: str, name: str) -> object:
    """Import a name from a module, or the submodule with that name."""
    found = import_module(module)
    return getattr(found, name) if hasattr(found, name) else import_module(f"{module}.{name}")
