"""Create a plugin from templates: a distribution that pip can install, and that passes `zoo check`."""

from __future__ import annotations

import ast
import keyword
import re
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from string import Template
from typing import Literal, get_args

from zoo._version import __version__
from zoo.errors import OptionError, ZooError, cause
from zoo.registry.specs import ArchitectureSpec, TaskSpec

# What every plugin has, and a folder for each kind that is of no task; the rest comes from the task's plugin
_TEMPLATES = Path(__file__).parent / "templates"
_PACKAGE = _TEMPLATES / "package"
# For a task whose plugin has no templates: they derive from what it has
_OTHER = _TEMPLATES / "other"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Class names that the templates or Python use already, or whose modules they do
_USED = {
    *("Analysis", "Analyzer", "Batch", "Data", "Dataset", "Net", "Plugin", "Step", "Task", "TensorDataset"),
    *("False", "None", "True"),
}

_SEVERAL = "to add an entry to a package, use --into"

NewKind = Literal[
    "architecture",
    "dataset",
    "analyzer",
    "task",
    "optimizer",
    "schedule",
    "augmentation",
    "metric",
    "loss",
    "tokenizer",
    "command",
    "exporter",
    "tracker",
    "recipe",
]
KINDS: tuple[NewKind, ...] = get_args(NewKind)


def new_plugin(
    name: str,
    kind: NewKind,
    parent: Path,
    *,
    task: TaskSpec | None = None,
    lender: TaskSpec | None = None,
    base: ArchitectureSpec | None = None,
    distribution: str = "",
    taken: Iterable[str] = (),
) -> list[Path]:
    """Write the distribution `zoo-<name>` into a folder of the same name, and return its files.

    Args:
        name: name of the plugin and of its entry. A task also comes with a dataset and an architecture,
            `<name>-data` and `<name>-net`, so that it can be tried immediately.
        kind: kind of the entry.
        parent: folder to create `zoo-<name>` in.
        task: task of the entry, whose plugin has the templates; None for a kind without a task.
        lender: the task whose architectures `task` shares, if any; its templates are used if `task` has none.
        base: an architecture for `task`, from which a new one derives if there are no templates.
        distribution: distribution of the task, which becomes a dependency of an entry that derives from it.
        taken: names that are already taken, such as those of installed plugins.

    Raises:
        OptionError: the name is taken, or is not valid for a package and a class; or the task has neither
            templates of that kind nor a class to derive from.
        ZooError: the folder already exists or cannot be written.
    """
    words, own = _chosen(name, kind, task, lender, base, distribution, taken)
    words["use"] = Template((own / "use.txt").read_text(encoding="utf-8").strip()).substitute(words)
    folder = parent / f"zoo-{words['name']}"
    package = folder / words["package"]
    templates = {folder / path.relative_to(_PACKAGE): path for path in sorted(_PACKAGE.rglob("*.txt"))}
    templates |= {package / path.name: path for path in sorted(own.glob("*.py.txt"))}
    texts = {package / "__init__.py": ""}
    for place, template in templates.items():
        file = place.name.removesuffix(".txt").replace("code.py", f"{words['module']}.py")
        # pytest imports test files by their names, which must differ between packages
        file = place.with_name(file.replace("test_package", f"test_{words['package']}"))
        texts[file] = Template(template.read_text(encoding="utf-8")).substitute(words)
    try:
        folder.mkdir(parents=True)
        for file, text in texts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except FileExistsError:
        hint = f"choose a different name or --out folder; {_SEVERAL}"
        raise ZooError(f"{folder} already exists", hint=hint) from None
    except OSError as error:
        raise ZooError(f"cannot write to {folder}: {error.strerror}") from None
    return sorted(texts)


def add_entry(
    name: str,
    kind: NewKind,
    into: Path,
    *,
    task: TaskSpec | None = None,
    lender: TaskSpec | None = None,
    base: ArchitectureSpec | None = None,
    distribution: str = "",
    taken: Iterable[str] = (),
) -> tuple[str, list[Path], list[str]]:
    """Add an entry to a package that exists: write its module, and append its hook to the plugin's module.

    If the plugin has the hook already, its module is left unchanged.

    Args:
        into: folder with the package's pyproject.toml; the other arguments are as in `new_plugin`.

    Returns the name of the plugin, the files that were written, and lines about what the author must add.

    Raises the errors of `new_plugin`, and ZooError if the folder contains no plugin or a module exists.
    """
    words, own = _chosen(name, kind, task, lender, base, distribution, taken)
    plugin, module, hooks = _plugin_in(into)
    words["package"] = module.rpartition(".")[0]
    texts: dict[Path, str] = {}
    for template in sorted(own.glob("*.py.txt")):
        file = template.name.removesuffix(".txt").replace("code.py", f"{words['module']}.py")
        texts[hooks.with_name(file)] = Template(template.read_text(encoding="utf-8")).substitute(words)
    added = texts.pop(hooks.with_name("plugin.py"))
    for path in texts:
        if path.exists():
            raise ZooError(f"{path} already exists", hint="choose a different name")
    functions = [node for node in ast.parse(added).body if isinstance(node, ast.FunctionDef)]
    before = hooks.read_text(encoding="utf-8")
    known = {node.name for node in ast.walk(ast.parse(before)) if isinstance(node, ast.FunctionDef)}
    imported = added.partition("\n")[0]
    todo = [f"add{words['more'][1:]} to `dependencies` in pyproject.toml"] if words["more"] else []
    if known.isdisjoint(function.name for function in functions):
        texts[hooks] = _with_imports(before, imported) + "\n\n" + added[added.index("@hookimpl") :]
    else:
        todo.append(f"add to {hooks}, unless it is there: {imported}")
        for function in functions:
            body = added.splitlines()[function.body[0].lineno - 1 : function.end_lineno]
            todo += [f"add to {function.name}() in {hooks}:", *body]
    try:
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ZooError(f"cannot write to {hooks.parent}: {error.strerror}") from None
    return plugin, sorted(texts), todo


def _plugin_in(folder: Path) -> tuple[str, str, Path]:
    """Return the name, the module and the file of the plugin that a package contains. Raises ZooError."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        ((plugin, module),) = project["project"]["entry-points"]["zoo"].items()
        inside = f"{module.replace('.', '/')}.py"
        (file,) = (path for path in (folder / inside, folder / "src" / inside) if path.is_file())
        ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, LookupError, ValueError, AttributeError, SyntaxError) as error:
        why = "it has no pyproject.toml" if isinstance(error, FileNotFoundError) else cause(error)
        message = f"{folder} is not a package with one plugin: {why}"
        hint = "its pyproject.toml must name the module in [project.entry-points.zoo]"
        raise ZooError(message, hint=hint) from None
    return plugin, module, file


def _with_imports(text: str, line: str) -> str:
    """Return a module that imports what `line` does: in its own `from zoo import`, or before the hook."""
    own = re.search(r"^from zoo import ([\w, ]+)$", text, re.MULTILINE)
    if own is None:
        return f"{text.rstrip()}\n\n{line}\n"
    names = {*own[1].split(", "), *line.removeprefix("from zoo import ").split(", ")}
    return f"{text[: own.start(1)]}{', '.join(sorted(names))}{text[own.end(1) :].rstrip()}\n"


def _chosen(
    name: str,
    kind: NewKind,
    task: TaskSpec | None,
    lender: TaskSpec | None,
    base: ArchitectureSpec | None,
    distribution: str,
    taken: Iterable[str],
) -> tuple[dict[str, str], Path]:
    """Return the template values for an entry and the folder of its templates. Raises OptionError."""
    words = _words(name, kind, taken)
    own = _templates(task, kind) if task else _TEMPLATES / kind
    own = own or (lender and _templates(lender, kind))
    if not own:
        assert task is not None
        own = _OTHER / kind
        words |= {"task": task.name, "more": f', "{distribution}"', **_derived(task, kind, base)}
    return words, own


def _templates(task: TaskSpec, kind: NewKind) -> Path | None:
    """Return the folder of a task's templates for a kind of entry, if any."""
    package, _, inside = task.templates.partition("/")
    found = find_spec(package) if package else None
    folder = Path(found.origin or "").parent / inside / kind if found else Path()
    return folder if found and (folder / "use.txt").is_file() else None


def _derived(task: TaskSpec, kind: NewKind, base: ArchitectureSpec | None) -> dict[str, str]:
    """Return template values for the base of a new entry. Raises OptionError if the base is not a class."""
    if kind == "analyzer":
        return {}
    target = task.tiny if kind == "dataset" else base.target if base else ""
    module, _, name = target.partition(":")
    if not name.isidentifier() or not isinstance(resolve_name(target), type):
        article = "an" if kind == "architecture" else "a"
        message = f"there are no templates for {article} {kind} of {task.name}"
        raise OptionError(message, hint="write the class yourself, as docs/how-to/write-a-plugin.md shows")
    words = {"base_module": module, "base": name}
    if base and kind == "architecture":
        words |= {"base_entry": base.name, "base_config": repr({**base.config})}
        words |= {"base_training": repr({**base.training}), "base_landmarks": repr({**base.landmarks})}
    return words


def _words(name: str, kind: NewKind, taken: Iterable[str]) -> dict[str, str]:
    module = name.replace("-", "_")
    class_name = "".join(word.capitalize() for word in name.split("-"))
    if not _NAME.fullmatch(name) or keyword.iskeyword(module) or class_name in _USED:
        raise OptionError(
            f"invalid plugin name {name!r}",
            hint="use lowercase words and digits joined by -, such as tiny-net; "
            "names used by Python or zoo are reserved",
        )
    if name in taken:
        raise OptionError(
            f"the name {name!r} is already taken",
            hint=f"`zoo list` and `zoo plugins` show the names in use; {_SEVERAL}",
        )
    article = "an" if kind[0] in "aeo" else "a"
    entry = {"task": f"`{name}`, with a dataset and a model to try it with", "command": f"`zoo {name}`"}
    return {
        "name": name,
        "package": f"zoo_{module}",
        "module": module,
        "class_name": class_name,
        "version": __version__,
        "more": "",
        "article": article,
        "what": f"{article.capitalize()} {kind} for zoo, {entry.get(kind, f'`{name}/{name}`')}",
    }
