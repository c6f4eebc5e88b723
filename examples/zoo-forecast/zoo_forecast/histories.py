"""The processor: reads histories, and writes a row for each hour of a forecast. Torch-free."""

from pathlib import Path

import numpy as np

from zoo import OptionError
from zoo.plugin import ItemProcessor, Prediction


class Histories(ItemProcessor):
    """The values of a series in its last hours, separated by commas, spaces or new lines in a file."""

    what, suffixes = "histories", (".csv", ".txt")

    def check_feeding(self, preprocess, arguments):
        """Raise OptionError unless there are as many quantiles as the model returns."""
        super().check_feeding(preprocess, arguments)
        found = preprocess.get("quantiles")
        quantiles = [each for each in found if isinstance(each, float)] if isinstance(found, list) else []
        right = len(quantiles) == arguments["num_quantiles"]
        if not right or not all(0 < each < 1 for each in quantiles):
            raise OptionError(f"quantiles must be {arguments['num_quantiles']} numbers between 0 and 1")

    def item(self, dims):
        """Return a history of zeros."""
        return np.zeros(dims["history"], np.float32)

    def read(self, source, card):
        """Return the history in a file, or a list or an array as a history."""
        numbers = source.read_text().replace(",", " ").split() if isinstance(source, Path) else source
        return np.array([float(number) for number in numbers], np.float32)

    def predictions(self, outputs, preprocess, *, top=None):
        """Return the quantiles for each hour of a forecast, in the unit of the series."""
        names = [f"{100 * quantile:g}%" for quantile in preprocess["quantiles"]]
        found = []
        for values in outputs * preprocess["std"][0] + preprocess["mean"][0]:  # (H, Q)
            hours = enumerate(values.tolist(), 1)
            rows = [{"hour": hour} | dict(zip(names, row, strict=True)) for hour, row in hours]
            found.append(Prediction(rows=rows, values=values))
        return found
