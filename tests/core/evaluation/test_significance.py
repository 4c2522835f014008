"""Tests of significance against values worked by hand."""

from __future__ import annotations

import math

import pytest

from napari_myelin.core.evaluation.significance import holm, paired, unpaired


def test_wilcoxon_over_five_pairs_that_all_fall_is_one_in_sixteen() -> None:
    # 2 of the 2^5 ways of signing five ranks are as extreme
    assert paired([1, 2, 3, 4, 5], [2, 4, 6, 8, 10]) == pytest.approx(2 / 32)


def test_wilcoxon_with_one_rank_of_six_against_the_rest() -> None:
    # W = 1: of 2^6 signings, {} and {1} reach W <= 1 on either side, 4 / 64
    assert paired([0, 0, 0, 0, 0, 0], [-1, 2, 3, 4, 5, 6]) == pytest.approx(4 / 64)


def test_wilcoxon_of_equal_pairs_is_one_and_of_none_is_nan() -> None:
    assert paired([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert math.isnan(paired([math.nan], [1.0]))


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, made monotone: .04 .06 .06 .06
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, math.nan, 0.9])[0::2] == pytest.approx([1.0, 1.0])
    assert math.isnan(holm([0.5, math.nan, 0.9])[1])


def test_students_t_by_hand() -> None:
    # means 2 and 4, variances 1 and 1, n 3 and 3: t = 2 / sqrt(2/3) = 2.449, 4 degrees of freedom.
    # for 4 degrees F(t) = 1/2 + 3/8 s (1 - s^2 / 12 (...)): p = 1 - (3/2) x (1 - x^2 / 3), x = t / sqrt(t^2 + 4)
    x = math.sqrt(6) / math.sqrt(10)
    assert unpaired([1, 2, 3], [3, 4, 5]) == pytest.approx(1 - 1.5 * x * (1 - x**2 / 3))
    assert math.isnan(unpaired([1], [1, 2]))
