"""Import names lazily: each module is imported when one of its names is first used.

The names are listed only in the module's `.pyi` stub, which type checkers and this module both read. The stub
has one line per name: `from MODULE import NAME as NAME`.
"""

from importlib import import_module
from pathlib import Path


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
