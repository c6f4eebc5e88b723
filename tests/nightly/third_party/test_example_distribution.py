"""A plugin in its own distribution, installed by pip and used like those that come with zoo.

Most of these start a process with torch; `.ci/run` runs the slow ones.
"""

from __future__ import annotations

import json
import re
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


@pytest.mark.slow
def test_it_is_listed_beside_the_others(installed: Path, run_zoo: RunZoo) -> None:
    done = run_zoo("--strict", "list", "--json", path=[installed])
    names = {row["name"] for row in json.loads(done.stdout)}
    assert {"example/linear", "example/stripes", "charrnn/lstm", "images/shapes"} <= names
    rows = [row for row in json.loads(done.stdout) if row["name"] == "example/stripes-linear"]
    assert [(row["kind"], row["plugin"], row["task"]) for row in rows] == [
        ("recipe", "example", "classification"),
        ("weights", "example", "classification"),
    ]
    assert rows[1]["summary"] == "accuracy 100.00%, 130 parameters"


def test_what_it_publishes_is_among_what_it_provides(installed: Path, run_zoo: RunZoo) -> None:
    rows = {row["name"]: row for row in json.loads(run_zoo("plugins", "--json", path=[installed]).stdout)}
    assert rows["example"]["provides"] == [
        "architecture example/linear",
        "dataset example/stripes",
        "command example/histogram",
        "recipe example/stripes-linear",
        "weights example/stripes-linear",
    ]
    shown = run_zoo("plugins", path=[installed]).stdout
    assert "1 architecture, 1 dataset, 1 command, 1 recipe, 1 weights" in shown


@pytest.mark.parametrize("name", ["stripes-linear", "example/stripes-linear"])
def test_its_recipe_is_shown_with_its_weights(name: str, installed: Path, run_zoo: RunZoo) -> None:
    facts = json.loads(run_zoo("--strict", "show", name, "--json", path=[installed]).stdout)
    assert (facts["kind"], facts["name"]) == ("recipe", "example/stripes-linear")
    assert (facts["architecture"], facts["dataset"]) == ("example/linear", "example/stripes")
    assert facts["training"]["lr"] == 0.005
    assert facts["weights"]["example/stripes-linear"]["params"] == 130


def test_its_weights_are_what_its_recipe_trains(installed: Path, run_zoo: RunZoo, tmp_path: Path) -> None:
    train = ("train", "stripes-linear", "--threads", "1", "--run", tmp_path / "run", "--json")
    done = run_zoo("--strict", *train, path=[installed])
    assert done.returncode == 0, done.stderr
    cards = [
        json.loads(run_zoo("--strict", "inspect", weights, "--json", path=[installed]).stdout)
        for weights in ("stripes-linear", tmp_path / "run")
    ]
    published, trained = cards
    for key in ("architecture", "arguments", "dataset", "seed"):
        assert published[key] == trained[key]
    later = {"compile", "deterministic", "sync_batch_norm"}  # training options that zoo has got since
    assert published["training"] == {k: v for k, v in trained["training"].items() if k not in later}


@pytest.mark.parametrize("name", ["stripes-linear", "example/stripes-linear"])
def test_its_published_weights_are_evaluated(name: str, installed: Path, run_zoo: RunZoo) -> None:
    done = run_zoo("--strict", "eval", name, "--json", path=[installed])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["loss"] == pytest.approx(0.26345, rel=1e-3)


def test_its_names_are_completed(installed: Path, run_zoo: RunZoo) -> None:
    for line in ("zoo train stri", "zoo eval stri", "zoo inspect stri"):
        words = {"COMP_WORDS": line, "COMP_CWORD": "2", "_ZOO_COMPLETE": "bash_complete"}
        assert "plain,stripes-linear" in run_zoo(path=[installed], env=words).stdout, line


@pytest.mark.slow
def test_it_passes_the_kit(installed: Path, run_zoo: RunZoo) -> None:
    done = run_zoo("check", "example", "--thorough", "--json", path=[installed])
    result = json.loads(done.stdout)
    failed = [check for check in result["checks"] if check["outcome"] in ("failed", "skipped")]
    assert (done.returncode, failed) == (0, []), done.stderr
    assert "example-weights_score_as_claimed" in {check["name"] for check in result["checks"]}


def test_it_is_shown_with_its_distribution_and_its_size(installed: Path, run_zoo: RunZoo) -> None:
    facts = json.loads(run_zoo("show", "linear", "--json", path=[installed]).stdout)
    assert (facts["distribution"], facts["version"]) == ("zoo-example", "2.3.4")
    assert facts["parameters"] == 3 * 32 * 32 * 10 + 10


@pytest.mark.slow
def test_it_learns(trained: dict[str, Any]) -> None:
    assert trained["epochs"] == 1
    assert trained["metrics"]["val"]["accuracy"] > 0.9


def test_its_weights_are_evaluated(installed: Path, run_zoo: RunZoo, trained: dict[str, Any]) -> None:
    result = json.loads(run_zoo("eval", trained["weights"], "--json", path=[installed]).stdout)
    assert (result["dataset"], result["count"]) == ("example/stripes", 64)
    assert result["metrics"]["accuracy"] > 0.9


@pytest.mark.slow
def test_its_command_is_one_of_zoos(installed: Path, run_zoo: RunZoo) -> None:
    _, found, brought = run_zoo("-h", path=[installed]).stdout.partition("Plugin commands:\n")
    assert found
    assert re.search(r"^  histogram +Show how the values", brought, re.M)
    shown = run_zoo("histogram", "-h", path=[installed]).stdout
    assert shown.startswith("Usage: zoo histogram [OPTIONS] WEIGHTS\n")
    assert "-q, --quiet" in shown
    assert re.search("example/histogram +Show how", run_zoo("list", "commands", path=[installed]).stdout)
    facts = run_zoo("show", "histogram", path=[installed]).stdout
    assert facts.startswith("Command example/histogram\n")
    assert "usage   zoo histogram --help" in facts


def test_its_command_reads_published_weights(installed: Path, run_zoo: RunZoo) -> None:
    done = run_zoo("--strict", "histogram", "stripes-linear", "--bins", "4", "--json", path=[installed])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert sum(document["counts"]) == 130
    assert document["low"] < 0 < document["high"]
    assert done.stderr == "reading stripes-linear\n"
    done = run_zoo("histogram", "stripes-linear", "--quiet", path=[installed])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Weights stripes-linear 130 values in 2 tensors\n")


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "message"),
    [
        (["stripes-linea"], 1, "weights", "unknown weights 'stripes-linea'; did you mean"),
        (["stripes-linear", "--layer", "x"], 2, "option", "no tensor starts with 'x'"),
        (["stripes-linear", "--bin", "3"], 2, "usage", "no such option: --bin; did you mean `--bins 3`?"),
        ([], 2, "usage", "missing WEIGHTS"),
    ],
)
def test_errors_of_its_command_are_zoos(
    arguments: list[str], code: int, kind: str, message: str, installed: Path, run_zoo: RunZoo
) -> None:
    done = run_zoo("--quiet", "histogram", *arguments, path=[installed])
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"zoo: {message}")
    done = run_zoo("--quiet", "histogram", *arguments, "--json", path=[installed])
    assert (done.returncode, done.stderr) == (code, "")
    document = json.loads(done.stdout)
    assert document.keys() == {"error", "kind", "hint"}
    assert document["kind"] == kind


def test_its_command_is_completed(installed: Path, run_zoo: RunZoo) -> None:
    offered = {"zoo hist": "plain,histogram", "zoo histogram stri": "plain,stripes-linear"}
    offered |= {"zoo histogram --b": "plain,--bins"}
    for line, word in offered.items():
        words = {
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
            "_ZOO_COMPLETE": "bash_complete",
        }
        assert word in run_zoo(path=[installed], env=words).stdout, line


def test_without_it_its_command_is_unknown(run_zoo: RunZoo, installed: Path) -> None:
    for env in ({"ZOO_PLUGINS": "text"}, {"ZOO_PLUGINS": ""}):
        done = run_zoo("histogram", "stripes-linear", path=[installed], env=env)
        assert (done.returncode, done.stdout) == (2, "")
        assert "unknown command 'histogram'" in done.stderr
        assert "$ZOO_PLUGINS loads" in done.stderr


@pytest.mark.slow
def test_without_it_its_weights_are_refused_by_name(run_zoo: RunZoo, trained: dict[str, Any]) -> None:
    done = run_zoo("eval", trained["weights"])
    assert done.returncode == 1
    assert "example/linear" in done.stderr
    assert (
        "the file was written with zoo-example 2.3.4; `zoo plugins` lists the installed plugins"
        in done.stderr
    )


def test_without_it_its_weights_can_still_be_inspected(run_zoo: RunZoo, trained: dict[str, Any]) -> None:
    card = json.loads(run_zoo("inspect", trained["weights"], "--json").stdout)
    assert card["versions"]["plugin"] == "zoo-example 2.3.4"
