"""`zoo compare`: tests of differences, models on the same items, groups of seeds."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.shell import zoo as run_zoo
from zoo.cli import run
from zoo.cli.compare import shown_p
from zoo.errors import DataError, Diverged, OptionError, WeightsError
from zoo.models import weights
from zoo.plugin import style
from zoo.registry.registry import Registry
from zoo.tools.compare.significance import bootstrap, detectable, holm, mcnemar, welch

SHAPES: dict[str, Any] = {"size": 16, "train_size": 64, "val_size": 0, "test_size": 80}


def _trained(run: Path, *, seed: int = 0, epochs: int = 1, **data: int) -> str:
    options: dict[str, Any] = {"data": {**SHAPES, **data}, "model": {"widths": [8]}, "progress": False}
    zoo.train("mlp", "shapes", run=run, seed=seed, epochs=epochs, threads=1, **options)
    return str(run)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample a tenth as often: `bootstrap` itself is tested with many."""
    monkeypatch.setattr("zoo.tools.compare.comparison.RESAMPLES", 200)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [
        _trained(folder / "short"),
        _trained(folder / "long", epochs=8),
        _trained(folder / "other", seed=1),
    ]


@pytest.mark.parametrize("discordant", range(21))
def test_mcnemars_p_is_that_of_counting_all_outcomes(discordant: int) -> None:
    for only_a in range(discordant + 1):
        ways = [math.comb(discordant, k) for k in range(discordant + 1)]
        as_extreme = sum(each for each in ways if each <= ways[only_a])
        assert mcnemar(only_a, discordant - only_a) == pytest.approx(as_extreme / 2**discordant, rel=1e-9)


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 × 0.01, then 2 × 0.03
    assert holm([0.9, 0.6]) == [1, 1]
    assert holm([0.02]) == [0.02]


def test_a_bootstrap_finds_a_difference_that_is_large_compared_with_its_spread() -> None:
    spread = torch.randn(2_000, generator=torch.Generator().manual_seed(0))
    (low, high), p = bootstrap(2.0, (2 + spread).tolist(), 10_000)
    assert (low, high) == pytest.approx((0.04, 3.96), abs=0.15)
    assert p == pytest.approx(0.0455, abs=0.012)
    assert bootstrap(0.0, spread.tolist(), 10_000)[1] == 1
    assert detectable(spread.tolist()) == pytest.approx(2.80, abs=0.1)


def test_welchs_test() -> None:
    (low, high), p = welch([3.0, 4.0, 1.0, 2.1], [490.2, 340.0, 433.9])  # worked by hand
    assert (low, high) == pytest.approx((-607.3, -230.4), abs=0.1)
    assert p == pytest.approx(0.0108, abs=1e-3)
    assert welch([0.5, 0.5], [0.5, 0.5]) == ((0, 0), 1)
    with pytest.raises(OptionError, match="at least 2 runs"):
        welch([0.5], [0.4, 0.5])


COUNTS = """
from zoo import MetricSpec, hookimpl

class Scaled:
    def __init__(self, *, by: float = 1.0):
        self.by = by

    def items(self, outputs, targets):
        return {"right": outputs.argmax(1) == targets}

    def value(self, sums, count):
        return self.by * float(sums["right"]) / count

@hookimpl
def zoo_metrics():
    return [MetricSpec(name="scaled", target="counts:Scaled", summary="Scaled accuracy")]
"""


def test_a_metric_is_compared_with_its_options(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "counts.py"
    plugin.write_text(COUNTS)
    words = ["compare", *models[:2], "--metric", "scaled", "--plugin", str(plugin), "--json", "--quiet"]
    found: list[dict[str, float]] = []
    for options in ([], ["--metric-option", "scaled.by=3"]):
        assert run([*words, *options]) == 0
        found.append(json.loads(capsys.readouterr().out)["models"][0]["metrics"])
    assert found[0]["scaled"] == pytest.approx(found[0]["accuracy"])
    assert found[1]["scaled"] == pytest.approx(3 * found[0]["accuracy"])


def test_two_models(models: list[str]) -> None:
    short, long, _ = models
    found = zoo.compare(long, short, progress=False)
    accuracy = next(pair for pair in found.pairs if pair["metric"] == "accuracy")
    metrics = [zoo.load(each).evaluate(progress=False)["metrics"]["accuracy"] for each in (long, short)]
    assert accuracy["difference"] == pytest.approx(metrics[0] - metrics[1])
    assert accuracy["p"] == mcnemar(len(accuracy["only_a"]), len(accuracy["only_b"]))
    assert len(accuracy["only_a"]) - len(accuracy["only_b"]) == round(80 * accuracy["difference"])
    assert accuracy["different"] == (accuracy["p"] < 0.05)
    by_class = found.by_class(accuracy)
    assert sum(row["only_a"] for row in by_class) == len(accuracy["only_a"])
    low, high = accuracy["interval"]
    assert low < accuracy["difference"] < high


def test_the_items_that_only_one_model_gets_right(models: list[str]) -> None:
    short, long, _ = models
    (pair, *_) = zoo.compare(long, short, progress=False).pairs
    data = zoo.open_dataset("shapes", **SHAPES).split("test")
    item = pair["only_a"][0]
    image, label = data[item]
    right, wrong = (
        zoo.load(each).predict([image], progress=False)[0]["predictions"][0] for each in (long, short)
    )
    names = zoo.load(long).classes
    assert right["class"] == names[int(label)] != wrong["class"]


def test_a_model_does_not_differ_from_itself(models: list[str]) -> None:
    for pair in zoo.compare(models[0], models[0], progress=False).pairs:
        assert pair["difference"] == 0
        assert pair["p"] == 1
        assert not pair["different"]


def test_several_models_are_compared_in_pairs_with_corrected_p(models: list[str]) -> None:
    found = zoo.compare(*models, progress=False)
    pairs = [(pair["a"], pair["b"]) for pair in found.pairs if pair["metric"] == "accuracy"]
    assert pairs == [*itertools.combinations(models, 2)]
    alone = zoo.compare(models[0], models[1], progress=False).pairs[0]
    assert found.pairs[0]["p"] >= alone["p"]
    assert found.pairs[0]["difference"] == alone["difference"]


def test_texts_are_compared_in_blocks(lstm_file: Path) -> None:
    found = zoo.compare(lstm_file, lstm_file, progress=False)
    assert {pair["metric"] for pair in found.pairs} == {"loss", "bits_per_char", "perplexity"}
    assert found.measurements[0].block_length > 1
    with pytest.raises(OptionError, match="no images"):
        found.plot()


def test_groups_of_seeds(tmp_path: Path, models: list[str]) -> None:
    for seed in (0, 1):
        _trained(tmp_path / "short" / f"seed-{seed}", seed=seed)
        _trained(tmp_path / "long" / f"seed-{seed}", seed=seed, epochs=2)
    found = zoo.compare(tmp_path / "short", tmp_path / "long", progress=False)
    values = [
        [
            zoo.load(tmp_path / name / f"seed-{seed}").evaluate(progress=False)["metrics"]["loss"]
            for seed in (0, 1)
        ]
        for name in ("short", "long")
    ]
    loss = next(pair for pair in found.pairs if pair["metric"] == "loss")
    assert loss["difference"] == pytest.approx(sum(values[0]) / 2 - sum(values[1]) / 2)
    interval, p = welch(*values)
    assert (loss["interval"], loss["p"]) == (pytest.approx(interval), pytest.approx(p))
    assert found.models[0]["runs"] == 2
    with pytest.raises(OptionError, match="is not a folder of runs"):
        zoo.compare(models[0], tmp_path / "long", progress=False)


def test_a_folder_with_one_run_is_named(tmp_path: Path) -> None:
    for name in ("one/seed-0", "two/seed-0", "two/seed-1"):
        _trained(tmp_path / name)
    with pytest.raises(OptionError, match=r"at least 2 finished runs in each folder \(.*one has 1\)"):
        zoo.compare(tmp_path / "two", tmp_path / "one", progress=False)


def test_a_folder_of_runs_with_different_options_is_refused(tmp_path: Path) -> None:
    for name in ("seeds/seed-0", "seeds/seed-1", "sweep/trial-1"):
        _trained(tmp_path / name, seed=int(name[-1]))
    _trained(tmp_path / "sweep" / "trial-2", epochs=2)
    with pytest.raises(OptionError, match=r"the runs in .*sweep differ in options besides the seed: epochs"):
        zoo.compare(tmp_path / "seeds", tmp_path / "sweep", progress=False)


def test_data_without_splits_is_called_all_as_by_eval(models: list[str], tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    for name in zoo.load(models[0], progress=False).classes[:2]:
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = draws.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    data = ("--dataset", "folder", "--data", f"root={tmp_path}", "--quiet")
    evaluated = run_zoo("eval", models[0], *data).stdout
    compared = run_zoo("compare", models[0], models[0], *data).stdout
    assert evaluated.startswith("images/folder, all 6 images: ")
    assert compared.startswith("images/folder, all 6 images\n")
    found = zoo.compare(*models, dataset="folder", data={"root": tmp_path}, progress=False)
    assert found.split == "all"
    assert found.plot().subfigs


def test_results_are_printed_although_no_figure_can_be_drawn(models: list[str], tmp_path: Path) -> None:
    out = tmp_path / "only.png"
    done = run_zoo("compare", models[0], models[0], "--out", out, "--quiet")
    assert (done.returncode, done.stderr, out.exists()) == (0, "", False)
    assert "minus" in done.stdout
    assert f"only {models[0]} is right: 0; only {models[0]}: 0" in done.stdout
    assert "CLASS" not in done.stdout, "no class has a disagreement"
    assert done.stdout.endswith("because there is no image that only one model gets right\n")
    done = run_zoo("compare", models[0], models[1], "--out", tmp_path / "missing" / "only.png", "--quiet")
    assert done.returncode == 1
    assert "minus" in done.stdout
    assert "only.png cannot be written" in done.stderr


def test_a_p_that_rounds_to_0_is_printed_as_a_bound() -> None:
    assert [shown_p(p) for p in (0.03, 1e-76, 0.0)] == ["0.0300", "1e-76", "< 1e-300"]


def test_runs_that_are_not_finished_are_left_out_with_a_warning(tmp_path: Path) -> None:
    for seed in range(3):
        for name in ("a", "b"):
            _trained(tmp_path / name / f"seed-{seed}", seed=seed)
    (tmp_path / "a" / "seed-2" / "model.safetensors").unlink()
    with pytest.warns(zoo.ZooWarning, match="1 of 3 runs are not finished and are skipped"):
        found = zoo.compare(tmp_path / "a", tmp_path / "b", progress=False)
    assert [model["runs"] for model in found.models] == [2, 3]


def test_different_data_is_refused(tmp_path: Path, models: list[str]) -> None:
    other = _trained(tmp_path / "other", test_size=40)
    with pytest.raises(DataError, match="data has different fingerprints"):
        zoo.compare(models[0], other, progress=False)
    found = zoo.compare(models[0], other, data={**SHAPES}, progress=False)
    assert found.count == 80


def test_an_unknown_name_is_found_before_anything_is_measured(
    models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(
        "zoo.tools.compare.measurements.measure_split", lambda *_, **how: measured.append(how)
    )
    with pytest.raises(WeightsError, match="unknown weights 'nosuch'"):
        zoo.compare(models[0], "nosuch")
    assert measured == []


def test_models_that_have_no_items_in_common_are_refused(models: list[str], lstm_file: Path) -> None:
    with pytest.raises(OptionError, match="they are models for classification and language-modeling"):
        zoo.compare(models[0], lstm_file, progress=False)
    with pytest.raises(OptionError, match="at least two models"):
        zoo.compare(models[0], progress=False)
    with pytest.raises(WeightsError):
        zoo.compare(models[0], "nothing.safetensors", progress=False)


def test_the_figure_shows_images_of_both_kinds(models: list[str]) -> None:
    figure = zoo.compare(models[0], models[1], progress=False).plot()
    assert style.png(figure).startswith(b"\x89PNG")
    drawn = [axes for axes in figure.get_axes() if axes.images]
    assert 0 < len(drawn) <= 32


def test_the_command(models: list[str], tmp_path: Path) -> None:
    out = tmp_path / "only.png"
    done = run_zoo("compare", models[0], models[1], "--out", out, "--quiet")
    assert done.returncode == 0, done.stderr
    assert f"{models[0]} minus {models[1]}: accuracy" in done.stdout
    assert out.read_bytes().startswith(b"\x89PNG")
    document = json.loads(run_zoo("compare", models[0], models[1], "--json", "--quiet").stdout)
    assert document["count"] == 80
    assert {"a", "b", "metric", "difference", "interval", "p", "different"} <= document["pairs"][0].keys()


def test_a_result_that_is_not_finite_is_refused(tmp_path: Path, models: list[str]) -> None:
    module, card = weights.load(Path(models[0]) / "model.safetensors", Registry.discover())
    for parameter in module.parameters():
        parameter.data.mul_(1e30)
    weights.save(tmp_path / "large.safetensors", module, card)
    with pytest.raises(Diverged, match="the result on test is not finite"):
        zoo.compare(tmp_path / "large.safetensors", models[0], data=SHAPES, progress=False)
