"""The distributions in examples/: pip installs them, the kit checks them, and they work together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import OptionError, Registry, ZooWarning
from zoo.registry.plugins import load

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ("zoo-gradcam", "zoo-sklearn", "zoo-timm")
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
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 120
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


def test_weights_of_timm_keep_the_mean_and_the_deviation_they_were_trained_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import timm
    import torch

    monkeypatch.syspath_prepend(EXAMPLES / "zoo-timm")
    plugin = import_module("zoo_timm.plugin")
    for name, weights in plugin.PRETRAINED.items():
        for tag, said in weights.items():
            cfg = timm.get_pretrained_cfg(f"{name}.{tag}")
            assert cfg is not None
            assert (said.mean, said.std) == (cfg.mean, cfg.std)

    made = timm.create_model

    def published(name: str, *, pretrained: bool, **options: Any) -> torch.nn.Module:
        """Stand in for a download: weights of 0.25."""
        model: Any = made(name.partition(".")[0], **options)
        if pretrained:
            model.load_state_dict({key: value.fill_(0.25) for key, value in model.state_dict().items()})
            model.pretrained_cfg["classifier"] = "fc"
        return model

    monkeypatch.setattr(timm, "create_model", published)
    registry = Registry([load("timm", lambda: plugin, where="zoo_timm.plugin"), *Registry.discover().plugins])
    options: Any = {"registry": registry, "progress": False, "data": {"train_size": 64, "val_size": 0}}
    still: Any = {"epochs": 1, "lr": 1e-30, "weight_decay": 0.0, "ema_decay": 0.0}
    with pytest.warns(ZooWarning):
        run = zoo.train(
            "test_resnet",
            "shapes",
            model={"pretrained": "r160_in1k"},
            run=tmp_path / "run",
            **options,
            **still,
        )
    card, weights = run.model.card, dict(run.model.module.named_parameters())
    assert (weights["conv1.0.weight"] == 0.25).all()
    assert not (weights["fc.weight"] == 0.25).any(), "the last layer is for other classes"
    assert card.base_model["architecture"] == "timm/test_resnet"
    assert card.preprocess["mean"] == [0.5, 0.5, 0.5]
    with pytest.raises(OptionError, match="test_resnet has no pretrained weights 'r161_in1k'; did you mean"):
        zoo.train("test_resnet", "shapes", model={"pretrained": "r161_in1k"}, run=tmp_path / "x", **options)


def test_timms_models_are_listed_by_name_without_importing_timm_or_torch(installed: Path) -> None:
    listing = """
import json, sys
sys.modules["torch"] = None
from zoo import Registry
entries = Registry.discover().entries("architecture")
print(json.dumps([entry.spec.name for entry in entries if entry.plugin.name == "timm"]))
assert "timm" not in sys.modules
"""
    asking = "import json, timm; print(json.dumps(timm.list_models()))"
    ours, theirs = (
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code],
                env=os.environ | {"PYTHONPATH": str(installed)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for code in (listing, asking)
    )
    assert sorted(ours) == sorted(theirs)
    assert len(ours) > 1_000


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
