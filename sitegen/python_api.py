"""Pages about the public Python names, one per class; mkdocstrings fills them in from the docstrings."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from sitegen.nav import Item
from sitegen.places import ROOT, link, place

__all__ = ["MODULES", "PythonPages", "python_pages"]

# The modules whose names are public
MODULES = ("zoo", "zoo.interfaces", "zoo.plugin", "zoo.testing", "zoo.cli.kit")
_FUNCTION = """\
::: {defined}
    options:
      heading: "{name}"
      show_root_heading: true
      show_root_toc_entry: true
      heading_level: 3
"""


@dataclass(frozen=True)
class PythonPages:
    """The pages, the source files that they link to, and their navigation items."""

    pages: dict[str, str] = field(default_factory=dict[str, str])
    linked: set[str] = field(default_factory=set[str])
    items: list[Item] = field(default_factory=list[Item])


def python_pages() -> PythonPages:
    """Return a page for each public module and each of its classes."""
    made = PythonPages()
    for name in MODULES:
        module = importlib.import_module(name)
        index = f"reference/api/{name}/index.md"
        own: list[Item] = [(name, index)]
        for each in filter(lambda each: _is_class(getattr(module, each)), module.__all__):
            page = f"reference/api/{name}/{each}.md"
            file = str(Path(inspect.getfile(getattr(module, each))).relative_to(ROOT))
            made.pages[page] = _class(module, each, file, page)
            made.linked.add(file)
            own.append((each, page))
        made.pages[index] = _module(module, index)
        made.items.append((name, own))
    return made


def _is_class(value: object) -> bool:
    return inspect.isclass(value) and value.__module__.startswith("zoo")


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) and inspect.unwrap(value).__module__.startswith("zoo")


def _class(module: ModuleType, name: str, file: str, page: str) -> str:
    source = f"Defined in [`{file}`]({link(place(file), page=page)})."
    return f"# `{module.__name__}.{name}`\n\n{source}\n\n::: {_defined(module, name)}\n"


def _module(module: ModuleType, page: str) -> str:
    """Return the page of a module: a table of its classes, its functions, and then all other names."""
    groups: dict[str, list[str]] = {"Classes": [], "Functions": [], "Types and constants": []}
    for name in module.__all__:
        value = getattr(module, name)
        kind = "Functions" if _is_function(value) else "Types and constants"
        if not name.startswith("__") and not inspect.ismodule(value):
            groups["Classes" if _is_class(value) else kind].append(name)
    first = (inspect.getdoc(module) or "").partition("\n")[0]
    parts = [f"# `{module.__name__}`\n", f"{first}\n"]
    for title, names in groups.items():
        if title == "Classes" and names:
            rows = "".join(_row(module, name, page) for name in names)
            parts.append(f"## {title}\n\n| class | description |\n|---|---|\n{rows}")
        elif names:
            shown = [
                _FUNCTION.format(defined=_defined(module, name), name=f"{module.__name__}.{name}")
                for name in names
            ]
            parts.append("\n".join([f"## {title}\n", *shown]))
    return "\n".join(parts)


def _row(module: ModuleType, name: str, page: str) -> str:
    about = (
        (inspect.getdoc(getattr(module, name)) or "")
        .partition("\n\n")[0]
        .replace("\n", " ")
        .replace("|", "\\|")
    )
    target = link(f"reference/api/{module.__name__}/{name}.md", page=page)
    return f"| [`{name}`]({target}) | {about} |\n"


def _defined(module: ModuleType, name: str) -> str:
    """Return the path at which a name is defined, where its docstring is."""
    value: Any = getattr(module, name)
    if _is_class(value) or _is_function(value):
        inner = inspect.unwrap(value)
        return f"{inner.__module__}.{inner.__qualname__}"
    return f"{getattr(module, '_MODULES', {}).get(name, module.__name__)}.{name}"
