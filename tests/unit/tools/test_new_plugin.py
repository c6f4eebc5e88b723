"""`zoo new-plugin`: pip installs what it writes, which passes the kit as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import zoo
from zoo import OptionError, TaskSpec
from zoo.cli import run
from zoo.registry import plugins
from zoo.registry.registry import Registry
from zoo.testing import check
from zoo.testing._targets import with_ours
from zoo.tools.new_plugin.scaffold import new_plugin

NAMES = {
    ("architecture", "classification"): "tiny-net",
    ("dataset", "classification"): "corners",
    ("analyzer", "classification"): "saliency",
    ("dataset", "multi-label"): "lit-corners",
    ("architecture", "language-modeling"): "tiny-gru",
    ("dataset", "language-modeling"): "sums",
    ("analyzer", "language-modeling"): "guesses",
    ("task", ""): "tides",
    ("optimizer", ""): "unit-sgd",
    ("schedule", ""): "fade",
    ("augmentation", ""): "upside-down",
    ("metric", ""): "near-misses",
    ("loss", ""): "lenient",
    ("tokenizer", ""): "vowels",
    ("command", ""): "numbers",
    ("exporter", ""): "zipped",
    ("tracker", ""): "ledger",
    ("recipe", ""): "quick-shapes",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a new plugin of each kind and task."""
    folder = tmp_path_factory.mktemp("new")
    for (kind, task), name in NAMES.items():
        of = ["--task", task] if task else []
        assert run(["new-plugin", name, "--kind", kind, *of, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def installed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that they are in as pip installs them."""
    site = tmp_path_factory.mktemp("site")
    for name in NAMES.values():
        package = f"zoo_{name.replace('-', '_')}"
        shutil.copytree(folder / f"zoo-{name}" / package, site / package)
        project = tomllib.loads((folder / f"zoo-{name}" / "pyproject.toml").read_text())["project"]
        info = site / f"{package}-{project['version']}.dist-info"
        info.mkdir()
        facts = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
        (info / "METADATA").write_text("".join(f"{key}: {value}\n" for key, value in facts.items()))
        ((plugin, where),) = project["entry-points"]["zoo"].items()
        (info / "entry_points.txt").write_text(f"[zoo]\n{plugin} = {where}\n")
    return site


@pytest.fixture(scope="module")
def pip_installed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that pip installed them into."""
    target = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    sources = [str(folder / f"zoo-{name}") for name in NAMES.values()]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), *sources],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


# The others, a few seconds each, are by night
FIRST = ("corners",)
EACH = [
    pytest.param(kind, name, marks=[] if name in FIRST else [pytest.mark.nightly])
    for (kind, _), name in NAMES.items()
]


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_it_passes_the_kit_as_it_is(kind: str, name: str, installed: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(installed))
    assert run(["--strict", "check", name, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["skipped"], report["failed"]) == (0, 0)
    kinds = {"task", "dataset", "architecture"} if kind == "task" else {"metric" if kind == "loss" else kind}
    assert {check["kind"] for check in report["checks"]} == {"plugin"} | kinds


@pytest.mark.parametrize(
    ("data", "metric", "least"), [("corners", "accuracy", 0.5), ("lit-corners", "mAP", 0.6)]
)
def test_they_work_together(
    data: str, metric: str, least: float, installed: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    train = ["train", "tiny-net", data, "--data", "size=8", "--epochs", "2", "--json"]
    assert run([*train, "--run", str(tmp_path / "run")]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["metrics"]["val"][metric] > least
    analyze = ["analyze", "saliency", trained["weights"], "--indices", "0-3", "--json"]
    assert run([*analyze, "--out", str(tmp_path / "maps")]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 4


@pytest.mark.parametrize("kind", ["architecture", "analyzer"])
def test_what_serves_several_tasks_is_written_once(kind: str, tmp_path: Path) -> None:
    for task in ("multi-label", "classification"):
        out = str(tmp_path / task)
        assert run(["new-plugin", "mine", "--kind", kind, "--task", task, "--out", out]) == 0
    one, other = (
        {
            path.relative_to(tmp_path / task): path.read_text()
            for path in (tmp_path / task).rglob("*")
            if path.is_file()
        }
        for task in ("multi-label", "classification")
    )
    assert one == other


@pytest.mark.nightly
def test_the_text_plugins_work_together(installed: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(installed))
    train = ["train", "tiny-gru", "sums", "--json"]
    assert run([*train, "--run", str(tmp_path / "run")]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["metrics"]["val"]["loss"] < 1.5  # log(13) is 2.56
    analyze = ["analyze", "guesses", trained["weights"], "--json", "--out", str(tmp_path / "found")]
    assert run(analyze) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["accuracy"] > 0.4
    text = "1+1=2\n" * 50
    (tmp_path / "sums.txt").write_text(text)
    assert run([*analyze, str(tmp_path / "sums.txt")]) == 0


@pytest.mark.slow
def test_what_the_readme_of_a_new_task_says_works(folder: Path, pip_installed: Path, tmp_path: Path) -> None:
    """It trains, and its mean absolute error is below that of a constant, 0.28, and above the noise, 0.08."""
    readme = (folder / "zoo-tides" / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^zoo (.*)$", readme, re.M)
    assert [command.split()[0] for command in commands] == ["train", "eval"]
    search = os.pathsep.join([str(pip_installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "zoo", "--strict", *command.split(), "--json"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": search},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["unit"] == "rows"
    assert 0.08 < measured["metrics"]["mae"] < 0.2


def test_a_new_task_reads_uploads_as_predict_reads_files(
    installed: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from starlette.testclient import TestClient

    from zoo.registry.registry import Registry
    from zoo.tools.serve.app import create_app
    from zoo.tools.serve.served_models import named

    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.chdir(tmp_path)
    assert run(["train", "tides-net", "tides-data", "--epochs", "1", "--run", "tidal", "--quiet"]) == 0
    contents = {"row.txt": "1.5 0.2", "short.txt": "42", "words.txt": "one two", "row": "0 1"}
    for name, content in contents.items():
        Path(name).write_text(content, encoding="utf-8")
    capsys.readouterr()
    assert run(["predict", "./tidal", *contents, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    (served,) = named([("./tidal", zoo.load("./tidal", progress=False))], Registry.discover())
    with TestClient(create_app([served]), base_url="http://localhost") as client:
        files = [("input", (name, content)) for name, content in contents.items()]
        assert client.post("/predict", files=files).json() == expected
        alone = [client.post("/predict", files=[file]).json()[0] for file in files]
        refused = client.post("/predict", data={"text": "1.5 0.2"}).json()["error"]["message"]
        (described,) = client.get("/models").json()
    served.worker.close()
    assert alone == expected
    assert [row["error"] is None for row in expected] == [True, False, False, True]
    assert refused == "tidal accepts files of rows in the field 'input'"
    assert described["takes"] == "file"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["architecture", "dataset", "analyzer"])
def test_of_a_task_without_templates_it_derives_from_what_that_has(
    kind: str, installed: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    name, out = f"tidal-{kind}", ["--out", str(tmp_path)]
    assert run(["new-plugin", name, "--kind", kind, "--task", "tides", *out]) == 0
    folder = tmp_path / f"zoo-{name}"
    assert f'"zoo-registry>={zoo.__version__},<1", "zoo-tides"]' in (folder / "pyproject.toml").read_text()
    info = folder / "zoo_tidal-0.1.0.dist-info"  # as if it were installed
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo]\n{name} = zoo_tidal_{kind}.plugin\n")
    monkeypatch.syspath_prepend(str(folder))
    capsys.readouterr()
    assert run(["--strict", "check", name, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["skipped"], report["failed"]) == (0, 0)
    assert {check["kind"] for check in report["checks"]} == {"plugin", kind}


def test_what_is_no_class_cannot_be_derived_from(tmp_path: Path) -> None:
    task = TaskSpec(
        name="tides", target="m:T", summary="s", dims={}, processor="m:p", tiny=f"{__name__}:folder"
    )
    for kind in ("architecture", "dataset"):
        with pytest.raises(OptionError, match=f"there are no templates for an? {kind} of tides"):
            new_plugin("mine", kind, tmp_path, task=task)
    assert not [*tmp_path.iterdir()]


def test_a_new_command_runs(folder: Path, installed: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(installed))
    readme = (folder / "zoo-numbers" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# zoo-numbers\n\nA command for zoo, `zoo numbers`.")
    (words,) = re.findall(r"^zoo (numbers .*)$", readme, re.M)
    assert run(["--strict", *words.split(), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts
    assert min(counts.values()) >= 1000
    assert run(["numbers", "shapes-resnet20", "--least", "-1"]) == 2
    assert capsys.readouterr().err.startswith("zoo: --least must be at least 0 (got -1)")


def test_a_new_exporter_writes(installed: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(installed))
    net, out = str(tmp_path / "net"), str(tmp_path / "x.zipped")
    few = ["--data", "train_size=16", "--data", "val_size=0", "--data", "test_size=16", "--epochs", "1"]
    assert run(["train", "mlp", "shapes", *few, "--run", net, "--quiet"]) == 0
    capsys.readouterr()
    assert run(["--strict", "export", net, "--out", out, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["format"], done["items"], done["disagreements"]) == ("zipped", 16, 0)
    assert run(["sample", out]) == 1
    assert "is a .zipped file, which zoo can write but not read" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(400)  # beside other work
def test_a_new_recipe_trains(folder: Path, installed: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(installed))
    readme = (folder / "zoo-quick-shapes" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# zoo-quick-shapes\n\nA recipe for zoo, `quick-shapes/quick-shapes`.")
    (words,) = re.findall(r"^zoo (train .*)$", readme, re.M)
    short = ["--epochs", "2", "--run", str(tmp_path / "run"), "--json"]
    assert run(["--strict", *words.split(), *short]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["val"]["accuracy"] > 0.2  # at random it is 0.125


def test_a_new_task_is_one_of_its_own(tmp_path: Path, capsys) -> None:
    assert run(["new-plugin", "tides", "--kind", "task", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "tides"


@pytest.mark.nightly  # the same checks, by pytest: a process each
@pytest.mark.parametrize("name", ["corners", "tides", "numbers", "quick-shapes"])
def test_its_own_test_passes(name: str, folder: Path, installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        command,
        cwd=folder / f"zoo-{name}",
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b(9|\d\d) passed", done.stdout), done.stdout


def test_one_pytest_run_collects_the_tests_of_two_packages(folder: Path, installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    done = subprocess.run(
        [*command, "zoo-vowels", "zoo-ledger"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES.values())
def test_it_is_a_complete_package(name: str, folder: Path) -> None:
    package = f"zoo_{name.replace('-', '_')}"
    root = folder / f"zoo-{name}"
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    code = {f"{package}/{file}.py" for file in ("__init__", "plugin")}
    code |= {f"{package}/{package.removeprefix('zoo_')}.py"} if name != "quick-shapes" else set()
    code |= {f"{package}/{file}.py" for file in ("data", "net", "rows") if name == "tides"}
    rest = {"pyproject.toml", "README.md", f"tests/test_{package}_contract.py", ".github/workflows/ci.yml"}
    assert {path.relative_to(root).as_posix() for path in files} == code | rest
    assert not [path for path in files if re.search(r"\$\w", path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", ["tiny-net", "tiny-gru"])
def test_an_architecture_takes_at_most_forty_lines_with_its_packaging(name: str, folder: Path) -> None:
    root = folder / f"zoo-{name}"
    files = [root / "pyproject.toml", *root.glob("zoo_*/*.py")]
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 40


def test_json_lists_what_was_written(tmp_path: Path, capsys) -> None:
    assert run(["new-plugin", "zoo-mine", "--kind", "dataset", "--out", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["name"], report["folder"]) == ("mine", str(tmp_path / "zoo-mine"))
    assert {Path(file) for file in report["files"]} == {p for p in tmp_path.rglob("*") if p.is_file()}


def test_entries_are_added_to_a_package_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new-plugin", "mine", "--kind", "optimizer"]) == 0
    package = Path("zoo-mine/zoo_mine")
    before = {file: file.read_text() for file in Path("zoo-mine").rglob("*") if file.is_file()}
    capsys.readouterr()
    assert run(["new-plugin", "fade", "--kind", "schedule", "--into", "zoo-mine"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        *(str(package / "fade.py"), str(package / "plugin.py")),
        "next: zoo check mine/fade",
    ]
    added = (package / "plugin.py").read_text()
    assert added.startswith("from zoo import OptimizerSpec, ScheduleSpec, hookimpl\n\napi = 1\n")
    assert run(["new-plugin", "rise", "--kind", "schedule", "--into", "zoo-mine"]) == 0
    out = capsys.readouterr().out
    assert f"add to zoo_schedules() in {package}/plugin.py:\n    yield ScheduleSpec(\n" in out
    assert 'target="zoo_mine.rise:rise"' in out
    assert (package / "plugin.py").read_text() == added
    (package / "nets.py").write_text("mine = 1\n")
    assert run(["new-plugin", "nets", "--kind", "metric", "--into", "zoo-mine"]) == 1
    assert f"{package}/nets.py already exists" in capsys.readouterr().err
    assert (package / "nets.py").read_text() == "mine = 1\n"
    kept = [file for file, text in before.items() if file.read_text() == text]
    assert [*before.keys() - {*kept}] == [package / "plugin.py"]
    monkeypatch.syspath_prepend("zoo-mine")
    where = "zoo_mine.plugin"
    loaded = plugins.load("mine", EntryPoint("mine", where, "zoo").load, where=where)
    assert loaded.provides == ("optimizer mine/mine", "schedule mine/fade")
    done = check("mine", registry=Registry(with_ours(loaded)), progress=False)
    assert [outcome for outcome in done if outcome.outcome == "failed"] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "it has no pyproject.toml\n"),
        ("", ""),
        ("[project.entry-points.zoo]\nmine = 'zoo_mine.plugin'\n", ""),
    ],
)
def test_a_folder_without_a_plugin_gets_no_entry(text: str | None, why: str, tmp_path: Path, capsys) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    before = [*tmp_path.iterdir()]
    assert run(["new-plugin", "fade", "--kind", "schedule", "--into", str(tmp_path)]) == 1
    assert f"{tmp_path} is not a package with one plugin: {why}" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == before


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, capsys) -> None:
    (tmp_path / "zoo-mine").mkdir()
    assert run(["new-plugin", "mine", "--kind", "analyzer", "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert f"{tmp_path / 'zoo-mine'} already exists" in err
    assert "to add an entry to a package, use --into" in err
    assert not [*(tmp_path / "zoo-mine").iterdir()]
