"""Metrics of forecasts. Each of them is a mean over the items."""

from zoo import OptionError


def quantile(outputs, preprocess, wanted):
    """Return the forecast (B, H) of a quantile. Raises OptionError if the model has no such quantile."""
    if wanted not in preprocess["quantiles"]:
        raise OptionError(f"the metric needs the quantile {wanted} (the model has {preprocess['quantiles']})")
    return outputs[..., preprocess["quantiles"].index(wanted)]


class Mean:
    """The mean over items of what `of_items` returns."""

    def value(self, sums, count):
        """Return the mean."""
        return float(sums["values"]) / count


class Smape(Mean):
    """The mean of 2 |y - f| / (|y| + |f|) for values y and forecasts f, which depends on the unit's zero."""

    def items(self, outputs, targets, *, preprocess):
        """Return the error of each item, (B,)."""
        (mean,), (std,) = preprocess["mean"], preprocess["std"]
        y, f = targets * std + mean, quantile(outputs, preprocess, 0.5) * std + mean  # (B, H), in MW
        return {"values": (2 * (y - f).abs() / (y.abs() + f.abs()).clamp(min=1e-12)).mean(1)}


class Mase(Mean):
    """The mean of |y - f|, divided by the error in the history of repeating the season before.

    Both are differences of values on one scale, so the ratio is the same in the unit of the data.
    """

    def items(self, outputs, targets, *, inputs, preprocess):
        """Return the error of each item, (B,)."""
        season = preprocess["season"]
        naive = (inputs[:, season:] - inputs[:, :-season]).abs().mean(1)
        errors = (targets - quantile(outputs, preprocess, 0.5)).abs().mean(1)
        return {"values": errors / naive.clamp(min=1e-12)}


class Coverage(Mean):
    """The fraction of values between the 5% and the 95% quantile."""

    def items(self, outputs, targets, *, preprocess):
        """Return the fraction for each item, (B,)."""
        low, high = (quantile(outputs, preprocess, wanted) for wanted in (0.05, 0.95))
        return {"values": ((low <= targets) & (targets <= high)).float().mean(1)}
