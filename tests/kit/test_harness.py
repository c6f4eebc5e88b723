"""`zoo check` on plugins that end, stop or silence the process that they are in."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.cli import run
from zoo.errors import UnknownName
from zoo.testing import _isolation, check

PLUGIN = Path(__file__).with_name("harness.py")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    return str(shutil.copy(PLUGIN, tmp_path_factory.mktemp("plugin") / "silences.py"))


@pytest.mark.slow
def test_whatever_a_plugin_does_each_check_is_reported(plugin, capsys, monkeypatch):
    monkeypatch.setattr(_isolation, "SECONDS", 20.0)
    monkeypatch.setattr(_isolation, "MOST_BYTES", 3 << 29)
    assert run(["check", plugin, "--json"]) == 1
    captured = capsys.readouterr()
    checks = json.loads(captured.out)["checks"]
    failed = {check["name"]: check["reason"] for check in checks if check["outcome"] == "failed"}
    got = {name: reason.partition("; got ")[2].partition(". ")[0] for name, reason in failed.items()}
    assert got.pop("silences-import_changes_nothing") == "a change in running threads"
    assert got == {
        "crashes-same_shape_in_training": "an exit with code 7 (about to crash)",
        "ends-works_offline": "an exit with code 0 ({no JSON})",
        "hangs-works_offline": "no response for 20 s ({no JSON})",
        "swallows-works_offline": "more than 2 GiB of memory ({no JSON})",
        "wrong-labels_in_range": "10",
    }
    assert "an infinite loop" in failed["hangs-works_offline"]
    assert "Usually: a model or data too large for the kit" in failed["swallows-works_offline"]
    crashed = {check["name"]: check["outcome"] for check in checks if check["entry"] == "silences/crashed"}
    assert crashed["crashed-same_shape_in_training"] == "xfailed"
    fine = [check["outcome"] for check in checks if check["entry"] == "silences/tinyimages"]
    assert {*fine} == {"passed", "inapplicable"}
    assert fine.count("passed") == 16
    assert "during the checks, a line was printed: {no JSON}" in captured.err


def test_a_plugin_that_ends_the_process_while_it_is_imported_fails(tmp_path):
    path = tmp_path / "leaves.py"
    path.write_text("import os; os._exit(0)")
    (outcome,) = check(str(path), progress=False)
    assert (outcome.name, outcome.outcome) == ("leaves-loads", "failed")
    assert "got an exit with code 0." in outcome.reason


def test_what_cannot_be_checked_is_refused_as_without_a_process(tmp_path):
    with pytest.raises(UnknownName, match=r"no such file: nowhere[.]py"):
        check("nowhere.py", progress=False)


def test_ctrl_c_ends_the_process_that_checks(plugin):
    command = [sys.executable, "-m", "zoo", "check", plugin]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"checking {plugin}\n"
        child = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (children := child.read_text().split()):
            pass
        process.send_signal(2)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest == "zoo: interrupted\n"
    for _ in range(100):
        if not any(Path("/proc", number).exists() for number in children):
            return
        time.sleep(0.1)
    raise AssertionError("a process is left")


KEEPS = '''"""Models that refer to themselves, so that Python frees them only when it looks for such."""
import torch
from torch import nn
from zoo import ArchitectureSpec, hookimpl


class Keeps(nn.Module):
    def __init__(self, *, in_channels: int, image_size: int, num_classes: int):
        super().__init__()
        self.head = nn.Linear(in_channels * image_size * image_size, num_classes)
        self.register_buffer("table", torch.ones(1 << 25))  # 128 MiB
        self.itself = [self]

    def forward(self, images):
        return self.head(images.flatten(1))


@hookimpl
def zoo_architectures():
    yield ArchitectureSpec(name="keeps", target="keeps:Keeps", task="classification", summary="One")
'''


@pytest.mark.slow  # a minute beside other work
def test_a_check_is_not_blamed_for_the_models_of_those_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(_isolation, "MOST_BYTES", 3 << 29)
    path = tmp_path / "keeps.py"
    path.write_text(KEEPS)
    outcomes = check(str(path), progress=False)
    assert [one.reason for one in outcomes if one.outcome == "failed"] == []
    assert len(outcomes) > 25
