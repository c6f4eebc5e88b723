"""Import names lazily: each module is imported when one of its names is first used.

The names are listed only in the module's `.pyi` stub, which type checkers and this module both read. The stub
has one line per name: `from MODULE import NAME as NAME`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def lazy(
    module: str, file: str, suggest: Callable[[str], str] = lambda name: ""
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a module, `__name__` and `__file__`.

    Args:
        suggest: function that returns the end of the message about an unknown name.
    """
    stub = Path(file).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = [line.split() for line in stub.splitlines() if line.startswith("from ")]
    modules = {name: module for _, module, _, name, *_ in imports}

    def get(name: str) -> object:
        if name in modules:
            found = import_module(modules[name])
            return getattr(found, name) if hasattr(found, name) else import_module(f"{modules[name]}.{name}")
        nearest = "" if name.startswith("_") else suggest(name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}{nearest}")

    return get, lambda: sorted(modules)
