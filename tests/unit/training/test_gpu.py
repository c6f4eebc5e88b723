"""On a GPU of NVIDIA or Apple: training, stopping and resuming, evaluation, sampling, analysis.

`ZOO_TEST_DEVICE` names another device than the one that zoo would choose.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainings import evaluated, train
from zoo.analysis.findings import Findings
from zoo.api.load_weights import load
from zoo.config.recipe import Recipe
from zoo.console.reports import Progress
from zoo.data.opening import open_dataset
from zoo.errors import Interrupted
from zoo.files.cards import read_card
from zoo.inference.sampling import Sampling, stream
from zoo.models import weights
from zoo.models.device import pick_device
from zoo.models.module_runner import ModuleRunner
from zoo.registry.registry import Registry
from zoo.runs.result import Result
from zoo.testing.finding_weights import find_weights
from zoo.training import loop
from zoo_analyzers.dynamic import _Differentiable  # pyright: ignore[reportPrivateUsage]

GPU = os.environ.get("ZOO_TEST_DEVICE") or pick_device(None)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(GPU == "cpu" and "ZOO_TEST_DEVICE" not in os.environ, reason="there is no GPU"),
]
nvidia = pytest.mark.skipif(GPU != "cuda", reason="is about a GPU of NVIDIA")

TEXT = Recipe(
    architecture="lstm", dataset="files", model={"hidden_size": 32}, train={"epochs": 2, "batch_size": 8}
)
SEQUENCES = {
    "lstm": TEXT,
    "gru": replace(TEXT, architecture="gru"),
    "awd-lstm": replace(TEXT, architecture="awd-lstm", model={"hidden_size": 32, "activation_penalty": 2.0}),
    "min-gru": replace(TEXT, architecture="min-gru", model={"hidden_size": 32, "num_layers": 2}),
}
IMAGES = Recipe(
    architecture="resnet-lite",
    dataset="shapes",
    data={"train_size": 128, "val_size": 32, "test_size": 32},
    train={"epochs": 2, "batch_size": 32, "ema_decay": 0.9},
)


@pytest.fixture(params=[*SEQUENCES.values(), IMAGES], ids=[*SEQUENCES, "resnet-lite"])
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Recipe:
    if request.param is IMAGES:
        return IMAGES
    (tmp_path / "text.txt").write_text("a rolling stone gathers no moss. " * 300)
    return replace(request.param, data={"paths": str(tmp_path / "text.txt")})


def whole_and_resumed(recipe: Recipe, folder: Path) -> tuple[Result, Result]:
    """Return a run, and one that was stopped in its first epoch and resumed."""
    registry = Registry.discover()
    whole = train(recipe, registry, directory=folder / "whole", device=GPU)

    def stop(progress: Progress) -> None:
        if progress.is_step and progress.batch == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(recipe, registry, directory=folder / "stopped", device=GPU, report=stop)
    resumed = train(recipe, registry, directory=folder / "stopped", device=GPU, resume=True)
    return whole, resumed


def test_a_stopped_run_resumes_and_ends_with_the_same_metrics(recipe: Recipe, tmp_path: Path) -> None:
    whole, resumed = whole_and_resumed(recipe, tmp_path)
    assert resumed.metrics["val"] == pytest.approx(whole.metrics["val"], rel=0.05)


def test_weights_score_the_same_on_both_devices(recipe: Recipe, tmp_path: Path) -> None:
    registry = Registry.discover()
    file = train(recipe, registry, directory=tmp_path / "run", device=GPU).weights
    metrics = {}
    for device in ("cpu", GPU):
        model, card = weights.load(file, registry, device=device)
        data = {name: value for name, value in recipe.data.items() if name == "paths"}
        metrics[device] = evaluated(model, card, registry, split="val", device=device, data=data)["metrics"]
    assert metrics["cpu"] == pytest.approx(metrics[GPU], rel=1e-2)
    if card.task == "language-modeling":
        tokens = stream(
            ModuleRunner(model, device=GPU), card.preprocess, sampling=Sampling(max_new_tokens=20)
        )
        assert len("".join(text for text, _ in tokens)) == 20


@nvidia
def test_with_deterministic_kernels_a_resumed_run_has_the_same_bits(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, train={**recipe.train, "deterministic": True})
    whole, resumed = whole_and_resumed(recipe, tmp_path)
    assert read_card(Path(resumed.weights)).sha256 == read_card(Path(whole.weights)).sha256


@nvidia
def test_no_step_waits_for_the_gpu(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step: Callable[..., Any] = loop.train_step

    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            with warnings.catch_warnings(action="ignore"):  # that this mode is a prototype
                torch.cuda.set_sync_debug_mode("error")
            return step(*args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop, "train_step", checked)
    train(recipe, Registry.discover(), directory=tmp_path / "run", device=GPU)


@nvidia
def test_a_small_set_of_images_is_kept_on_the_gpu(registry: Registry) -> None:
    data = open_dataset(registry.dataset("shapes"), {"train_size": 64, "val_size": 0, "test_size": 8})
    near = data.split("train").on("cuda")
    assert near is data.split("train").on("cuda")
    images, labels = near.read_batch([3, 1])
    assert images.is_cuda
    assert labels.is_cuda
    assert torch.equal(images.cpu(), data.split("train").read_batch([3, 1])[0])


@nvidia
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
@pytest.mark.parametrize("fields", [{"compile": True}, {"precision": "fp16", "grad_accum_steps": 2}], ids=str)
def test_other_ways_to_compute_learn_about_the_same(
    fields: dict[str, Any], recipe: Recipe, tmp_path: Path
) -> None:
    registry = Registry.discover()
    usual = train(recipe, registry, directory=tmp_path / "usual", device=GPU)
    steady = {"bptt_jitter": False} if recipe.dataset == "files" and "compile" in fields else {}
    changed = replace(recipe, train={**recipe.train, **steady, **fields})
    other = train(changed, registry, directory=tmp_path / "other", device=GPU)
    assert other.metrics["val"]["loss"] == pytest.approx(usual.metrics["val"]["loss"], rel=0.3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_learn_what_one_learns(tmp_path: Path) -> None:
    """In fp32, by NCCL."""
    losses: list[list[float]] = []
    for processes in ("1", "2"):
        words = ["train", "mlp", "shapes", "--epochs", "2", "--precision", "fp32", "--deterministic"]
        words += ["--quiet", "--run", processes, "--processes", processes]
        subprocess.run([sys.executable, "-m", "zoo", *words], cwd=tmp_path, check=True)
        rows = (tmp_path / processes / "steps.jsonl").read_text().splitlines()
        losses.append([json.loads(row)["loss"] for row in rows])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def look(analyzer: str, registry: Registry, device: str, **options: Any) -> Findings:
    model = load(find_weights(registry, "shapes-resnet20"), registry=registry, device=device)
    return model.analyze(analyzer, split="test", data={"train_size": 8, "test_size": 16}, **options)


@pytest.mark.parametrize("analyzer", ["cam", "grad-cam", "grad-cam++", "layer-cam", "score-cam", "eigen-cam"])
def test_maps_and_scores_equal_those_on_the_cpu(registry: Registry, analyzer: str) -> None:
    classes = [] if analyzer == "eigen-cam" else ["true"]  # its map is the same for every class
    gpu, cpu = (look(analyzer, registry, name, classes=classes, score=True) for name in (GPU, "cpu"))
    assert gpu.analysis.maps is not None
    assert cpu.analysis.maps is not None
    assert gpu.analysis.maps.device.type == torch.device(GPU).type
    torch.testing.assert_close(gpu.analysis.maps.cpu(), cpu.analysis.maps, rtol=1e-3, atol=1e-3)
    assert gpu.scores == pytest.approx(cpu.scores, abs=0.05)


@pytest.mark.parametrize("analyzer", ["activations", "confusion"])
def test_diagnoses_run_on_a_gpu(registry: Registry, analyzer: str, tmp_path: Path) -> None:
    files = look(analyzer, registry, GPU).write(tmp_path)["files"]
    assert any(name.endswith(".png") for name in files)


@nvidia
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_in_eval_mode_has_a_gradient_with_cudnn(kind: Callable[..., nn.RNNBase]) -> None:
    layer = kind(7, 9, 2, dropout=0.5).eval()
    tokens = torch.randn(5, 3, 7)
    expected = torch.autograd.grad(layer(tokens)[0].sum(), [*layer.parameters()])
    layer.cuda()
    with _Differentiable():
        found = torch.autograd.grad(layer(tokens.cuda())[0].sum(), [*layer.parameters()])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-3)
