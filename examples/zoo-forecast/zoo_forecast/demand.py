"""The dataset."""

import hashlib
import math
from typing import Annotated

import torch
from msgspec import Meta
from torch.utils.data import TensorDataset

from zoo import seed_for
from zoo.interfaces import Dataset

HOURS = 24 * 7 * 40
HISTORY, HORIZON = 24 * 7, 24
QUANTILES = [0.05, 0.5, 0.95]
# The hours of each split, which do not overlap
SPLITS = {"train": (0, 24 * 7 * 28), "val": (24 * 7 * 28, 24 * 7 * 34), "test": (24 * 7 * 34, HOURS)}


class Demand(Dataset):
    """Demand for electricity (MW) in each hour of 40 weeks, and forecasts of a day from the week before.

    The demand has a daily and a weekly season, drifts slowly, and its noise grows with its level.
    """

    def __init__(self, *, seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0) -> None:
        draws = torch.Generator().manual_seed(seed_for(seed, "demand"))
        hours = torch.arange(HOURS, dtype=torch.float64)
        day, week = 2 * math.pi * hours / 24, 2 * math.pi * hours / (24 * 7)
        season = 50 - 14 * day.cos() - 6 * (2 * day).sin() + 7 * week.sin()
        steps = torch.randn(HOURS, generator=draws, dtype=torch.float64)
        drift = [0.0]  # an autoregressive process: what is above the mean falls back within days
        for step in steps[1:].tolist():
            drift.append(0.99 * drift[-1] + 0.6 * step)
        level = season + torch.tensor(drift, dtype=torch.float64)
        noise = torch.randn(HOURS, generator=draws, dtype=torch.float64)
        self.series = (level * (1 + 0.05 * noise)).float()

    @property
    def dims(self):
        """Return how many hours are read and forecast, and the number of quantiles."""
        return {"history": HISTORY, "horizon": HORIZON, "num_quantiles": len(QUANTILES)}

    @property
    def preprocess(self):
        """Return the scale of the series, the quantiles, and the length of the season."""
        first, last = SPLITS["train"]
        train = self.series[first:last]
        scales = {"mean": [train.mean().item()], "std": [train.std().item()]}
        return scales | {"quantiles": QUANTILES, "season": 24, "unit": "MW"}

    @property
    def fingerprint(self):
        """Return the sha256 of the series."""
        return hashlib.sha256(self.series.numpy().tobytes()).hexdigest()

    def split(self, name):
        """Return histories (N, 168) and the 24 hours that follow each of them, (N, 24).

        A window begins every hour in the train split. Otherwise, one begins every day, so that no hour is
        forecast twice: a confidence interval would count it as two observations.
        """
        first, last = SPLITS[name]
        windows = self.series[first:last].unfold(0, HISTORY + HORIZON, 1 if name == "train" else HORIZON)
        return TensorDataset(windows[:, :HISTORY], windows[:, HISTORY:])
