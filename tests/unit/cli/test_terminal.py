"""What is printed fits 60 and 80 columns: tables, help and cards. Nothing is cut when piped."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Literal

import pytest

from tests.shell import zoo
from zoo.cli import COMMANDS
from zoo.testing import Outcome

WIDTHS = [60, 80]
HASH = re.compile(r"[0-9a-f]{64}")

# One command line each; LSTM and NET stand for a weights file
LINES = {
    "list": ["list"],
    "list of one kind": ["list", "weights"],
    "show architecture": ["show", "resnet20"],
    "show dataset": ["show", "shapes", "--data", "train_size=64"],
    "show analyzer": ["show", "cam"],
    "show recipe": ["show", "nietzsche-awd-lstm"],
    "show recipe and weights": ["show", "cifar10-resnet20"],
    "inspect": ["inspect", "cifar10-resnet20"],
    "inspect text": ["inspect", "LSTM"],
    "plugins": ["plugins"],
    "analyze maps": ["analyze", "grad-cam", "NET", "--indices", "0,1", "--class", "ring", "--score"],
    "analyze layers": ["analyze", "activations", "NET"],
    "analyze classes": ["analyze", "confusion", "NET"],
    "eval": ["eval", "NET"],
    "analyze dynamically": ["analyze", "dynamic-evaluation", "LSTM"],
    "completion": ["completion", "fish"],
}


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def too_wide(text: str, columns: int) -> list[str]:
    """Return the lines that do not fit, unless what they end in must stay whole: a path or a hash."""
    wide = [line for line in plain(text).splitlines() if len(line) > columns]
    return [line for line in wide if not (HASH.fullmatch(line.split()[-1]) or "/" in line.split()[-1])]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture
def line(request: pytest.FixtureRequest, lstm_file: Path, net_file: Path) -> list[str]:
    files = {"LSTM": str(lstm_file), "NET": str(net_file)}
    return [files.get(word, word) for word in LINES[request.param]]


@pytest.mark.parametrize("columns", [60, pytest.param(80, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("line", [name for name in LINES if name != "completion"], indirect=True)
def test_what_is_printed_fits_the_terminal(line, columns, desk):
    done = zoo(*line, columns=columns, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert too_wide(done.stdout, columns) == []


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(command):
    of_group = {"runs": ["list"], "data": ["check"], "remote": ["list"]}.get(command, [])
    done = zoo(*filter(None, [command]), *of_group, "--help", columns=60)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if len(line) > 60] == []
    assert command == "" or "--plugin FILE" in done.stdout


@pytest.mark.parametrize("columns", WIDTHS)
def test_outcomes_of_checks_fit_the_terminal(columns, monkeypatch):
    reasons: dict[Literal["failed", "skipped", "passed"], str] = {
        "failed": f"it returned {'a list of tensors, ' * 8}",
        "skipped": "data is missing",
        "passed": "",
    }
    outcomes = [
        Outcome(
            name=f"{name}-{outcome}", outcome=outcome, reason=reason, plugin="x", entry=name, kind="dataset"
        )
        for name in ("x/small", "x/a-dataset-with-a-rather-long-name")
        for outcome, reason in reasons.items()
    ]
    monkeypatch.setattr("zoo.testing.check", lambda *_, **__: outcomes)
    out = plain(zoo("check", "x", columns=columns).stdout)
    assert too_wide(out, columns) == []
    assert re.search(r"^x/small +2 +1 +1$", out, re.M)
    assert re.sub(r"\s+", " ", out).count(reasons["failed"].strip()) == 2, "a reason is cut"


def test_list_is_grouped_and_cuts_summaries_but_no_names():
    rows = json.loads(zoo("list", "--json").stdout)
    out = plain(zoo("list", columns=60).stdout)
    assert [
        line for line in out.splitlines() if line == "Architectures for classification, multi-label"
    ] != []
    names = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    own = [row for row in rows if row["plugin"] != "timm"]
    described = {"architecture", "dataset", "analyzer", "weights", "task"}
    assert {row["name"] for row in own if row["kind"] in described} <= {*names}
    others = {row["name"].rpartition("/")[2] for row in own if row["kind"] not in described}
    assert others <= {*re.split(r"[\s,]+", out)}
    cut = [line for line in out.splitlines() if line.endswith("…")]
    assert cut
    words = {word.strip(",;:") for row in rows for word in row["summary"].split()}
    words |= {f"{row['params']:,}" for row in rows if row.get("params")}
    assert [
        line for line in cut if line.split()[-1].removesuffix("…") not in words and "timm/*" not in line
    ] == []


MANY = """
from zoo import ArchitectureSpec, hookimpl

@hookimpl
def zoo_architectures():
    same = {"target": "torch.nn:Linear", "task": "classification", "summary": "A net"}
    return [ArchitectureSpec(name=f"net{number}", **same) for number in range(21)]
"""


def test_list_shortens_more_than_twenty_models_of_a_plugin_only_among_everything(tmp_path):
    (tmp_path / "many.py").write_text(MANY)
    out = plain(zoo("list", "--plugin", "many.py", cwd=tmp_path, columns=80).stdout)
    assert re.search(r"^  many/\* +21 entries: `zoo list architectures 'many/\*'`$", out, re.M)
    for words, columns in ((["models"], 80), (["many/*"], 80), ([], None)):
        out = plain(zoo("list", *words, "--plugin", "many.py", cwd=tmp_path, columns=columns).stdout)
        assert len(re.findall(r"^  many/net\d+ +A net$", out, re.M)) == 21


def test_weights_are_listed_by_data_and_the_best_first():
    rows = {row["name"]: row for row in json.loads(zoo("list", "weights", "--json").stdout)}
    shown = [rows[name] for name in re.findall(r"^  (\w+-\S+) ", zoo("list", "weights").stdout, re.M)]
    assert len(shown) == len(rows)
    accuracies = [row["accuracy"] for row in shown if row["dataset"] == "images/cifar10"]
    assert accuracies == sorted(accuracies, reverse=True)
    losses = [row["loss"] for row in shown if row["dataset"] == "text/nietzsche"]
    assert losses == sorted(losses)
    data = [name for name, _ in itertools.groupby(row["dataset"] for row in shown)]
    assert len(data) == len({*data})


def test_list_cuts_nothing_when_piped():
    rows = json.loads(zoo("list", "--json").stdout)
    out = zoo("list", env={"COLUMNS": "60"}).stdout
    for row in rows:
        about = rf"{re.escape(row['summary'])}(, [\d,]+ parameters)?"
        if row["kind"] == "weights":
            about = rf".* {row['params']:,} +[\d.]+ MB\*?"
        assert re.search(rf"^  {re.escape(row['name'])} +{about}$", out, re.M), row
    assert "\x1b" not in out


def test_list_shows_the_primary_metric_metric_and_the_size_of_weights():
    line = r"^  cifar10-resnet20 +cifar10 +91\.52% +2 +269,722 +0\.6 MB$"
    assert re.search(line, plain(zoo("list", "weights", columns=80).stdout), re.M)
    line = r"^  cifar10-resnet20 +accuracy 91\.52%, 269,7"  # and is cut at the width
    assert re.search(line, plain(zoo("list", "weights", columns=60).stdout), re.M)


PUBLISHED = """
schema = 1

[recipes.fox]
architecture = "lstm"
dataset = "stdlib"

[weights.reader]
recipe = "fox"
file = "reader.safetensors"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
bytes = 1
params = 3_271_016
metrics = { val = { loss = 1.2661, bits_per_char = 1.8266, perplexity = 3.547 } }
"""


def test_weights_of_a_language_model_are_listed_with_their_loss(tmp_path):
    (tmp_path / "registry.toml").write_text(PUBLISHED)
    out = zoo("list", "weights", cwd=tmp_path).stdout
    assert re.search(r"^  reader +stdlib +1\.2661 nats +1 +3,271,016 +0\.0 MB\*$", out, re.M)
    assert "* not on this machine; `zoo inspect NAME` explains how to get it" in out
    out = plain(zoo("list", "weights", cwd=tmp_path, columns=60).stdout)
    assert "loss 1.2661 nats" in out
    out = zoo("show", "reader", cwd=tmp_path).stdout
    assert out.startswith("Weights reader for language-modeling\n")
    assert re.search("^  val +loss 1.2661 nats, 1.8266 bits per character, perplexity 3.547$", out, re.M)
    assert "0" * 64 in out


def test_colors_are_for_terminals_that_want_them():
    assert "\x1b[1m" in zoo("list", columns=80).stdout
    assert "\x1b" not in zoo("list", columns=80, env={"NO_COLOR": "1"}).stdout
    assert "\x1b" not in zoo("list", columns=80, env={"TERM": "dumb"}).stdout
    assert "\x1b" not in zoo("show", "cifar10-resnet20").stdout


def test_what_is_to_be_pasted_stays_whole(lstm_file):
    out = plain(zoo("inspect", lstm_file, columns=60).stdout)
    card = json.loads(zoo("inspect", lstm_file, "--json").stdout)
    for whole in (card["sha256"], card["dataset"]["fingerprint"], str(lstm_file)):
        assert re.search(rf"^  \w+ +{re.escape(whole)}$", out, re.M), whole
