"""Temperature scaling: what is fitted, what the new file holds, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from torch import nn

from tests.shell import zoo as run
from zoo import DataError, OptionError, ZooError, calibrate, load, reproduce, train
from zoo.errors import OutputError, WeightsError
from zoo.files.cards import read_card
from zoo.interfaces import SPLITS
from zoo.plugin import save
from zoo.tools.calibrate import temperature
from zoo.tools.calibrate.temperature import divide_logits, fit_temperature

SMALL = {"size": 16, "train_size": 200, "val_size": 160, "test_size": 80}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a network that has memorized its few images, and is therefore too confident."""
    folder = tmp_path_factory.mktemp("runs") / "mlp"
    settings: dict[str, Any] = {"lr": 0.05, "augment": [], "batch_size": 20, "epochs": 6}
    train("mlp", "shapes", run=folder, data=SMALL, threads=1, progress=False, **settings)
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def calibrated(trained: Path) -> tuple[Path, dict[str, Any]]:
    out = trained.parent / "calibrated.safetensors"
    return out, calibrate(trained, out=out, progress=False)


def sampled(count: int = 2_000) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, 5, generator=random)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=random)[:, 0]


@pytest.mark.parametrize("factor", [0.05, 0.5, 3.0, 30.0])
def test_the_scale_of_logits_is_recovered(factor: float) -> None:
    logits, labels = sampled()
    usual = fit_temperature(logits, labels)
    assert usual == pytest.approx(1, abs=0.06)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor * usual, rel=1e-4)


def test_the_temperature_minimizes_the_loss() -> None:
    logits, labels = sampled()
    best = fit_temperature(3 * logits, labels)
    losses = [nn.functional.cross_entropy(3 * logits / (best * by), labels).item() for by in (0.98, 1, 1.02)]
    assert min(losses) == losses[1]


def test_logits_without_a_best_temperature_are_refused() -> None:
    logits, labels = sampled()
    with pytest.raises(ZooError, match="all predictions are correct"):
        fit_temperature(logits, logits.argmax(1))
    with pytest.raises(ZooError, match=r"no temperature between .* minimizes the loss"):
        fit_temperature(-logits, labels)


def test_the_last_layer_of_a_head_is_divided() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 3), nn.Flatten()))
    inputs = torch.randn(2, 4)
    before = model(inputs)
    divide_logits(model, "1", 2.0)
    assert torch.equal(model(inputs), before / 2)
    with pytest.raises(WeightsError, match="no linear layer or convolution"):
        divide_logits(nn.Sequential(nn.ReLU()), "0", 2.0)


def test_calibration_lowers_the_loss_and_keeps_the_predictions(
    trained: Path, calibrated: tuple[Path, dict[str, Any]]
) -> None:
    out, result = calibrated
    before, after = (load(path, device="cpu").evaluate("val", progress=False) for path in (trained, out))
    assert result["temperature"] > 1.2, "the network was too confident"
    assert after["metrics"]["loss"] < before["metrics"]["loss"]
    assert after["confusion"] == before["confusion"]
    assert result["after"]["ece"] < result["before"]["ece"]
    assert result["after"]["loss"] == pytest.approx(after["metrics"]["loss"], rel=1e-5)


def test_predictions_are_calibrated_probabilities(
    trained: Path, calibrated: tuple[Path, dict[str, Any]]
) -> None:
    out, result = calibrated
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    rows = [load(path, device="cpu").predict(image, top=8, progress=False)[0] for path in (trained, out)]
    first, second = ({each["class"]: each["probability"] for each in row["predictions"]} for row in rows)
    names = [*first]
    logits = torch.tensor([first[name] for name in names], dtype=torch.float64).log()
    expected = (logits / result["temperature"]).softmax(0).tolist()
    assert [second[name] for name in names] == pytest.approx(expected, abs=1e-4)


def test_the_card_records_the_calibration(trained: Path, calibrated: tuple[Path, dict[str, Any]]) -> None:
    out, result = calibrated
    before, card = read_card(trained), read_card(out)
    assert before.calibration == {}
    assert card.calibration == {
        "temperature": result["temperature"],
        "count": 160,
        "ece_before": result["before"]["ece"],
        "ece_after": result["after"]["ece"],
        "loss_before": result["before"]["loss"],
        "loss_after": result["after"]["loss"],
    }


def test_the_metrics_of_the_card_are_measured_again(trained: Path, tmp_path: Path) -> None:
    model = load(trained, device="cpu")
    metrics = {split: model.evaluate(split, progress=False)["metrics"] for split in SPLITS[1:]}
    both, out = tmp_path / "both.safetensors", tmp_path / "x.safetensors"
    save(both, model.module, replace(model.card, metrics=metrics, intervals={}))
    calibrate(both, out=out, progress=False)
    card = read_card(out)
    assert card.metrics.keys() == {"val", "test"}
    for split in SPLITS[1:]:
        measured = load(out, device="cpu").evaluate(split, progress=False)
        assert card.metrics[split] == measured["metrics"]
        assert card.intervals[split]["loss"] == pytest.approx(measured["intervals"]["loss"])
        assert card.metrics[split]["accuracy"] == metrics[split]["accuracy"]
        assert card.metrics[split]["loss"] != metrics[split]["loss"]


@pytest.mark.slow
def test_an_export_of_calibrated_weights_is_calibrated(
    calibrated: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    model = load(calibrated[0], device="cpu")
    model.export(tmp_path / "x.onnx", synthetic=True, progress=False)
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    ours, theirs = (each.predict(image, progress=False)[0] for each in (model, load(tmp_path / "x.onnx")))
    assert theirs["predictions"][0]["probability"] == pytest.approx(
        ours["predictions"][0]["probability"], abs=1e-5
    )


def test_weights_without_a_validation_split_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    with pytest.raises(WeightsError, match="shapes-resnet20 was trained without a validation split"):
        calibrate("shapes-resnet20", out=out, progress=False)
    assert not out.exists()


def test_images_of_another_split_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="val_size cannot be changed"):
        calibrate(trained, out=tmp_path / "x.safetensors", data={"val_size": 200}, progress=False)


def test_calibrated_weights_are_not_reproduced(calibrated: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(WeightsError, match="cannot be reproduced: it was calibrated after training"):
        reproduce(calibrated[0], progress=False)


def test_data_that_differs_is_refused(trained: Path, tmp_path: Path) -> None:
    model = load(trained, device="cpu")
    elsewhere, out = tmp_path / "elsewhere.safetensors", tmp_path / "x.safetensors"
    dataset = replace(model.card.dataset, fingerprint="0" * 64)
    save(elsewhere, model.module, replace(model.card, dataset=dataset))
    with pytest.raises(DataError, match="was trained on different data"):
        calibrate(elsewhere, out=out, progress=False)
    assert not out.exists()


def test_calibrated_weights_are_not_calibrated_again(
    calibrated: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="is already calibrated"):
        calibrate(calibrated[0], out=tmp_path / "x.safetensors", progress=False)


def test_another_suffix_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"out must be a \.safetensors file \(got .*x\.onnx\)"):
        calibrate(trained, out=tmp_path / "x.onnx")


def test_an_existing_file_is_kept(trained: Path) -> None:
    content = trained.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        calibrate(trained, out=trained)
    assert trained.read_bytes() == content


def test_other_tasks_are_refused(lstm_file: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is for language-modeling; only classifiers can be calibrated"):
        calibrate(lstm_file, out=tmp_path / "x.safetensors", progress=False)


def test_a_head_that_does_not_scale_the_logits_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temperature, "divide_logits", lambda *_: None)
    with pytest.raises(WeightsError, match="its logits do not scale with the weights of its head out"):
        calibrate(trained, out=tmp_path / "x.safetensors", progress=False)
    assert not (tmp_path / "x.safetensors").exists()


def test_the_command_prints_the_temperature_and_the_next_step(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "warm.safetensors"
    done = run("calibrate", trained, "--out", out, columns=80)
    assert done.returncode == 0, done.stderr
    assert "fitted on 160 val images" in done.stdout
    assert f"zoo analyze calibration {out} --split test" in done.stdout
    shown = run("inspect", out)
    assert "Calibration" in shown.stdout
    assert "temperature" in shown.stdout


def test_the_next_command_locates_the_data(tmp_path: Path) -> None:
    for number in range(80):
        file = tmp_path / "my photos" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        shade = round(np.random.default_rng(number).normal(100 + 40 * (number % 2), 40))
        Image.new("L", (8, 8), min(max(shade, 0), 255)).save(file)
    data = {"root": str(tmp_path / "my photos"), "size": 8, "val_share": 0.4}
    train("mlp", "folder", run=tmp_path / "mlp", data=data, epochs=5, threads=1, progress=False)
    out = tmp_path / "warm.safetensors"
    done = run("calibrate", tmp_path / "mlp", "--out", out, columns=80)
    assert done.returncode == 0, done.stderr
    located = f"--data 'root={tmp_path}/my photos'"
    assert done.stdout.endswith(f"zoo analyze calibration {out} --split test {located}\n")
    done = run(
        "calibrate",
        tmp_path / "mlp" / "model.safetensors",
        *("--data", f"root={data['root']}"),
        "--out",
        tmp_path / "b.safetensors",
    )
    assert done.stdout.endswith(f"{located}\n"), done.stderr


def test_the_json_of_the_command_is_the_result(trained: Path, tmp_path: Path) -> None:
    done = run("calibrate", trained, "--out", tmp_path / "warm.safetensors", "--json")
    found = json.loads(done.stdout)
    assert [*found] == [
        *("weights", "file", "split", "count", "temperature", "before", "after", "metrics", "data"),
    ]
    assert found["metrics"]["val"]["accuracy"] == read_card(trained).metrics["val"]["accuracy"]
