"""The same on a GPU: training, stopping and going on, evaluation, sampling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoo.analysis import analyze
from zoo.errors import Interrupted
from zoo.evaluation.evaluate import evaluate_weights
from zoo.inference.sampling import sample
from zoo.models import weights
from zoo.registry.catalog import Catalog
from zoo.registry.recipe import Recipe
from zoo.registry.registry import Registry
from zoo.training.clock import Progress
from zoo.training.run import train

pytestmark = pytest.mark.gpu

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


def test_a_stopped_run_goes_on_and_ends_on_the_same_metrics(recipe: Recipe, tmp_path: Path) -> None:
    import signal

    registry = Registry.discover()
    whole = train(recipe, registry, directory=tmp_path / "whole", device="cuda")

    def stop(progress: Progress) -> None:
        if progress.row is None and progress.batch == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(recipe, registry, directory=tmp_path / "stopped", device="cuda", report=stop)
    resumed = train(recipe, registry, directory=tmp_path / "stopped", device="cuda", resume=True)
    assert resumed.metrics["val"] == pytest.approx(whole.metrics["val"], rel=0.05)


def test_weights_measure_the_same_on_both_devices(recipe: Recipe, tmp_path: Path) -> None:
    registry = Registry.discover()
    result = train(recipe, registry, directory=tmp_path / "run", device="cuda")
    file = Path(result.weights)
    here, there = (evaluate_weights(file, registry, split="val", device=name) for name in ("cpu", "cuda"))
    assert here["metrics"] == pytest.approx(there["metrics"], rel=1e-2)
    model, card = weights.load(file, registry, device="cuda")
    if card.task == "language-modelling":
        assert len("".join(sample(model, card.preprocess, length=20, device="cuda"))) == 20


@pytest.mark.parametrize("analyzer", ["cam", "grad-cam", "grad-cam++", "layer-cam", "score-cam", "eigen-cam"])
def test_maps_and_their_scores_are_those_of_a_cpu(registry: Registry, analyzer: str) -> None:
    data = {"train_size": 8, "test_size": 16}
    given = {"split": "test", "data": data, "classes": ["true"], "score": True}
    path = weights.find("shapes-resnet20", Catalog.load())
    there, here = (analyze(analyzer, path, registry, device=name, **given) for name in ("cuda", "cpu"))
    assert there.analysis.maps is not None
    assert here.analysis.maps is not None
    assert there.analysis.maps.device.type == "cuda"
    torch.testing.assert_close(there.analysis.maps.cpu(), here.analysis.maps, rtol=1e-3, atol=1e-3)
    assert there.scores == pytest.approx(here.scores, abs=0.05)


@pytest.mark.parametrize("analyzer", ["activations", "confusion"])
def test_diagnoses_on_a_gpu(registry: Registry, analyzer: str, tmp_path: Path) -> None:
    data = {"train_size": 8, "test_size": 16}
    path = weights.find("shapes-resnet20", Catalog.load())
    found = analyze(analyzer, path, registry, split="test", data=data, device="cuda")
    assert found.write(tmp_path)["figures"]
