"""How far two ways of measuring the same thing agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LIMIT = 1.96  # SDs: 95 % of normally distributed differences


@dataclass(frozen=True)
class Limits:
    """Bland and Altman's limits of agreement, in the unit of what was measured.

    ``means`` and ``differences`` (predicted - true) are those of each pair; ``bias`` the mean difference, ``sd`` their
    sample standard deviation; ``low`` and ``high`` are ``bias -+ 1.96 sd`` (NaN with fewer than two pairs).
    """

    means: tuple[float, ...]
    differences: tuple[float, ...]
    bias: float
    sd: float
    low: float
    high: float


def finite_pairs(one: Sequence[float], other: Sequence[float]) -> np.ndarray:
    """Return the pairs in which both values are finite, (n, 2), float64.

    Raises
    ------
    ValueError
        If the two are not of the same length.
    """
    pairs = np.array(list(zip(one, other, strict=True)), dtype=np.float64).reshape(-1, 2)
    return np.asarray(pairs[np.isfinite(pairs).all(axis=1)])


def limits_of_agreement(true: Sequence[float], predicted: Sequence[float]) -> Limits:
    """Return the limits of agreement (Bland & Altman 1986, doi:10.1016/S0140-6736(86)90837-8) of paired values.

    Parameters
    ----------
    true, predicted
        Of the same length and in the same unit; pairs in which either is NaN or infinite are left out.

    Raises
    ------
    ValueError
        If they are not of the same length.
    """
    pairs = finite_pairs(true, predicted)
    differences = pairs[:, 1] - pairs[:, 0]
    bias = float(differences.mean()) if differences.size else math.nan
    sd = float(differences.std(ddof=1)) if differences.size > 1 else math.nan
    means = tuple(float(value) for value in pairs.mean(axis=1))
    return Limits(means, tuple(map(float, differences)), bias, sd, bias - LIMIT * sd, bias + LIMIT * sd)
