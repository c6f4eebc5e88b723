"""Names that are imported when they are first used, so that a module is small until then.

The stub beside such a module, its `.pyi`, is the only list of them: type checkers read it, and so does this.
It has a line for each name: `from MODULE import NAME as NAME`.
"""

from importlib import import_module
from pathlib import Path


def names_in_stub(file: str) -> dict[str, str]:
    """Return the module of each name that the stub of a module imports, by the name.

    Args:
        file: path of the module, `__file__`.
    """
    lines = Path(file).with_suffix(".pyi").read_text(encoding="utf-8").splitlines()
    imports = [line.split() for line in lines if line.startswith("from ")]
    return {name: module for _, module, _, name, *_ in imports}


def imported(module: str, name: str) -> object:
    """Import what a module defines under a name, or its submodule of that name."""
    found = import_module(module)
    return getattr(found, name) if hasattr(found, name) else import_module(f"{module}.{name}")
