"""The processor: reads rows of numbers. Torch-free."""

from pathlib import Path

import numpy as np

from zoo.plugin import RegressionProcessor


class Rows(RegressionProcessor):
    """Rows of numbers, separated by commas or spaces in a file."""

    what, suffixes = "rows", (".csv", ".txt")

    def item(self, dims):
        """Return a row of zeros."""
        return np.zeros(dims["num_features"], np.float32)

    def read(self, source, card):
        """Return the row in a file, or a list or an array as a row."""
        numbers = source.read_text().replace(",", " ").split() if isinstance(source, Path) else source
        return np.array([float(number) for number in numbers], np.float32)
