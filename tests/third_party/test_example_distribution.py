"""A plugin in its own distribution, installed by pip and used like those that come with zoo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "zoo-example"

RunZoo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that zoo-example is pip-installed into."""
    target = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def trained(installed: Path, run_zoo: RunZoo, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the JSON of one epoch of the example's model on the example's data."""
    run = tmp_path_factory.mktemp("runs") / "linear"
    done = run_zoo("--strict", "train", "linear", "stripes", "--run", run, "--json", path=[installed])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_listed_beside_the_others(installed: Path, run_zoo: RunZoo) -> None:
    done = run_zoo("--strict", "list", "--json", path=[installed])
    names = {row["name"] for row in json.loads(done.stdout)}
    assert {"example/linear", "example/stripes", "charrnn/lstm", "images/shapes"} <= names


def test_it_is_shown_with_its_distribution_and_its_size(installed: Path, run_zoo: RunZoo) -> None:
    facts = json.loads(run_zoo("show", "linear", "--json", path=[installed]).stdout)
    assert (facts["distribution"], facts["version"]) == ("zoo-example", "2.3.4")
    assert facts["parameters"] == 3 * 32 * 32 * 10 + 10


def test_it_learns(trained: dict[str, Any]) -> None:
    assert trained["epochs"] == 1
    assert trained["metrics"]["val"]["accuracy"] > 0.9


def test_its_weights_are_evaluated(installed: Path, run_zoo: RunZoo, trained: dict[str, Any]) -> None:
    result = json.loads(run_zoo("eval", trained["weights"], "--json", path=[installed]).stdout)
    assert (result["dataset"], result["count"]) == ("example/stripes", 64)
    assert result["metrics"]["accuracy"] > 0.9


def test_without_it_its_weights_are_refused_by_name(run_zoo: RunZoo, trained: dict[str, Any]) -> None:
    done = run_zoo("eval", trained["weights"])
    assert done.returncode == 1
    assert "example/linear" in done.stderr
    assert (
        "its card says it was written with zoo-example 2.3.4; `zoo plugins` shows what is installed"
        in done.stderr
    )


def test_without_it_its_weights_can_still_be_inspected(run_zoo: RunZoo, trained: dict[str, Any]) -> None:
    card = json.loads(run_zoo("inspect", trained["weights"], "--json").stdout)
    assert card["versions"]["plugin"] == "zoo-example 2.3.4"
