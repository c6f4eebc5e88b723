"""The processor: reads .wav files. Torch-free."""

import wave
from pathlib import Path

import numpy as np

from zoo import DataError
from zoo.plugin import ClassificationProcessor


class Recordings(ClassificationProcessor):
    """The beginning of recordings, from 16-bit .wav files or from arrays."""

    what, suffixes = "recordings", (".wav",)

    def item(self, dims):
        """Return silence."""
        return np.zeros(dims["num_samples"], np.float32)

    def read(self, source, card):
        """Return the mean of a file's channels, resampled and padded with silence, or an array."""
        if not isinstance(source, Path):
            return np.asarray(source, np.float32)
        length, rate = card.arguments["num_samples"], card.preprocess["sample_rate"]
        with wave.open(str(source), "rb") as file:
            if file.getsampwidth() != 2:
                raise DataError(f"{source} has {8 * file.getsampwidth()} bits per sample (expected 16)")
            ratio = file.getframerate() / rate
            samples = np.frombuffer(file.readframes(int(length * ratio) + 1), "<i2")
            sound = samples.reshape(-1, file.getnchannels()).mean(1) / 32768
        return np.interp(np.arange(length) * ratio, np.arange(len(sound)), sound, right=0).astype(np.float32)
