"""Limits of agreement, by hand."""

from __future__ import annotations

import math

import pytest

from napari_myelin.core.evaluation.statistics import limits_of_agreement


def test_limits_of_agreement_by_hand() -> None:
    # differences 1, 3, 2: mean 2, sample SD 1
    limits = limits_of_agreement([1.0, 2.0, 3.0], [2.0, 5.0, 5.0])
    assert limits.differences == (1.0, 3.0, 2.0)
    assert limits.means == (1.5, 3.5, 4.0)
    assert (limits.bias, limits.sd) == pytest.approx((2.0, 1.0))
    assert (limits.low, limits.high) == pytest.approx((0.04, 3.96))


def test_pairs_with_nan_are_left_out_and_too_few_have_no_limits() -> None:
    limits = limits_of_agreement([1.0, math.nan, 3.0], [1.5, 2.0, math.inf])
    assert (limits.means, limits.differences, limits.bias) == ((1.25,), (0.5,), 0.5)
    assert math.isnan(limits.sd)
    assert math.isnan(limits.low)
    assert math.isnan(limits_of_agreement([], []).bias)


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        limits_of_agreement([1.0], [])
