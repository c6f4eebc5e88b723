"""The import order: which package may import which, where torch begins, and how plugins are delivered."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import zoo
from tests.configs import configured
from zoo.cli import COMMANDS, lr_find, module_of, show, train
from zoo.config.train_config import RESERVED
from zoo.files.cards import Card, DatasetCard
from zoo.files.container import StoredTensor, write_container
from zoo.registry import hookspecs
from zoo.registry.hookspecs import HOOKS
from zoo.registry.published import PUBLISHING
from zoo.registry.registry import Registry
from zoo.registry.specs import OWN_COMMANDS

ROOT = Path(__file__).parents[1]

ORDER = (
    {"errors", "_lazy", "seeds", "_version"},
    {"config"},
    {"files"},
    {"registry"},
    {"console", "processors"},
    {"interfaces"},
    {"data", "models"},
    {"evaluation"},
    {"distributed"},
    {"training", "inference", "analysis"},
    {"runs"},
    {"entries", "plugin", "api"},
    {"tools"},
    {"testing"},
    {"cli"},
    {"__main__"},
)
"""Packages, lowest first. A module imports from its own package and those below; lazy imports count."""

TORCH_FREE_PACKAGES = {"errors", "_lazy", "seeds", "_version", "config", "files", "registry", "console"}
TORCH_FREE_MODULES = {
    "zoo",
    "zoo.data.vocabulary",
    "zoo.api.cache_entries",
    "zoo.api.entry_lists",
    "zoo.api.entry_description",
    "zoo.runs.jobs",
    "zoo.runs.resolving",
    "zoo.runs.tracking",
    "zoo.runs.trial_training",
    "zoo.api.training",
    "zoo.runs.processes",
    "zoo.registry.where",
    "zoo.runs.worker",
    "zoo.distributed.parent",
    "zoo.plugin",
    "zoo.testing",
    "zoo.testing._targets",
    "zoo.cli",
    "zoo.tools.lr_find.lr_finder",
    "zoo.tools.export.onnx_fields",
    "zoo.tools.export.onnx_reader",
    *(f"zoo.tools.imports.{name}" for name in ("import_weights", "matched_names")),
    "zoo.tools.new_plugin.scaffold",
    *(f"zoo.tools.compare.{name}" for name in ("reproduction", "verification")),
    "zoo.tools.calibrate.calibrated_weights",
    *(f"zoo.tools.share.{name}" for name in ("model_card", "card_text")),
    *(f"zoo.tools.data_check.{name}" for name in ("data_check", "training_batch")),
    "zoo.tools.sweep.sweep_trial",
    "zoo_timm.names",
    "zoo_timm.sizes",
    "zoo.cli.tracker_process",
    "zoo.tools.track.follower",
    *(f"zoo.tools.track.to_{name}" for name in ("tensorboard", "mlflow", "trackio", "wandb")),
    "zoo.cli.kit",
    *(module_of(name) for name in COMMANDS if name != "compare"),  # which needs NumPy to be imported
}
"""What imports without torch besides those packages; what they need torch for, they import when they run."""

NUMPY_ONLY = (
    "zoo.plugin",
    "zoo.processors",
    "zoo.api.model",
    "zoo.api.results",
    "zoo.api.load_weights",
    "zoo.data.image_files",
    *(f"zoo.data.{name}" for name in ("read_ahead", "sources")),
    *(f"zoo.inference.{name}" for name in ("embedding", "predicting", "sampling")),
    *(f"zoo.inference.{name}" for name in ("signature_check", "output_files")),
    "zoo.models.runners",
    "zoo.tools.export.onnx_runtime",
    "zoo.tools.export.fresh_process",
    "zoo_images.processors",
    "zoo_text.processor",
)
"""What an exported model is used with: with numpy and Pillow, and where there is no torch."""

HEAVY = ("torch", "torchvision", "torchtext", "numpy", "matplotlib", "rich", "requests", "PIL")
HEAVY += ("huggingface_hub",)
OPEN_TO_PLUGINS = {"zoo", "zoo.cli.kit", "zoo.interfaces", "zoo.plugin", "zoo.testing"}
PICKLES = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
PICKLING = {"torch.load", "torch.save", "torch.package", "torch.hub", "allow_pickle"}

BLOCK = "import sys\nfor name in {!r}: sys.modules[name] = None\n"


def modules_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each module of a package by its dotted name."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


ZOO = dict(modules_of(ROOT / "zoo"))
PLUGIN_FOLDERS = sorted(path.parent for path in (ROOT / "plugins").glob("*/plugin.py"))
PLUGIN_MODULES = {name: path for folder in PLUGIN_FOLDERS for name, path in modules_of(folder)}
OURS = ZOO | PLUGIN_MODULES
EXAMPLES = sorted((ROOT / "examples").glob("*/*/*.py"))
RANKS = {package: rank for rank, packages in enumerate(ORDER) for package in packages}
TORCH_FREE = sorted(
    {name for name in ZOO if name.split(".")[1:2] and name.split(".")[1] in TORCH_FREE_PACKAGES}
    | TORCH_FREE_MODULES
    | {f"{folder.name}.plugin" for folder in PLUGIN_FOLDERS}
)


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file, which many tests look at."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Return the modules that a file imports: all, or those loaded when it is itself imported."""
    tree = parsed(path)
    names: set[str] = set()
    for node in _run_at_import(tree) if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in OURS else node.module)
    return names


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs when a module is imported: no function bodies, nothing for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run_at_import(child)


def package_of(name: str) -> str:
    """Return the package that a module of zoo is in; the module `zoo` itself is above them."""
    return name.split(".")[1] if "." in name else "zoo"


def without_torch(
    code: str, *, cwd: Path, blocked: Sequence[str] = HEAVY
) -> subprocess.CompletedProcess[str]:
    """Run code where torch and everything heavy cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(blocked) + code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_package_has_its_place_and_the_top_level_stays_small() -> None:
    top = {package_of(name) for name in ZOO} - {"zoo"}
    assert top == RANKS.keys(), f"ORDER is about other packages: {sorted(top ^ RANKS.keys())}"
    modules = {path.stem for path in (ROOT / "zoo").glob("*.py")} - {"__init__", "__main__"}
    named = {name for name in modules if not name.startswith("_")}
    assert named == {"entries", "errors", "interfaces", "plugin", "processors", "seeds"}
    assert len([path for path in (ROOT / "zoo").iterdir() if (path / "__init__.py").exists()]) <= 16


def test_a_package_imports_only_from_the_packages_below_it() -> None:
    """None imports the module `zoo`, either: the module `zoo` is above all of them.

    A method of the API may use a tool, such as `Model.export`, if it imports the tool when it runs.
    """
    wrong = [
        f"{name} imports {other}"
        for name, path in ZOO.items()
        for other in imports(path, at_import=package_of(name) == "api")
        if name != "zoo" and other.partition(".")[0] == "zoo" and package_of(other) != package_of(name)
        if other == "zoo" or RANKS[package_of(other)] >= RANKS[package_of(name)]
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges = {
        name: ZOO.keys() & imports(path, at_import=package_of(name) in ("api", "tools"))
        for name, path in ZOO.items()
    }
    for name, others in edges.items():  # a package's __init__ is no importer of its modules' users
        others.discard(name)
    circles: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            circles.append([*path[path.index(name) :], name])
            return
        if name in done:
            return
        for other in sorted(edges[name]):
            visit(other, [*path, name])
        done.add(name)

    for name in sorted(edges.keys() - {"zoo"}):
        visit(name, [])
    assert not circles


def test_contributing_states_the_law() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (law,) = re.findall(r"^`(errors, .*?)`$", page, re.MULTILINE | re.DOTALL)
    stated = [{*place.split(", ")} for place in " ".join(law.split()).split(" <- ")]
    packages = [{name for name in place if not name.startswith("_")} for place in ORDER]
    assert stated == [place for place in packages if place]


def test_every_package_is_on_its_page() -> None:
    page = (ROOT / "docs" / "contributing" / "layout.md").read_text(encoding="utf-8")
    named = re.findall(r"\[(\w+)(?:/|\.py)\]\(\.\./\.\./zoo/", page.partition("## Where does it happen?")[0])
    assert {*named} == {name for name in RANKS if not name.startswith("_")}


def test_a_module_of_another_package_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from zoo.training import loop\n    import zoo.cli.train\n")
    assert imports(file) == {"zoo.training.loop", "zoo.cli.train"}
    assert imports(file, at_import=True) == set()


def test_everything_torch_free_imports_without_torch(tmp_path: Path) -> None:
    code = f"""
import importlib
for name in {TORCH_FREE!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, repr(error))
"""
    done = without_torch(code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_exported_models_are_used_with_imports_without_torch(tmp_path: Path) -> None:
    code = f"import importlib\nfor name in {NUMPY_ONLY!r}: importlib.import_module(name)"
    blocked = ("torch", "torchvision", "torchtext", "matplotlib")
    done = without_torch(code, cwd=tmp_path, blocked=blocked)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a zoo weights file of two numbers, written without torch."""
    data = b"\x00\x00\x80\x3f" * 2
    card = Card(
        architecture="charrnn/lstm",
        arguments={"vocab_size": 56},
        task="language-modeling",
        dataset=DatasetCard(name="text/nietzsche", options={}, fingerprint="0" * 64),
        preprocess={"tokens": "char"},
        training=configured().to_dict(),
        seed=7,
        progress={"epochs": 1, "steps": 10},
        metrics={"test": {"loss": 1.5}},
        versions={"zoo": "0.1.0"},
        sha256=hashlib.sha256(data).hexdigest(),
    )
    path = tmp_path / "model.safetensors"
    write_container(
        path,
        [StoredTensor("out.bias", "F32", (2,), memoryview(data))],
        {"format": "pt", "zoo": card.to_json()},
    )
    return path


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--strict", "list"], "charrnn/lstm"),
        (["--strict", "show", "charrnn/lstm"], "requires torch, which is not installed"),
        (["--strict", "plugins"], "13 architectures"),
        (["inspect", "model.safetensors"], "1 tensors with 2 numbers"),
        (["--help"], "inspect"),
    ],
    ids=["list", "show", "plugins", "inspect", "help"],
)
def test_reading_commands_work_without_torch(arguments: list[str], shown: str, weights: Path) -> None:
    done = without_torch(f"from zoo.cli import run\nsys.exit(run({arguments!r}))", cwd=weights.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout


def test_only_what_is_of_torchvision_imports_torchvision_at_once() -> None:
    """It takes as long to import as torch, since it imports the compiler."""
    importing = {name for name, path in OURS.items() if "torchvision" in _packages(path)}
    assert importing == {"zoo_convnet.resnet34_cam", "zoo_images.transforms"}


def _packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path, at_import=True)}


def test_zoo_names_no_task() -> None:
    tasks = Registry.discover().tasks
    assert {"classification", "language-modeling"} <= tasks.keys()
    for name, path in ZOO.items():
        if package_of(name) != "testing":
            strings = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
            assert not strings & tasks.keys(), name


def test_zoo_names_no_plugin_and_none_of_their_entries() -> None:
    """Neither in code, nor in stubs, nor by a string such as `zoo_cam.grad_cam` or `cam/grad-cam`."""
    packages = {folder.name for folder in PLUGIN_FOLDERS}
    entries = [entry for entry in Registry.discover().entries() if entry.plugin.where.endswith(".plugin")]
    names = {entry.name for entry in entries}
    assert {"cam/grad-cam", "images/shapes"} <= names
    for name, path in ZOO.items():
        strings = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
        texts = {text for text in strings if isinstance(text, str)}
        assert not texts & names or package_of(name) == "testing", name
        assert not {text.partition(".")[0] for text in texts if "." in text} & packages, name
        assert not {other.partition(".")[0] for other in imports(path)} & packages, name
    for stub in (ROOT / "zoo").rglob("*.pyi"):
        words = stub.read_text(encoding="utf-8").split()
        assert not {word.partition(".")[0] for word in words} & packages, stub


def test_no_training_option_can_be_called_like_an_option_of_a_command_that_takes_them() -> None:
    own = {
        parameter.name
        for command in (train.command, lr_find.command, show.command)
        for parameter in command.params
    }
    assert own <= RESERVED


def test_no_plugin_can_have_a_command_of_zoos_own() -> None:
    assert COMMANDS.keys() <= OWN_COMMANDS


def test_a_plugin_imports_itself_and_the_open_part_of_zoo() -> None:
    """So do the examples; none of them imports another plugin."""
    packages = {folder.name for folder in PLUGIN_FOLDERS}
    modules = PLUGIN_MODULES | {f"{path.parent.name}.{path.stem}": path for path in EXAMPLES}
    wrong = [
        f"{name} imports {other}"
        for name, path in modules.items()
        for other in imports(path)
        if (other.partition(".")[0] == "zoo" and other not in OPEN_TO_PLUGINS)
        or other.partition(".")[0] in packages - {name.partition(".")[0]}
    ]
    assert not wrong


def test_the_reference_lists_what_is_open_to_plugins() -> None:
    page = (ROOT / "docs" / "reference" / "plugins.md").read_text(encoding="utf-8")
    part = page.partition("## What a plugin may use\n")[2].partition("Other modules")[0]
    listed = re.findall(r"`(zoo[.\w]*)`", part)
    assert listed == sorted(OPEN_TO_PLUGINS)


SAME_NAMES = {
    "Block",  # each network has its own, as in papers
}


def test_no_two_public_classes_have_the_same_name() -> None:
    modules: dict[str, list[str]] = {}
    for name, path in OURS.items():
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, []).append(name)
    assert not {
        name: others for name, others in modules.items() if len(others) > 1 and name not in SAME_NAMES
    }


def test_folders_packages_and_entry_points_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {
        path.name for path in (ROOT / "plugins").iterdir() if path.is_dir() and list(path.glob("*.py"))
    }
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    points = project["project"]["entry-points"]["zoo"]
    assert folders == {folder.name for folder in PLUGIN_FOLDERS}, "a plugin folder has a plugin.py"
    assert set(packages) == {"zoo", *(f"plugins/{name}" for name in folders)}
    assert points == {name.removeprefix("zoo_"): f"{name}.plugin" for name in folders}
    assert {*project["tool"]["ruff"]["lint"]["isort"]["known-first-party"]} == {"zoo", *folders}
    assert project["project"]["version"] == zoo.__version__


def test_a_plugin_package_is_a_docstring_and_typed() -> None:
    for folder in PLUGIN_FOLDERS:
        (only,) = parsed(folder / "__init__.py").body
        assert isinstance(only, ast.Expr), folder
        assert isinstance(only.value, ast.Constant), folder
        assert (folder / "py.typed").exists(), folder


def test_nothing_is_ever_pickled() -> None:
    for name, path in OURS.items():
        assert not {other.partition(".")[0] for other in imports(path)} & PICKLES, name
        opens = {"torch.load"} if name == "zoo.tools.imports.unpickler" else set[str]()
        assert set(names_used(path)) & PICKLING == opens, name


PRINTS = {"print", "click.echo", "click.secho", "echo_via_pager"}
PRINTS |= {f"sys.{stream}.{name}" for stream in ("stdout", "stderr") for name in ("write", "writelines")}


def test_text_is_printed_in_one_place() -> None:
    """`zoo.console.terminal` escapes what a terminal would obey; `_fresh` answers another process in JSON."""
    for name in OURS.keys() - {"zoo.console.terminal", "zoo.testing._fresh"}:
        calls = [node.func for node in ast.walk(parsed(OURS[name])) if isinstance(node, ast.Call)]
        assert not {ast.unparse(call) for call in calls} & PRINTS, name


def names_used(path: Path) -> Iterator[str]:
    """Yield the dotted names and the keywords in a file."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("hook", [*(hook for hook, _, _ in HOOKS), *sorted(PUBLISHING)])
def test_every_hook_is_documented(hook: str) -> None:
    assert hook in (ROOT / "docs" / "reference" / "plugins.md").read_text(encoding="utf-8")
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "how-to").rglob("*.md")]
    assert any(f"def {hook}(" in page for page in pages), f"no how-to page shows {hook}"


def test_every_hook_is_called() -> None:
    specified = {name for name in vars(hookspecs) if name.startswith("zoo_")}
    assert specified == {hook for hook, _, _ in HOOKS} | PUBLISHING
