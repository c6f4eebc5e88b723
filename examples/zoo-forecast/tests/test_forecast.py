import json

import numpy as np
import pytest
import torch
from zoo_forecast.demand import Demand
from zoo_forecast.forecasting import pinball_losses

import zoo


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    zoo.train("quantile-mlp", "demand", epochs=2, run=run, progress=False)
    return zoo.load(run)


@pytest.fixture(scope="module")
def measured(model):
    return model.evaluate("test", metrics=["smape", "mase", "coverage"])


@pytest.fixture(scope="module")
def in_megawatts(model):
    """Return histories (N, 168), what followed (N, 24), and forecasts (N, 24, 3)."""
    histories, actual = (part.double().numpy() for part in Demand().split("test").tensors)
    found = model.predict([*histories], progress=False)
    keys = ("5%", "50%", "95%")
    return (
        histories,
        actual,
        np.array([[[h[key] for key in keys] for h in row["predictions"]] for row in found]),
    )


def close_to(value):
    return pytest.approx(float(value), rel=1e-4)


def test_smape_is_that_of_the_demand_in_megawatts(measured, in_megawatts):
    _, y, forecasts = in_megawatts
    f = forecasts[..., 1]
    assert measured["metrics"]["smape"] == close_to(np.mean(2 * np.abs(y - f) / (np.abs(y) + np.abs(f))))


def test_mase_compares_with_the_day_before_in_each_history(measured, in_megawatts):
    histories, y, forecasts = in_megawatts
    ratios = [
        np.mean(np.abs(after - forecast[:, 1])) / np.mean(np.abs(before[24:] - before[:-24]))
        for before, after, forecast in zip(histories, y, forecasts, strict=True)
    ]
    assert measured["metrics"]["mase"] == close_to(np.mean(ratios))


def test_coverage_counts_the_hours_within_the_interval(measured, in_megawatts):
    _, y, forecasts = in_megawatts
    assert measured["metrics"]["coverage"] == close_to(
        np.mean((forecasts[..., 0] <= y) & (y <= forecasts[..., 2]))
    )


def test_each_metric_has_an_interval_around_it(measured):
    for name in ("loss", "smape", "mase", "coverage"):
        low, high = measured["intervals"][name]
        assert low < measured["metrics"][name] < high


@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_the_loss_is_lowest_at_the_quantile(q):
    values = torch.arange(1.0, 100.0)[:, None]  # (99, 1): 1 to 99
    losses = [
        float(pinball_losses(torch.full((99, 1, 1), float(at)), values, [q]).mean()) for at in range(101)
    ]
    assert int(np.argmin(losses)) == round(100 * q)
    errors = np.arange(1, 100) - 100 * q
    assert min(losses) == close_to(np.mean(np.maximum(q * errors, (q - 1) * errors)))


def test_the_fan_of_ones_own_history_has_no_actual_values(model, tmp_path):
    history = Demand().split("test").tensors[0][0].tolist()
    (tmp_path / "week.csv").write_text(json.dumps(history).strip("[]"))
    found = model.analyze("fan", tmp_path / "week.csv")
    (row,) = found.analysis.tables["forecasts"]
    assert row["interval"] > 0
