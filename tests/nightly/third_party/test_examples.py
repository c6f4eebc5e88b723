"""The distributions in examples/: pip installs them, the kit checks them, and they work together."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

import zoo
from tests.nightly.third_party.conftest import EXAMPLES
from zoo import OptionError
from zoo.interfaces import Batch, Subject

LIBRARIES = ("zoo-captum", "zoo-gradcam", "zoo-nanogpt", "zoo-sklearn", "zoo-torchvision")
TASKS = ("zoo-audio", "zoo-regression")
NAMES = (*LIBRARIES, *TASKS, "zoo-lab")
INSTALLED = (*NAMES, "zoo-forecast")
NEEDED = ("captum", "hatchling", "pytorch_grad_cam", "sklearn", "timm")

pytestmark = pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}")

RunZoo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(pip_install: Callable[..., Path]) -> Path:
    """Return a folder that the examples are pip-installed into."""
    return pip_install(*INSTALLED)


def lines_of_code(path: Path) -> int:
    """Return the number of lines that are neither blank nor comments nor part of docstrings."""
    text = path.read_text(encoding="utf-8")
    lines = {n for n, line in enumerate(text.splitlines(), 1) if line and not line.lstrip().startswith("#")}
    for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= {*range(node.lineno, (node.end_lineno or 0) + 1)}
    return len(lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_its_contract_test_four_lines(name: str) -> None:
    files = [path for path in (EXAMPLES / name).rglob("*") if path.suffix in (".py", ".toml")]
    assert sum(map(lines_of_code, files)) < 150
    test = (EXAMPLES / name / "tests" / "test_contract.py").read_text(encoding="utf-8")
    assert len([line for line in test.splitlines() if line]) == 4


@pytest.mark.slow  # two minutes; `.ci/run` runs it
@pytest.mark.timeout(1200)  # ten minutes beside other work
def test_their_own_contract_tests_pass(installed: Path, tmp_path: Path) -> None:
    for name in INSTALLED:
        for test in (EXAMPLES / name / "tests").glob("test_*.py"):
            shutil.copy(test, tmp_path / f"test_{name.replace('-', '_')}_{test.name}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", "junit.xml"]
    done = subprocess.run(
        [*command, "-W", "error"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = (tmp_path / "junit.xml").read_text(encoding="utf-8")
    assert 'errors="0" failures="0"' in report
    skipped = re.findall(r'<skipped [^>]*message="([^"]*)"', report)
    assert [reason for reason in skipped if not reason.startswith("it does not apply: ")] == []
    assert "gradcam" in report
    assert "grad-cam++-sensitive_to_class" in report
    assert "occlusion-sensitive_to_class" in report
    assert "weights_fit_their_recipe" in report


def test_weights_of_torchvision_are_read_from_its_cache(
    installed: Path, run_zoo: RunZoo, tmp_path: Path
) -> None:
    import torch
    from torchvision import models

    known: Any = models.get_model_weights("shufflenet_v2_x0_5")
    weights = known.DEFAULT
    file = tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    few = [word for each in ("train_size=8", "val_size=0") for word in ("--data", each)]
    train = ["train", "torchvision/shufflenet_v2_x0_5", "shapes", *few, "--epochs", "1", "--lr", "1e-30"]
    run = [*train, "--weight-decay", "0", "--model", "pretrained=true", "--json", "--run"]
    env = {"TORCH_HOME": str(tmp_path), "ZOO_OFFLINE": "1"}
    done = run_zoo(*run, tmp_path / "missing", path=[installed], env=env)
    assert done.returncode == 1
    assert f"IMAGENET1K_V1 is not in {file.parent}" in json.loads(done.stdout)["error"]
    file.parent.mkdir(parents=True)
    state = models.get_model("shufflenet_v2_x0_5").state_dict()
    torch.save({name: torch.full_like(value, 0.25) for name, value in state.items()}, file)
    done = run_zoo(*run, tmp_path / "run", path=[installed], env=env)
    assert done.returncode == 0, done.stderr
    assert "options chosen for this data: size=224, " in done.stderr
    content = safetensors.numpy.load_file(json.loads(done.stdout)["weights"])
    assert (content["conv1.0.weight"] == 0.25).all()
    assert not (content["fc.weight"] == 0.25).any(), "the last layer is for other classes"


def test_the_laboratory_keeps_a_notebook_and_exports(
    installed: Path, run_zoo: RunZoo, tmp_path: Path
) -> None:
    sizes = [word for name in ("train", "val", "test") for word in ("--data", f"{name}_size=40")]
    run = ["train", "mlp", "shapes", *sizes, "--epochs", "2", "--track", "lab", "--run", "first"]
    done = run_zoo(*run, path=[installed], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_zoo("best-runs", "val/accuracy", "--highest", "--json", path=[installed], cwd=tmp_path)
    (row,) = json.loads(done.stdout)
    history = zoo.Run(tmp_path / "first").history
    assert row["run"].startswith("first ")
    assert row["best"] == max(each["val"]["accuracy"] for each in history)
    export = ["export", "./first", "--to", "zipped", "--out", "net.zipped", "--synthetic", "--json"]
    done = run_zoo(*export, path=[installed], cwd=tmp_path)
    assert json.loads(done.stdout)["disagreements"] == 0
    assert (tmp_path / "net.zipped").stat().st_size == json.loads(done.stdout)["bytes"]


def test_they_work_together(installed: Path, run_zoo: RunZoo, tmp_path: Path) -> None:
    """A network of timm learns scikit-learn's digits; pytorch-grad-cam and captum show where it looks."""
    plugins = {"ZOO_PLUGINS": "captum,gradcam,images,optim,sklearn,timm"}  # images brings the task
    run = ["train", "timm/test_resnet", "digits", "--epochs", "4", "--run"]
    done = run_zoo("--strict", *run, tmp_path / "run", "--json", path=[installed], env=plugins)
    assert done.returncode == 0, done.stderr
    trained = json.loads(done.stdout)
    assert trained["metrics"]["val"]["accuracy"] > 0.3
    for name, options in (("gradcam/grad-cam", ["--layer", "layer3"]), ("captum/occlusion", [])):
        analyze = ["analyze", name, trained["weights"], "--indices", "0,1", *options]
        done = run_zoo(*analyze, "--out", tmp_path / name, "--json", path=[installed], env=plugins)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["items"]) == 2


def test_captums_maps_add_up_and_measure_what_a_square_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.syspath_prepend(EXAMPLES / "zoo-captum")
    methods = import_module("zoo_captum.methods")
    module = zoo.load("shapes-resnet20").module
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batches = [Batch(images, torch.tensor([1, 2]), 0, 1, 0)]
    subject = Subject(task="classification", landmarks={}, preprocess={}, classes=("true", 5))
    with torch.inference_mode():
        logits, plain = module(images), module(torch.zeros_like(images))
        hidden = images.clone()
        hidden[0, :, 16:32, 32:48] = 0
        drop = (logits - module(hidden))[0, 5].item()

    maps = methods.IntegratedGradients(steps=200).analyze(module, batches, subject=subject).maps
    wanted = [[(logits - plain)[n, k].item() for k in (label, 5)] for n, label in enumerate((1, 2))]
    assert maps.sum((2, 3)).tolist() == [pytest.approx(row, rel=0.02, abs=0.02) for row in wanted]

    maps = methods.Occlusion(window=16, stride=16).analyze(module, batches, subject=subject).maps
    assert maps.shape == (2, 2, 64, 64)
    assert maps[0, 1, 16:32, 32:48].flatten().tolist() == pytest.approx([drop] * 256, abs=1e-4)
    with pytest.raises(OptionError, match="stride must be at most window=4"):
        methods.Occlusion(window=4, stride=8)
    with pytest.raises(OptionError, match="window must be at most 64 for these images"):
        methods.Occlusion(window=65).analyze(module, batches, subject=subject)


def test_the_weights_of_the_gpt_write_text_beyond_its_context(
    installed: Path, run_zoo: RunZoo, tmp_path: Path
) -> None:
    sample = ["sample", "tinyshakespeare-gpt", "--prompt", "ROMEO:", "--max-new-tokens", "300", "--seed", "1"]
    done = run_zoo("--strict", *sample, path=[installed], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 300


@pytest.mark.slow
def test_published_weights_and_a_command_are_found_under_their_names(
    installed: Path, run_zoo: RunZoo
) -> None:
    done = run_zoo("--strict", "list", "*tinyshakespeare-gpt", "--json", path=[installed])
    rows = [(row["kind"], row["name"], row["plugin"]) for row in json.loads(done.stdout)]
    assert rows == [(kind, "nanogpt/tinyshakespeare-gpt", "nanogpt") for kind in ("recipe", "weights")]
    facts = json.loads(run_zoo("show", "nanogpt/gpt", "--json", path=[installed]).stdout)
    assert (facts["distribution"], facts["version"]) == ("zoo-nanogpt", "0.1.0")
    _, found, brought = run_zoo("-h", path=[installed]).stdout.partition("Plugin commands:\n")
    assert found
    assert "  best-runs  Show the best runs" in brought
    offered = {"zoo sample tinyshakespeare-g": "plain,tinyshakespeare-gpt", "zoo best": "plain,best-runs"}
    for line, word in offered.items():
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_ZOO_COMPLETE": "bash_complete"}
        assert word in run_zoo(path=[installed], env=asked).stdout, line


@pytest.mark.slow
def test_without_its_plugin_weights_are_refused_by_name_and_can_be_inspected(
    installed: Path, run_zoo: RunZoo
) -> None:
    (file,) = installed.rglob("tinyshakespeare-gpt.safetensors")
    done = run_zoo("eval", file)
    assert done.returncode == 1
    assert "nanogpt/gpt" in done.stderr
    assert "zoo-nanogpt 0.1.0; `zoo plugins` lists the installed plugins" in done.stderr
    card = json.loads(run_zoo("inspect", file, "--json").stdout)
    assert card["versions"]["plugin"] == "zoo-nanogpt 0.1.0"
