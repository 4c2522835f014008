"""Whether two methods, or two regions, differ: the paper's unpaired t-test, and paired Wilcoxon with Holm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student
from scipy.stats import wilcoxon

from napari_myelin.core.evaluation.statistics import finite_pairs

LEVEL = 0.05


def unpaired(one: Sequence[float], other: Sequence[float]) -> float:
    """Return p of Student's two-sided t-test, equal variances, as the paper uses it; NaN with fewer than two values.

    Parameters
    ----------
    one, other
        Values of either sample; those that are not finite are left out.
    """
    first, second = _finite(one), _finite(other)
    freedom = first.size + second.size - 2
    if min(first.size, second.size) < 2:
        return math.nan
    pooled = (first.var() * first.size + second.var() * second.size) / freedom
    if pooled == 0:
        return math.nan  # nothing varies: there is no error to hold the difference against
    # by hand, because scipy warns (an error in tests) where values are nearly the same
    statistic = (first.mean() - second.mean()) / math.sqrt(pooled * (1 / first.size + 1 / second.size))
    return float(2 * student.sf(abs(statistic), freedom))


def paired(one: Sequence[float], other: Sequence[float]) -> float:
    """Return p of Wilcoxon's two-sided signed-rank test over pairs; NaN without a pair, 1 where no pair differs.

    Exact where there are few pairs and no ties, as scipy decides.

    Parameters
    ----------
    one, other
        Of the same length, the same subject at the same place; pairs with a value that is not finite are left out.

    Raises
    ------
    ValueError
        If they are not of the same length.
    """
    pairs = finite_pairs(one, other)
    if not len(pairs):
        return math.nan
    differences = pairs[:, 0] - pairs[:, 1]
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm 1979): sorted, times n, n - 1, ..., never falling, at most 1.

    Parameters
    ----------
    values
        Of the tests of one family; NaN (no test) stays NaN and does not count.
    """
    order = sorted((value, index) for index, value in enumerate(values) if math.isfinite(value))
    corrected = [math.nan] * len(values)
    highest = 0.0
    for rank, (value, index) in enumerate(order):
        highest = max(highest, min(1.0, value * (len(order) - rank)))
        corrected[index] = highest
    return corrected


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]
