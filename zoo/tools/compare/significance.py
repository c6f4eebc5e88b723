"""Tests of differences: exact McNemar, bootstrap, Welch's t, and Holm's correction for multiple tests."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.errors import OptionError

# Differences with a smaller p are reported as different
ALPHA = 0.05
# Resamples of a bootstrap of differences
RESAMPLES = 2_000
# Standard errors of a difference that is found at the 5% level in 4 of 5 cases: the 97.5th percentile of the
# standard normal distribution plus the 80th
_POWER = 1.959964 + 0.841621


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Items on which both models are right, or both wrong, do not count. If the models are equally good, either
    model is equally likely to be right on each of the other items.

    Source: McNemar 1947, Note on the Sampling Error of the Difference Between Correlated Proportions,
    Psychometrika 12.

    Args:
        only_a: number of items that only the first model gets right; `only_b` likewise.
    """
    from scipy.stats import binomtest

    total = only_a + only_b
    return float(binomtest(only_a, total).pvalue) if total else 1.0


def bootstrap(
    difference: float, resampled: Sequence[float], blocks: float
) -> tuple[tuple[float, float], float]:
    """Return the 95% interval of a difference, and its two-sided p-value.

    The p-value is the share of resamples that are at least as far from the measured difference as 0 is.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 13 and 16.

    Args:
        difference: the measured difference.
        resampled: the differences of resamples.
        blocks: number of blocks, or of independent items.
    """
    from zoo.evaluation.intervals import percentiles

    distances = abs(np.asarray(resampled) - difference)
    extreme = int((distances >= abs(difference)).sum())
    return percentiles(resampled, blocks), (1 + extreme) / (1 + len(resampled))


def detectable(resampled: Sequence[float]) -> float:
    """Return the smallest true difference that would be detected in 4 of 5 cases, at the 5% level."""
    return _POWER * float(np.std(resampled))


def welch(one: Sequence[float], two: Sequence[float]) -> tuple[tuple[float, float], float]:
    """Return the 95% interval of the difference of the means of two groups, and its two-sided p-value.

    The groups may have different variances. Source: Welch 1947, The Generalization of Student's Problem When
    Several Different Population Variances Are Involved, Biometrika 34.

    Raises OptionError if a group has fewer than two values.
    """
    from scipy.stats import ttest_ind

    if min(len(one), len(two)) < 2:
        raise OptionError("each group must have at least 2 runs")
    if len({*one}) == len({*two}) == 1:  # no variance: t is not defined
        difference = one[0] - two[0]
        return (difference, difference), 0.0 if difference else 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one group may have no variance
        found: Any = ttest_ind(one, two, equal_var=False)
    bounds = found.confidence_interval(0.95)
    return (float(bounds.low), float(bounds.high)), float(found.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Return the p-values of multiple tests, corrected for the probability of any false positive.

    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of
    Statistics 6.
    """
    order = np.argsort(values, kind="stable")
    steps = np.asarray(values)[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected.tolist()
