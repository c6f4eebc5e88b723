"""The dataset."""

import hashlib
from typing import Annotated

import torch
from msgspec import Meta
from torch.utils.data import TensorDataset

from zoo import seed_for
from zoo.interfaces import Dataset


class Pendulums(Dataset):
    """Length (m), amplitude (rad) and period (s) of 1,000 pendulums; the periods have noise of 0.05 s.

    The exact period is 2π √(length / g) / agm(1, cos(amplitude / 2)), where agm is the arithmetic-geometric
    mean; it is infinite for an amplitude of π.
    """

    def __init__(self, *, seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0) -> None:
        draws = torch.Generator().manual_seed(seed_for(seed, "pendulums"))
        self.rows = torch.rand(1000, 2, generator=draws) * torch.tensor([2.0, 3.0]) + 0.1
        mean, other = torch.ones(1000), (self.rows[:, 1] / 2).cos()
        for _ in range(6):
            mean, other = (mean + other) / 2, (mean * other).sqrt()
        exact = 2 * torch.pi * (self.rows[:, 0] / 9.81).sqrt() / mean
        self.periods = exact + 0.05 * torch.randn(1000, generator=draws)

    @property
    def dims(self):
        """Return the numbers of features and targets."""
        return {"num_features": 2, "num_targets": 1}

    @property
    def preprocess(self):
        """Return the names and the scales of features and targets."""
        names = {"features": ["length", "amplitude"], "targets": ["period"]}
        rows, periods = self.split("train").tensors
        scales = {"mean": rows.mean(0).tolist(), "std": rows.std(0).tolist()}
        return names | scales | {"target_mean": [periods.mean().item()], "target_std": [periods.std().item()]}

    @property
    def fingerprint(self):
        """Return the sha256 of rows and periods."""
        return hashlib.sha256(self.rows.numpy().tobytes() + self.periods.numpy().tobytes()).hexdigest()

    def split(self, name):
        """Return the rows (N, 2) and periods (N,) of a split."""
        part = {"train": slice(800), "val": slice(800, 900), "test": slice(900, 1000)}[name]
        return TensorDataset(self.rows[part], self.periods[part])
