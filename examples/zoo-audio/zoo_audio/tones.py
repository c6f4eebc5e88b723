"""The dataset."""

import hashlib

import torch
from torch.utils.data import TensorDataset

from zoo import seed_for
from zoo.interfaces import Dataset

RATE, LENGTH = 8000, 2000
WAVEFORMS = {
    "sine": lambda turns: (2 * torch.pi * turns).sin(),
    "square": lambda turns: 1.0 - 2 * (turns % 1 >= 0.5),
    "sawtooth": lambda turns: 2 * (turns % 1) - 1,
    "triangle": lambda turns: 1 - 4 * (turns % 1 - 0.5).abs(),
}


class Tones(Dataset):
    """Quarter seconds of four waveforms, of random loudness and pitch (110 to 440 Hz), with noise."""

    @property
    def dims(self):
        """Return the numbers of samples and classes."""
        return {"num_samples": LENGTH, "num_classes": len(WAVEFORMS)}

    @property
    def preprocess(self):
        """Return the samples per second, and the names of the classes."""
        return {"sample_rate": RATE, "classes": [*WAVEFORMS]}

    @property
    def fingerprint(self):
        """Return the sha256 of the training split."""
        return hashlib.sha256(self.split("train").tensors[0].numpy().tobytes()).hexdigest()

    def split(self, name):
        """Return the sounds (N, T), between -1 and 1, and the classes (N,) of a split."""
        count = {"train": 800, "val": 200, "test": 200}[name]
        draws = torch.Generator().manual_seed(seed_for(0, "tones", name))
        pitch = 110 * 4 ** torch.rand(count, 1, generator=draws)
        turns = torch.rand(count, 1, generator=draws) + pitch * torch.arange(LENGTH) / RATE  # (N, T)
        loudness = 0.02 + 0.98 * torch.rand(count, 1, generator=draws)
        noise = 0.05 * torch.randn(count, LENGTH, generator=draws)
        labels = torch.arange(count) % len(WAVEFORMS)
        sounds = torch.stack([make(turns) for make in WAVEFORMS.values()])[labels, torch.arange(count)]
        return TensorDataset((loudness * sounds + noise).clamp(-1, 1), labels)
