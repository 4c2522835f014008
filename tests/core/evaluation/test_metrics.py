"""Every metric worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_myelin.core.evaluation import metrics

TRUE = np.array([[[1.0, 1.2], [0.8, 1.0]]])
PREDICTED = np.array([[[1.1, 1.2], [0.6, 1.0]]])


def test_mse_is_the_mean_of_squared_differences() -> None:
    assert metrics.mse(TRUE, PREDICTED) == pytest.approx((0.01 + 0 + 0.04 + 0) / 4)
    mask = np.array([[[True, False], [True, False]]])
    assert metrics.mse(TRUE, PREDICTED, mask) == pytest.approx(0.025)
    assert math.isnan(metrics.mse(TRUE, PREDICTED, np.zeros_like(mask)))


def test_mse_does_not_lose_small_errors_in_single_precision() -> None:
    true = np.full((8, 8, 8), 1000.0, dtype=np.float32)
    assert metrics.mse(true, true + np.float32(0.0625)) == pytest.approx(0.0625**2)


def test_psnr_of_the_papers_refiner_row_needs_a_maximum_of_2_89() -> None:
    # table of the paper: MSE .0083 and PSNR 30.044 dB; the maximum follows, and is the one we use
    assert metrics.psnr(0.0083, metrics.PAPER_MAXIMUM) == pytest.approx(30.03, abs=0.05)
    assert metrics.psnr(0.01, 1.0) == pytest.approx(20.0)
    assert metrics.psnr(0.0, 1.0) == math.inf


def test_ssim_is_one_for_equal_maps_and_follows_the_formula_for_a_shift() -> None:
    random = np.random.default_rng(0)
    true = random.normal(1, 0.1, (16, 16, 16))
    assert metrics.ssim(true, true) == pytest.approx(1.0)
    # two constants but for one far corner: contrast and structure terms are 1 where nothing varies
    flat = np.full((32, 32, 32), 1.0)
    flat[0, 0, 0] = 2.0  # gives the range 1
    shifted = flat + 0.5
    c1 = 0.01**2
    luminance = (2 * 1.0 * 1.5 + c1) / (1.0**2 + 1.5**2 + c1)
    assert metrics.ssim(flat, shifted) == pytest.approx(luminance, abs=2e-2)


def test_ssim_of_a_grid_smaller_than_its_window_is_not_a_number() -> None:
    assert math.isnan(metrics.ssim(np.ones((8, 16, 16)), np.ones((8, 16, 16))))
    assert math.isnan(metrics.ssim(np.ones((16, 16, 16)), np.ones((16, 16, 16))))  # no range


def test_discrepancy_compares_means_and_voxel_error_compares_voxels() -> None:
    region = np.ones_like(TRUE, dtype=bool)
    assert metrics.discrepancy(TRUE, PREDICTED, region) == pytest.approx(abs(4.0 - 3.9) / 4)
    assert metrics.voxel_error(TRUE, PREDICTED, region) == pytest.approx(0.3 / 4)
    assert math.isnan(metrics.discrepancy(TRUE, PREDICTED, ~region))
    assert math.isnan(metrics.voxel_error(TRUE, PREDICTED, ~region))


def test_dice_and_share_by_hand() -> None:
    lesion = np.array([True, True, True, True, False])
    one = np.array([True, True, False, False, False])
    other = np.array([False, True, True, True, False])
    assert metrics.dice(one, other) == pytest.approx(2 * 1 / (2 + 3))
    assert metrics.share(one, lesion) == pytest.approx(0.5)
    assert math.isnan(metrics.dice(~lesion & False, ~lesion & False))
    assert math.isnan(metrics.share(one, np.zeros(5, dtype=bool)))


def test_correlation_needs_three_pairs_that_vary() -> None:
    assert metrics.correlation([1, 2, 3, 4], [2, 4, 6, 9]) == pytest.approx(
        np.corrcoef([1, 2, 3, 4], [2, 4, 6, 9])[0, 1]
    )
    assert math.isnan(metrics.correlation([1, 2], [1, 2]))
    assert math.isnan(metrics.correlation([1, 1, 1], [1, 2, 3]))


def test_mean_sd_leaves_out_what_does_not_apply() -> None:
    mean, sd, count = metrics.mean_sd([1.0, math.nan, 3.0])
    assert (mean, count) == (2.0, 2)
    assert sd == pytest.approx(math.sqrt(2))
    assert metrics.mean_sd([math.nan])[2] == 0
    assert math.isnan(metrics.mean_sd([4.0])[1])
