"""Twelve broken plugins beside three good ones: each is told of in one line, in whatever order they come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up import HOOK, SPEC, distribution, model

RunZoo = Callable[..., subprocess.CompletedProcess[str]]

GOOD = ("alpha", "kappa", "omega")
BROKEN = {
    "import-error": ("from zoo import nothing_of_the_kind", "ImportError: cannot import name"),
    "syntax-error": ("def (", "SyntaxError: invalid syntax"),
    "exits": ("import sys\nsys.exit('goodbye')", "SystemExit: goodbye"),
    "base-exception": ("class Odd(BaseException): pass\nraise Odd('very odd')", "Odd: very odd"),
    "dependency": ("import not_installed", "ModuleNotFoundError: No module named 'not_installed'"),
    "no-attribute": ("x = 1", "AttributeError: module 'no_attribute' has no attribute 'plugin'"),
    "hook-raises": (f"{HOOK}@hookimpl\ndef zoo_datasets(): return 1 / 0", "ZeroDivisionError"),
    "wrong-type": (f"{HOOK}@hookimpl\ndef zoo_datasets(): return [{SPEC}]", "not a DatasetSpec"),
    "half-way": (
        f"{HOOK}@hookimpl\ndef zoo_architectures():\n    yield {SPEC}\n    raise OSError('half-way')",
        "OSError: half-way",
    ),
    "misspelt": (f"{HOOK}@hookimpl\ndef zoo_datsets(): return []", "unknown hook 'zoo_datsets'"),
    "signature": (f"{HOOK}@hookimpl\ndef zoo_datasets(colour): return []", "Argument(s) {'colour'}"),
    "twice": (f"{HOOK}@hookimpl\ndef zoo_architectures(): return [{SPEC}, {SPEC}]", "is given twice"),
}
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
    found = [distribution(folder, name, model(f"net-{name}")) for name in GOOD]
    for name, (source, _) in BROKEN.items():
        value = name.replace("-", "_") + (":plugin" if name == "no-attribute" else "")
        found.append(distribution(folder, name, source, points={name: value}))
    return found


def test_all_that_is_good_is_listed_and_each_that_is_not_is_one_line(
    places: list[Path], run_zoo: RunZoo
) -> None:
    done = run_zoo("list", "--json", path=places)
    assert done.returncode == 0
    theirs = {row["name"] for row in json.loads(done.stdout) if row["plugin"] in {*GOOD, *BROKEN}}
    assert theirs == {f"{name}/net-{name}" for name in GOOD}
    lines = done.stderr.splitlines()
    assert len(lines) == len(BROKEN) == 12
    for name, (_, cause) in BROKEN.items():
        (line,) = [line for line in lines if line.startswith(f"zoo: plugin {name} ({name}) failed: ")]
        assert cause in line


def test_strict_ends_with_1(places: list[Path], run_zoo: RunZoo) -> None:
    done = run_zoo("--strict", "list", path=places)
    assert (done.returncode, done.stdout) == (1, "")
    assert "12 plugin(s) failed" in done.stderr


def test_a_hundred_orders_of_the_path_give_one_answer(
    places: list[Path], run_zoo: RunZoo, tmp_path: Path
) -> None:
    modules = [path.name.replace("-", "_") for path in places]
    arguments = [json.dumps([str(path) for path in places]), json.dumps(modules)]
    done = subprocess.run(
        [sys.executable, "-c", SHUFFLE, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (answer,) = json.loads(done.stdout)
    asked = run_zoo("list", "--json", path=places)
    assert answer == [asked.returncode, asked.stdout, asked.stderr]
