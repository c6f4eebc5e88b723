"""The import law: what is above the torch line, who may import whom, and how plugins are delivered."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo import TrainConfig
from zoo.cli import COMMANDS
from zoo.files.cards import Card, DatasetCard
from zoo.files.container import Tensor, write_container
from zoo.registry import hookspecs
from zoo.registry.plugins import HOOKS

ROOT = Path(__file__).parents[1]

RANKS = {
    "zoo.errors": 0,
    "zoo.seeds": 0,
    "zoo.data.vocabulary": 0,
    "zoo.config.options": 1,
    "zoo.files.storage": 1,
    "zoo.registry.specs": 2,
    "zoo.files.downloads": 2,
    "zoo.registry.hookspecs": 3,
    "zoo.files.cards": 3,
    "zoo": 4,
    "zoo.registry.plugins": 4,
    "zoo.registry.registry": 5,
    "zoo.registry.catalog": 5,
    "zoo.testing.scaffold": 5,
    "zoo.registry.experiment": 6,
}
"""Above the torch line: a module imports only what stands before it, and its equals."""

COMMAND_MODULES = {f"zoo.cli.{name.replace('-', '_')}" for name in COMMANDS}
CLI_RANK = 7

HEAVY = ("torch", "torchvision", "torchtext", "numpy", "safetensors", "matplotlib", "rich", "requests")
OPEN_TO_PLUGINS = {
    "zoo",
    "zoo.interfaces",
    "zoo.testing",
    "zoo.files.downloads",
    "zoo.models.hooks",
    "zoo.data.pictures",
}
PICKLES = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
PICKLING = {"torch.load", "torch.save", "torch.package", "torch.hub", "allow_pickle"}

BLOCK = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"


def modules_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each module of a package by its dotted name."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


ZOO = dict(modules_of(ROOT / "zoo"))
PLUGIN_FOLDERS = sorted(path.parent for path in (ROOT / "plugins").glob("*/plugin.py"))
PLUGIN_MODULES = {name: path for folder in PLUGIN_FOLDERS for name, path in modules_of(folder)}
OURS = ZOO | PLUGIN_MODULES


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Return the modules a file imports: all, or those that are loaded when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in _run_at_import(tree) if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in OURS else node.module)
    return found


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs when a module is imported: no function bodies, nothing for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run_at_import(child)


def reached(start: str) -> set[str]:
    """Return every module that importing one of ours loads, parents included."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in OURS:
            waiting += imports(OURS[name], at_import=True)
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return seen


def heavy(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] in HEAVY}


def rank(name: str) -> int | None:
    return CLI_RANK if name.startswith("zoo.cli") else RANKS.get(name)


def without_torch(code: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code where torch and all that is heavy cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])},
        capture_output=True,
        text=True,
        check=False,
    )


TORCH_FREE = sorted(
    {*RANKS, "zoo.cli", *COMMAND_MODULES, *(f"{folder.name}.plugin" for folder in PLUGIN_FOLDERS)}
)


def test_everything_above_the_torch_line_imports_without_torch(tmp_path: Path) -> None:
    code = f"""
import importlib, traceback
for name in {TORCH_FREE!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, repr(error))
"""
    done = without_torch(code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a zoo weights file of two numbers, written without torch."""
    data = b"\x00\x00\x80\x3f" * 2
    card = Card(
        architecture="charrnn/lstm",
        arguments={"vocab_size": 56},
        task="language-modelling",
        dataset=DatasetCard(name="text/nietzsche", options={}, fingerprint="0" * 64),
        preprocess={"tokens": "char"},
        training=TrainConfig().to_dict(),
        seed=7,
        progress={"epochs": 1, "steps": 10},
        metrics={"test": {"loss": 1.5}},
        versions={"zoo": "0.1.0"},
        sha256=hashlib.sha256(data).hexdigest(),
    )
    path = tmp_path / "model.safetensors"
    write_container(
        path, [Tensor("out.bias", "F32", (2,), memoryview(data))], {"format": "pt", "zoo": card.to_json()}
    )
    return path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--strict", "list"], "charrnn/lstm"),
        (["--strict", "show", "charrnn/lstm"], "they need torch, which is not installed"),
        (["--strict", "plugins"], "13 architectures"),
        (["inspect", "model.safetensors"], "1, 2 numbers"),
        (["--help"], "inspect"),
    ],
    ids=["list", "show", "plugins", "inspect", "help"],
)
def test_reading_commands_work_without_torch(arguments: list[str], told: str, weights: Path) -> None:
    done = without_torch(f"from zoo.cli import run\nsys.exit(run({arguments!r}))", cwd=weights.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert told in done.stdout


def test_a_command_that_needs_torch_says_so_in_one_sentence(weights: Path) -> None:
    done = without_torch(
        "from zoo.cli import run\nsys.exit(run(['eval', 'model.safetensors']))", cwd=weights.parent
    )
    assert done.returncode == 1
    assert "not installed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", TORCH_FREE)
def test_nothing_above_the_torch_line_reaches_below_it(name: str) -> None:
    assert name in OURS, f"{name} is gone: take it out of RANKS or COMMANDS"
    assert not heavy(reached(name))


@pytest.mark.parametrize("name", sorted(RANKS))
def test_a_module_imports_only_what_stands_before_it(name: str) -> None:
    for other in imports(ZOO[name], at_import=True) & ZOO.keys():
        place = rank(other)
        assert place is not None, f"{name} imports {other}, which has no place in RANKS"
        assert place <= RANKS[name], f"{name} imports {other}, which stands above it"


@pytest.mark.parametrize("name", sorted(COMMAND_MODULES))
def test_a_command_imports_nothing_unranked_until_it_runs(name: str) -> None:
    for other in imports(ZOO[name], at_import=True) & ZOO.keys():
        assert rank(other) is not None, f"{name} imports {other} at module level"


@pytest.mark.parametrize(
    ("package", "above"),
    [
        ("zoo.interfaces", {"zoo.models.building", "zoo.tasks", "zoo.models.weights", "zoo.training"}),
        ("zoo.tasks", {"zoo.models.weights", "zoo.training"}),
        ("zoo.models.weights", {"zoo.tasks", "zoo.training"}),
    ],
)
def test_below_the_line_interfaces_come_before_tasks_and_training(package: str, above: set[str]) -> None:
    for name in ZOO:
        if name == package or name.startswith(f"{package}."):
            assert not reached(name) & above, name


def test_nobody_but_the_entry_point_imports_the_command_line() -> None:
    users = {
        name
        for name, path in OURS.items()
        if not name.startswith("zoo.cli") and any(other.startswith("zoo.cli") for other in imports(path))
    }
    assert users == {"zoo.__main__"}


def test_zoo_imports_no_plugin() -> None:
    packages = {folder.name for folder in PLUGIN_FOLDERS}
    for name, path in ZOO.items():
        assert not {other.partition(".")[0] for other in imports(path)} & packages, name


@pytest.mark.parametrize("name", sorted(PLUGIN_MODULES))
def test_a_plugin_imports_itself_and_the_open_part_of_zoo(name: str) -> None:
    own = name.partition(".")[0]
    packages = {folder.name for folder in PLUGIN_FOLDERS} - {own}
    for other in imports(PLUGIN_MODULES[name]):
        assert other.partition(".")[0] not in packages, f"{name} imports another plugin's {other}"
        if other.partition(".")[0] == "zoo":
            is_open = any(other == door or other.startswith(f"{door}.") for door in OPEN_TO_PLUGINS - {"zoo"})
            assert other == "zoo" or is_open, f"{name} imports {other}, which is not open to plugins"


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


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_package_is_a_docstring(folder: Path) -> None:
    body = ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)


@pytest.mark.parametrize("name", sorted(OURS))
def test_nothing_is_ever_pickled(name: str) -> None:
    assert not {other.partition(".")[0] for other in imports(OURS[name])} & PICKLES
    assert not set(names_used(OURS[name])) & PICKLING


def names_used(path: Path) -> Iterator[str]:
    """Yield the dotted names and the keywords that stand in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("hook", [hook for hook, _, _ in HOOKS])
def test_every_hook_is_documented(hook: str) -> None:
    assert hook in (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_every_hook_is_called() -> None:
    specified = {name for name in vars(hookspecs) if name.startswith("zoo_")}
    assert specified == {hook for hook, _, _ in HOOKS}
