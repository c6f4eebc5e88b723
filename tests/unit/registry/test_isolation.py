"""Broken plugins beside good ones: each is reported in one line and affects nothing else, in any order."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made_up import HOOK, distribution, model

RunZoo = Callable[..., subprocess.CompletedProcess[str]]

GOOD = ("alpha", "kappa", "omega")

TERMINAL = "\x1b[31mred\x1b]0;title\x07\u202egnp.tac"
"""A color, a window title and a right-to-left override."""


def spec(**fields: object) -> str:
    """Return the source of a plugin whose one spec has these fields changed."""
    texts = {"name": "net", "target": "m:M", "task": "classification", "summary": "s", **fields}
    listed = ", ".join(f"{name}={text!a}" for name, text in texts.items())
    return f"{HOOK}@hookimpl\ndef zoo_architectures(): return [ArchitectureSpec({listed})]"


BROKEN = {
    "speechless": (
        "class Odd(Exception):\n    def __str__(self): raise RuntimeError\nraise Odd",
        "speechless (speechless) failed: Odd",
    ),
    "terminal": (
        spec(summary=TERMINAL),
        "architecture 'net': summary must be one line of printable text (got '\\x1b[31mred\\x1b]0;title",
    ),
    "a-squatter": (model("lstm"), "the name 'charrnn' is already taken by zoo-registry"),
}
"""Plugins that fail, by the name of their distribution, and their cause."""

LOADED = {
    "exits-late": (spec(name="exit", target="exits_late_model:Net"), "exits-late/exit"),
    "prints": (f"print('[not JSON')\n{spec(name='printed')}", "prints/printed"),
    "a-namesake": (spec(name="lstm"), "a-namesake/lstm"),
}
"""Plugins that load in spite of what is wrong with them, and their one entry."""

POINTS = {"a-squatter": {"charrnn": "a_squatter"}}
"""Entry points of distributions whose plugin has another name."""

SHUFFLE = """
import contextlib, importlib, io, json, random, sys
from zoo.cli import run
places, modules = json.loads(sys.argv[1]), json.loads(sys.argv[2])
before, answers = list(sys.path), set()
random.seed(0)
for _ in range(100):
    random.shuffle(places)
    sys.path[:] = places + before
    importlib.invalidate_caches()
    for name in modules:
        sys.modules.pop(name, None)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["list", "--json"])
    answers.add((code, out.getvalue(), err.getvalue()))
print(json.dumps(sorted(answers)))
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("plugins")
    sources = {name: model(f"net-{name}") for name in GOOD}
    sources |= {name: source for name, (source, _) in (BROKEN | LOADED).items()}
    made = [distribution(folder, name, source, points=POINTS.get(name)) for name, source in sources.items()]
    (folder / "exits-late" / "exits_late_model.py").write_text("import sys\nsys.exit(3)")
    return made


@pytest.fixture(scope="module")
def healthy(typed: RunZoo) -> list[dict[str, Any]]:
    """Return the rows of `zoo list` with no plugins but zoo's own."""
    return json.loads(typed("list", "--json").stdout)


def test_good_plugins_are_listed_and_each_broken_one_is_one_line(
    places: list[Path], typed: RunZoo, healthy: list[dict[str, Any]]
) -> None:
    done = typed("list", "--json", path=places)
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    theirs = {row["name"] for row in rows if row not in healthy}
    assert theirs == {f"{name}/net-{name}" for name in GOOD} | {entry for _, entry in LOADED.values()}
    assert [row for row in rows if row["name"] not in theirs] == healthy
    lines = done.stderr.splitlines()
    assert len(lines) == len(BROKEN)
    for name, (_, cause) in BROKEN.items():
        plugin = next(iter(POINTS.get(name, {name: ""})))
        (line,) = [line for line in lines if line.startswith(f"zoo: plugin {plugin} ({name}) failed: ")]
        assert cause in line
        assert line.isprintable()


@pytest.mark.nightly
def test_a_hundred_orders_of_the_path_give_one_answer(
    places: list[Path], typed: RunZoo, tmp_path: Path
) -> None:
    modules = [path.name.replace("-", "_") for path in places]
    arguments = [json.dumps([str(path) for path in places]), json.dumps(modules)]
    done = subprocess.run(
        [sys.executable, "-c", SHUFFLE, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (answer,) = json.loads(done.stdout)
    asked = typed("list", "--json", path=places)
    assert answer == [asked.returncode, asked.stdout, asked.stderr]


LATE = "target 'exits_late_model:Net' cannot be imported: SystemExit: 3"


def test_a_target_that_exits_is_reported_by_show(places: list[Path], typed: RunZoo) -> None:
    done = typed("show", "exits-late/exit", "--json", path=places)
    assert done.returncode == 0
    assert LATE in json.loads(done.stdout)["unknown"]


def test_a_target_that_exits_is_an_error_of_train(places: list[Path], typed: RunZoo) -> None:
    pytest.importorskip("torch")
    done = typed("train", "exits-late/exit", "shapes", path=places)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "exits_late" in line] == [f"zoo: {LATE}"]


def test_a_target_that_exits_fails_its_check(places: list[Path], typed: RunZoo) -> None:
    pytest.importorskip("torch")
    done = typed("check", "exits-late", "--json", path=places)
    assert done.returncode == 1
    checks = json.loads(done.stdout)["checks"]
    (failed,) = [check for check in checks if check["outcome"] == "failed"]
    assert {check["outcome"] for check in checks if check["entry"] == "exits-late/exit"} == {"skipped"}
    assert failed["name"] == "exits-late-targets_resolve"
    assert f"got {LATE}" in failed["reason"]


@pytest.mark.nightly
def test_other_plugins_go_on_beside_it(places: list[Path], typed: RunZoo, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be, " * 200)
    train = ["train", "charrnn/rnn", "files", "--data", f"paths={tmp_path / 'text.txt'}", "--json"]
    done = typed(*train, "--run", tmp_path / "run", path=places)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["val"]["loss"] > 0
    done = typed("check", "text/stdlib", "--json", path=places)
    assert (done.returncode, json.loads(done.stdout)["failed"]) == (0, 0)


def test_plugins_shows_what_a_plugin_printed(places: list[Path], typed: RunZoo) -> None:
    done = typed("plugins", "--traceback", "prints", path=places)
    assert "[not JSON" in done.stdout


@pytest.mark.parametrize("arguments", [("show", "lstm"), ("show", "charrnn/lstm")], ids=lambda a: a[1])
def test_nobody_takes_a_name_of_zoos_own(
    arguments: tuple[str, ...], places: list[Path], typed: RunZoo
) -> None:
    done = typed(*arguments, "--json", path=places)
    facts = json.loads(done.stdout)
    assert (facts["name"], facts["distribution"]) == ("charrnn/lstm", "zoo-registry")
    line = "zoo: 'lstm' refers to charrnn/lstm; to choose another, write a-namesake/lstm"
    assert done.stderr.splitlines().count(line) == (arguments[1] == "lstm")


TINY = f"""
{HOOK}
@hookimpl
def zoo_datasets():
    yield DatasetSpec(name="tiny", target="acme_model:TinyImages", task="classification", summary="s")
"""


@pytest.mark.slow
@pytest.mark.timeout(400)  # dozens of checks, some in processes of their own, beside other work
def test_a_check_loads_no_neighbor_that_would_break_it(run_zoo: RunZoo, tmp_path: Path) -> None:
    """In processes of its own, since the neighbor breaks whatever imports it."""
    places = [
        distribution(tmp_path, "acme", TINY),
        distribution(tmp_path, "neighbor", "import json, sys\njson.dumps = None\nsys.exit('was imported')"),
    ]
    (places[0] / "acme_model.py").write_text("from zoo_images.tiny import TinyImages")
    assert "was imported" in run_zoo("list", path=places).stderr
    done = run_zoo("check", "acme", path=places)
    lines = done.stderr.splitlines()  # a slow machine adds lines of progress
    assert (done.returncode, [line for line in lines if not line.startswith("checking acme")]) == (0, [])
