"""The rows of a subject, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.evaluation.score import Truth
from napari_myelin.core.study.measure import calibration_rows, lesion_over_nawm, prediction_rows, regions

WHO = ("refiner", "MTR", "fold1")


def test_rows_of_a_map_that_is_a_tenth_too_high(memory_subject: Subject) -> None:
    truth = Truth.of(memory_subject, 1.1)
    predicted = (truth.dvr + 0.1).astype(np.float32)
    rows = {(row.region, row.metric): row.value for row in prediction_rows(truth, predicted, WHO)}
    assert rows["image", "mse"] == pytest.approx(0.01, rel=1e-5)
    for region in ("nawm", "lesion"):
        assert rows[region, "discrepancy"] == pytest.approx(0.1, rel=1e-5)
        assert rows[region, "dvr_predicted"] - rows[region, "dvr_true"] == pytest.approx(0.1, rel=1e-5)
    assert rows["lesion", "voxel_error"] == pytest.approx(0.1, rel=1e-5)
    assert rows["lesion", "voxels"] == 27
    inside = truth.dvr[truth.lesion]
    measured, ours = inside < 1.1, inside + 0.1 < 1.1
    assert rows["lesion", "share_true"] == pytest.approx(measured.mean())
    assert rows["lesion", "dice"] == pytest.approx(2 * (measured & ours).sum() / (measured.sum() + ours.sum()))
    # 27 voxels of 8 mm3: one lesion above 106 mm3
    assert rows["lesion-01", "dvr_true"] == pytest.approx(inside.mean(), rel=1e-6)
    assert ("wm", "discrepancy") not in rows  # a patient's


def test_error_of_a_tenth_is_outside_one_sd_of_008_and_inside_two(memory_subject: Subject) -> None:
    truth = Truth.of(memory_subject, None)
    predicted = truth.dvr + np.float32(0.1)
    sd = np.full(truth.dvr.shape, 0.08, dtype=np.float32)
    sd[truth.lesion] = 0.2
    rows = {(row.region, row.metric): row.value for row in calibration_rows(truth, predicted, sd, WHO)}
    assert (rows["nawm", "inside_1sd"], rows["nawm", "inside_2sd"]) == (0, 1)
    assert (rows["lesion", "inside_1sd"], rows["lesion", "inside_2sd"]) == (1, 1)
    assert rows["brain", "inside_1sd"] == pytest.approx(27 / truth.brain.sum())
    assert rows["lesion", "uncertainty"] == pytest.approx(0.2)


def test_attention_is_the_mean_in_lesions_over_that_in_nawm(memory_subject: Subject) -> None:
    there = regions(Truth.of(memory_subject, None))
    attention = np.full(there["brain"].shape, 9.0)
    attention[there["nawm"]], attention[there["lesion"]] = 2.0, 3.0
    assert lesion_over_nawm(attention, there["lesion"], there["nawm"]) == pytest.approx(1.5)
    assert math.isnan(lesion_over_nawm(np.zeros_like(attention), there["lesion"], there["nawm"]))
