"""The distributions in examples/: pip installs them, the kit checks them, and they work together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

EXAMPLES = Path(__file__).parents[3] / "examples"
LIBRARIES = ("zoo-gradcam", "zoo-sklearn", "zoo-torchvision")
TASKS = ("zoo-audio", "zoo-regression")
NAMES = LIBRARIES + TASKS
NEEDED = ("hatchling", "pytorch_grad_cam", "sklearn", "timm")

pytestmark = pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}")

RunZoo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the examples are pip-installed into."""
    target = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    sources = [str(EXAMPLES / name) for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), *sources],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_its_contract_test_four_lines(name: str) -> None:
    files = [path for path in (EXAMPLES / name).rglob("*") if path.suffix in (".py", ".toml")]
    if name in TASKS:
        files = [path for path in files if path.parent.name == name.replace("-", "_")]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert len([line for line in lines if line] if name in TASKS else lines) < 120
    test = (EXAMPLES / name / "tests" / "test_contract.py").read_text(encoding="utf-8")
    assert len([line for line in test.splitlines() if line]) == 4


@pytest.mark.slow  # half a minute; `.ci/run` runs it
@pytest.mark.timeout(400)  # several minutes beside other work
def test_their_own_contract_tests_pass(installed: Path, tmp_path: Path) -> None:
    for name in NAMES:
        test = f"test_{name.replace('-', '_')}.py"
        shutil.copy(EXAMPLES / name / "tests" / "test_contract.py", tmp_path / test)
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
    assert 'errors="0" failures="0" skipped="0"' in report
    assert "gradcam" in report
    assert "grad-cam++-sensitive_to_class" in report


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
    assert "options chosen for fine-tuning: size=224, " in done.stderr
    content = safetensors.numpy.load_file(json.loads(done.stdout)["weights"])
    assert (content["conv1.0.weight"] == 0.25).all()
    assert not (content["fc.weight"] == 0.25).any(), "the last layer is for other classes"


def test_they_work_together(installed: Path, run_zoo: RunZoo, tmp_path: Path) -> None:
    """A network of timm learns scikit-learn's digits, and pytorch-grad-cam shows where it looks."""
    plugins = {"ZOO_PLUGINS": "gradcam,images,sklearn,timm"}  # images brings the task
    run = ["train", "timm/test_resnet", "digits", "--epochs", "4", "--run"]
    done = run_zoo("--strict", *run, tmp_path / "run", "--json", path=[installed], env=plugins)
    assert done.returncode == 0, done.stderr
    trained = json.loads(done.stdout)
    assert trained["metrics"]["val"]["accuracy"] > 0.3
    analyze = ["analyze", "gradcam/grad-cam", trained["weights"], "--layer", "layer3", "--indices", "0,1"]
    done = run_zoo(*analyze, "--out", tmp_path / "maps", "--json", path=[installed], env=plugins)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["items"]) == 2
