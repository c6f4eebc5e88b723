"""Create a plugin from templates: a distribution that pip installs and that passes `zoo check` as it is."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from zoo._version import __version__
from zoo.errors import OptionError, OutputError
from zoo.registry.plugins import Kind

__all__ = ["new_plugin"]

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Class names that the templates or Python use already
_USED = ("Analysis", "Analyzer", "Dataset", "False", "None", "Plugin", "TensorDataset", "True")

_USE: Mapping[tuple[Kind, str], str] = {
    ("architecture", "classification"): "zoo train {name} shapes",
    ("architecture", "language-modelling"): "zoo train {name} stdlib",
    ("dataset", "classification"): "zoo train convnet {name}",
    ("dataset", "language-modelling"): "zoo train lstm {name}",
    ("analyzer", "classification"): "zoo analyze {name} cifar10-convnet-bn picture.png",
    ("analyzer", "language-modelling"): "zoo analyze {name} model.safetensors text.txt",
}


def new_plugin(
    name: str, kind: Kind, parent: Path, *, task: str = "classification", taken: Iterable[str] = ()
) -> list[Path]:
    """Write the distribution `zoo-<name>` into a folder of that name, and return its files.

    Args:
        name: name of the plugin and of its one entry.
        kind: kind of the entry.
        parent: folder to create `zoo-<name>` in.
        task: task of the entry.
        taken: names that are not free, such as those of installed plugins.

    Raises:
        OptionError: the name is taken, or cannot be that of a package and a class.
        OutputError: the folder already exists or cannot be written.
    """
    words = _words(name, kind, task, taken)
    folder = parent / f"zoo-{words['name']}"
    package = folder / words["package"]
    templates = {folder / path.relative_to(_TEMPLATES / "package"): path for path in _files("package")}
    templates |= {package / path.name: path for path in _files(f"{kind}/{task}")}
    texts = {package / "__init__.py": ""}
    for place, template in templates.items():
        file = place.with_name(place.name.removesuffix(".txt").replace("code.py", f"{words['module']}.py"))
        texts[file] = Template(template.read_text(encoding="utf-8")).substitute(words)
    try:
        folder.mkdir(parents=True)
        for file, text in texts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise OutputError(f"{folder} already exists", hint="choose another name or another --out") from None
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
    return sorted(texts)


def _words(name: str, kind: Kind, task: str, taken: Iterable[str]) -> dict[str, str]:
    module = name.replace("-", "_")
    class_name = "".join(word.capitalize() for word in name.split("-"))
    if not _NAME.fullmatch(name) or keyword.iskeyword(module) or class_name in _USED:
        raise OptionError(
            f"invalid plugin name {name!r}",
            hint="use lower-case letters and digits in words joined by -, such as tiny-net, but no name that "
            "Python or zoo uses",
        )
    if name in taken:
        raise OptionError(f"the name {name!r} is already taken", hint="`zoo list` and `zoo plugins` show all")
    return {
        "name": name,
        "package": f"zoo_{module}",
        "module": module,
        "class_name": class_name,
        "version": __version__,
        "kind": kind,
        "article": "A" if kind == "dataset" else "An",
        "use": _USE[kind, task].format(name=name),
    }


def _files(folder: str) -> list[Path]:
    return sorted((_TEMPLATES / folder).rglob("*.txt"))
