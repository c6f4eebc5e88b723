"""zoo beside many plugins and entries that are made up, and the contract kit on new plugins."""

from __future__ import annotations

import compileall
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import rtoml

from benchmarks.measuring import ZOO, benchmark, child, environment, in_turn, median_of, python, ratio_of
from benchmarks.rows import Row

MODULE = """
from dataclasses import dataclass

from zoo import AnalyzerSpec, ArchitectureSpec, CommandSpec, DatasetSpec, FieldsSpec, Recipe, TaskSpec
from zoo import WeightsSpec, hookimpl

api = 1
NAME, EACH, MOST = "{name}", {each}, {most}
TASK = "classification"
SUMMARY = "One of many, described as in a plugin of its own"

@hookimpl
def zoo_architectures():
    training = {{"epochs": 10, "lr": 3e-3, "batch_size": 128, "augment": ["crop", "flip"]}}
    marks = {{"features": "stages", "head": "out"}}
    return [
        ArchitectureSpec(name=f"net{{n}}-of-{{NAME}}", target=f"{{NAME}}.nets:Net", task=TASK,
                         summary=SUMMARY, config={{"depth": n}}, training=training, landmarks=marks)
        for n in range(MOST)
    ]

@dataclass(frozen=True)
class Fields:
    field_of_{name}: float = 0.0

@hookimpl
def zoo_training_options():
    return [FieldsSpec(name=f"group-of-{{NAME}}", summary=SUMMARY, fields=Fields)]

@hookimpl
def zoo_tasks():
    return [TaskSpec(name=f"task-of-{{NAME}}", target=f"{{NAME}}.tasks:Task", summary=SUMMARY,
                     dims={{"size": 8}}, groups=(f"group-of-{{NAME}}",), tiny=f"{{NAME}}.tiny:Tiny",
                     processor="zoo_images.processors:ClassProcessor")]

@hookimpl
def zoo_commands():
    return [CommandSpec(name=f"do-{{NAME}}", target=f"{{NAME}}.do:command", summary=SUMMARY)]

@hookimpl
def zoo_datasets():
    return [DatasetSpec(name=f"data{{n}}-of-{{NAME}}", target="data:Data", task=TASK, summary=SUMMARY)
            for n in range(EACH)]

@hookimpl
def zoo_analyzers():
    return [AnalyzerSpec(name=f"view{{n}}-of-{{NAME}}", target="v:View", tasks=(TASK,), summary=SUMMARY)
            for n in range(EACH)]

@hookimpl
def zoo_recipes():
    train = {{"epochs": 20, "lr": 1e-3, "batch_size": 64, "augment": ["flip"]}}
    return {{f"recipe{{n}}-of-{{NAME}}": Recipe(
                summary=SUMMARY, architecture=f"net{{n}}-of-{{NAME}}", dataset=f"data{{n}}-of-{{NAME}}",
                model={{"width": 32}}, train=train)
            for n in range(EACH)}}

@hookimpl
def zoo_weights():
    return {{f"weights{{n}}-of-{{NAME}}": WeightsSpec(
                recipe=f"recipe{{n}}-of-{{NAME}}", url=f"https://example.org/{{NAME}}/{{n}}.safetensors",
                sha256="0123456789abcdef" * 4, bytes=1_000_000, params=250_000,
                metrics={{"test": {{"accuracy": 0.9, "loss": 0.3}}}}, license="MIT")
            for n in range(EACH)}}
"""
LOAD = """
import time
from zoo.registry.catalog import Catalog
start = time.process_time()
from zoo.registry.registry import Registry
registry = Registry.discover(Catalog())
seconds = time.process_time() - start
assert "torch" not in sys.modules
print(seconds, len(registry.entries()) + len(registry.recipes) + len(registry.weights))
"""
IMPORTS = """
from importlib.metadata import entry_points
import zoo
for point in entry_points(group="zoo"):
    point.load()
"""
KINDS = (
    ("architecture", "classification"),
    ("architecture", "language-modeling"),
    ("dataset", "classification"),
    ("analyzer", "classification"),
)
AS_JSON = """
import json
import rtoml
of_toml = rtoml.loads
rtoml.loads = lambda text: (json.loads if text.startswith("{") else of_toml)(text)
from zoo.cli import run
raise SystemExit(run(["list", "weights"]))
"""


@benchmark(minutes=3)
def many_plugins(*, rounds: int = 31) -> Iterator[Row]:
    """Time of `zoo list` with 50 additional plugins, each with 20 entries of all kinds; completing a name."""
    completing = {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "zoo show con", "COMP_CWORD": "2"}
    with tempfile.TemporaryDirectory() as name:
        many = _installed(Path(name), 50, 20)
        listed = child([ZOO, "list"], env=many).out
        assert sum(line.startswith("  many") for line in listed.splitlines()) == 50 * 20
        commands = {
            "zoo list": ([ZOO, "list"], environment()),
            "zoo list with 50 more plugins": ([ZOO, "list"], many),
            "zoo --help with 50 more plugins": ([ZOO, "--help"], many),
            "completion of a name": ([ZOO], environment(**completing)),
        }
        times = in_turn(
            {case: lambda one=one: child(one[0], env=one[1]).seconds for case, one in commands.items()},
            rounds,
        )
    for case in [*commands][1:]:
        yield ratio_of(case, "beside zoo list", times[case], times["zoo list"], "times as long")


@benchmark(minutes=1)
def loading(*, rounds: int = 9) -> Iterator[Row]:
    """CPU time of loading 20,000 entries from 50 plugins, without torch."""
    with tempfile.TemporaryDirectory() as name:
        env = _installed(Path(name), 50, 400)
        found = [child(python(LOAD), env=env).out.split() for _ in range(rounds)]
    assert all(int(count) >= 20_000 for _, count in found)
    yield median_of("20,000 entries", "CPU time", [float(seconds) for seconds, _ in found], "s of CPU time")


@benchmark(minutes=5)
def growth(*, rounds: int = 11, plugins: tuple[int, ...] = (100, 1_000)) -> Iterator[Row]:
    """CPU time of `zoo list` with 10,000 and 100,000 entries, relative to importing the plugins."""
    for count in plugins:
        with tempfile.TemporaryDirectory() as name:
            env = _installed(Path(name), count, 100)
            assert child([ZOO, "list"], env=env).out.count("-of-many") >= 100 * count
            commands = {"list": [ZOO, "list"], "imports": python(IMPORTS)}
            ways = {way: lambda one=one, env=env: child(one, env=env).cpu for way, one in commands.items()}
            times = in_turn(ways, rounds if count < 1_000 else 3)
        case = f"{100 * count:,} entries in {count:,} plugins"
        yield median_of(case, "CPU time", times["list"], "s of CPU time")
        yield ratio_of(case, "beside the imports", times["list"], times["imports"], "times as long")


@benchmark(minutes=2)
def catalog(*, rounds: int = 11, entries: int = 10_000) -> Iterator[Row]:
    """CPU time that a registry.toml with 10,000 recipes and weights adds, relative to the same as JSON."""
    data = _catalog(entries)
    with tempfile.TemporaryDirectory() as name:
        folders = {kind: Path(name, kind) for kind in ("bare", "toml", "json")}
        for folder in folders.values():
            folder.mkdir()
        (folders["toml"] / "registry.toml").write_text(rtoml.dumps(data))
        (folders["json"] / "registry.toml").write_text(json.dumps(data))  # the name is what zoo looks for
        commands: dict[str, Sequence[object]] = {
            "bare": [ZOO, "list", "weights"],
            "toml": [ZOO, "list", "weights"],
            "json": python(AS_JSON),
        }
        times = in_turn(
            {kind: lambda kind=kind: child(commands[kind], cwd=folders[kind]).cpu for kind in folders}, rounds
        )
    toml, as_json = (
        [whole - bare for whole, bare in zip(times[kind], times["bare"], strict=True)]
        for kind in ("toml", "json")
    )
    case = f"{entries:,} recipes and weights"
    yield median_of(case, "CPU time added", toml, "s of CPU time")
    yield ratio_of(case, "beside JSON", toml, as_json, "times as long")


@benchmark(minutes=4)
def kit(*, rounds: int = 3) -> Iterator[Row]:
    """Time of the contract kit on new plugins of each kind, relative to importing it; lines of the plugins.

    A plugin is what `zoo new-plugin` writes; its lines are those of its modules, without blank ones.
    """
    ways = {"import": lambda: child(python("import torch\nimport zoo.testing")).seconds}
    with tempfile.TemporaryDirectory() as name:
        for kind, task in KINDS:
            place, case = _new_plugin(Path(name), kind, task), f"{kind}, {task}"
            ways[case] = lambda place=place: _check(place)
            lines = [text for file in place.glob("zoo_*/*.py") for text in file.read_text().split("\n")]
            yield Row(case, "lines", sum(bool(line.strip()) for line in lines))
        times = in_turn(ways, rounds)
    for case in [*ways][1:]:
        yield median_of(case, "time", times[case], "s")
        yield ratio_of(case, "beside the import", times[case], times["import"], "times as long")


def _new_plugin(home: Path, kind: str, task: str) -> Path:
    """Create a plugin, and return the folder where it lies as if it were installed."""
    name = f"{kind}-{'text' if task == 'language-modeling' else 'images'}"
    child([ZOO, "new-plugin", name, "--kind", kind, "--task", task, "--out", home])
    place = (home / f"zoo-{name}").rename(home / name)
    _with_metadata(place, name, f"zoo_{name.replace('-', '_')}.plugin")
    return place


def _check(place: Path) -> float:
    """Return the seconds that checking the plugin in a folder takes."""
    done = child([ZOO, "check", place.name], env=_beside(place))
    assert " 0 failed" in done.out, done.out
    return done.seconds


def _installed(home: Path, plugins: int, entries: int) -> dict[str, str]:
    """Install plugins of so many entries in a folder; return an environment that has them."""
    for number in range(plugins):
        name = f"many{number:04}"
        _with_metadata(home, name, f"zoo_{name}")
        each = (entries - 3) // 5
        text = MODULE.format(name=name, each=each, most=entries - 3 - 4 * each)
        (home / f"zoo_{name}.py").write_text(text)
    compileall.compile_dir(home, quiet=1)  # as pip does
    return _beside(home)


def _beside(place: Path) -> dict[str, str]:
    return environment(PYTHONPATH=os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")]))


def _with_metadata(place: Path, name: str, module: str) -> None:
    """Make a folder look like the one into which pip has installed a plugin."""
    info = place / f"zoo_{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo]\n{name} = {module}\n")


def _catalog(entries: int) -> Mapping[str, object]:
    train = {"epochs": 20, "lr": 0.1, "batch_size": 128, "augment": ["crop", "flip"]}
    recipe = {"architecture": "convnet/resnet20", "dataset": "images/cifar10", "model": {"width": 16}}
    weights = {"sha256": "0123456789abcdef" * 4, "bytes": 1_000_000, "params": 270_000, "license": "MIT"}
    weights["metrics"] = {"test": {"accuracy": 0.91, "loss": 0.3}}
    numbers, url = range(entries), "https://example.org/"
    return {
        "schema": 1,
        "recipes": {f"recipe{n}": recipe | {"summary": f"Number {n}", "train": train} for n in numbers},
        "weights": {f"weights{n}": weights | {"recipe": f"recipe{n}", "url": f"{url}{n}"} for n in numbers},
    }
