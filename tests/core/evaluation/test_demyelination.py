"""Thresholds, the lesion table and the map of agreement, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.transform import PointTransform, write_transform
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.controls import (
    TEMPLATE_AFFINE,
    TEMPLATE_SHAPE,
    global_threshold,
    group_threshold,
    template_threshold,
)
from napari_myelin.core.evaluation.demyelination import (
    SURE,
    UNSURE,
    Threshold,
    agreement,
    certainty,
    classify,
    lesion_table,
)
from napari_myelin.core.options import ThresholdOptions
from napari_myelin.core.working import result_of


def _subject(dvr: np.ndarray, wm: np.ndarray) -> Subject:
    return Subject("c", None, "HC", files={"dvr": Volume(dvr, np.eye(4)), "wm": Volume(wm, np.eye(4))})


def test_global_threshold_is_mean_minus_k_sd_over_all_controls_white_matter() -> None:
    random = np.random.default_rng(1)
    maps = [(random.normal(1.2, 0.1, (5, 5, 5)), random.random((5, 5, 5)) > 0.5) for _ in range(3)]
    controls = [_subject(dvr, wm) for dvr, wm in maps]
    values = np.concatenate([dvr[wm] for dvr, wm in maps])
    for k in (1.0, 2.5):
        threshold = result_of(global_threshold(controls, k))
        assert threshold.value == pytest.approx(values.mean() - k * values.std())
        assert (threshold.kind, threshold.k, threshold.controls) == ("global", k, 3)


def test_controls_without_white_matter_are_an_error_that_says_so() -> None:
    with pytest.raises(MyelinError, match="white-matter masks are empty"):
        result_of(global_threshold([_subject(np.ones((2, 2, 2)), np.zeros((2, 2, 2), dtype=bool))]))


def test_every_control_is_told_as_it_is_read() -> None:
    controls = [_subject(np.ones((2, 2, 2)), np.ones((2, 2, 2), dtype=bool)) for _ in range(3)]
    told = list(group_threshold(controls, ThresholdOptions()))
    assert [(event.done, event.total) for event in told] == [(1, 3), (2, 3), (3, 3)]


def test_classify_takes_lesion_voxels_below_the_threshold_only() -> None:
    dvr = np.array([0.9, 0.9, 1.1, 1.0])
    lesion = np.array([True, False, True, True])
    np.testing.assert_array_equal(classify(dvr, lesion, 1.0), [True, False, False, False])
    local = np.array([0.5, 2.0, 1.2, 1.2])
    np.testing.assert_array_equal(classify(dvr, lesion, local), [False, False, True, True])
    assert not classify(dvr, np.zeros(4, dtype=bool), 1.0).any()


def test_lesion_table_by_hand() -> None:
    affine = np.array([[2.0, 0, 0, 10], [0, 2.0, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1]])
    lesion = np.zeros((10, 10, 10), dtype=bool)
    lesion[0:2, 0, 0] = True  # two voxels
    lesion[5, 5, 5] = lesion[6, 6, 6] = lesion[7, 7, 7] = True  # three voxels that touch by corners: one lesion
    dvr = np.full((10, 10, 10), 1.2, dtype=np.float32)
    dvr[5, 5, 5], dvr[0, 0, 0] = 0.6, 0.8
    large, small = lesion_table(Volume(dvr, affine), lesion, 1.0)
    assert (large.label, large.voxels, large.volume) == (1, 3, pytest.approx(36.0))
    assert large.mean_dvr == pytest.approx((0.6 + 1.2 + 1.2) / 3)
    assert large.demyelinated == pytest.approx(1 / 3)
    assert (large.x, large.y, large.z) == (22.0, 32.0, 48.0)
    assert (small.label, small.voxels, small.volume) == (2, 2, pytest.approx(24.0))
    assert small.demyelinated == pytest.approx(0.5)
    assert (small.x, small.y, small.z) == (11.0, 20.0, 30.0)
    assert lesion_table(Volume(dvr, affine), np.zeros_like(lesion), 1.0) == []
    assert lesion_table(Volume(dvr, affine), lesion, None)[0].demyelinated is None


def test_agreement_labels_all_four_cases() -> None:
    lesion = np.array([True, True, True, True, False])
    true = np.array([False, True, True, False, True])
    predicted = np.array([False, True, False, True, True])
    np.testing.assert_array_equal(agreement(true, predicted, lesion), [1, 2, 3, 4, 0])


def _control(folder: Path, name: str, level: float, shift: np.ndarray) -> Subject:
    """A control whose brain, with DVR rising along x, is the template's brain moved by ``shift`` mm."""
    shape, affine = (46, 54, 40), np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = np.array([-90.0, -126.0, -72.0]) + shift
    x = np.arange(46)[:, None, None] * 4.0 - 90.0  # the template's x of each voxel
    dvr = np.broadcast_to(level + 0.001 * x, shape).astype(np.float32)
    inside = np.zeros(shape, dtype=bool)
    inside[8:38, 8:46, 8:32] = True
    path = folder / f"{name}_xfm.nii.gz"
    coarse = np.diag([20.0, 20.0, 20.0, 1.0])
    coarse[:3, 3] = -200
    write_transform(path, PointTransform(np.broadcast_to(-shift, (20, 20, 20, 3)).astype(np.float32), coarse))
    masks = {"brain": Volume(inside, affine), "wm": Volume(inside, affine)}
    files = {"dvr": Volume(np.where(inside, dvr, 0).astype(np.float32), affine), **masks, "to_template": path}
    return Subject(name, None, "HC", files=files)


def test_template_threshold_is_found_voxel_by_voxel_and_brought_back_to_the_subject(tmp_path: Path) -> None:
    shifts = np.array([[8.0, 0, 0], [0.0, 12, 4], [-4.0, 0, 8]])
    levels = (1.1, 1.2, 1.3)
    controls = [_control(tmp_path, f"c{n}", levels[n], shifts[n]) for n in range(3)]
    threshold = result_of(template_threshold(controls, k=1.0))
    assert threshold.map is not None
    assert threshold.map.shape == TEMPLATE_SHAPE
    middle = (45, 60, 35)  # deep inside all three brains, x = 0 mm in the template
    x = float((TEMPLATE_AFFINE @ [*middle, 1])[0])
    assert threshold.map[middle] == pytest.approx(1.2 + 0.001 * x - 0.1, abs=2e-3)  # sample SD of 1.1, 1.2, 1.3
    further = (55, 60, 35)  # 20 mm to the right
    assert threshold.map[further] - threshold.map[middle] == pytest.approx(0.02, abs=2e-3)
    assert np.isnan(threshold.map[0, 0, 0])
    # back on a subject's own grid: the voxel whose template x is known has the threshold of that x
    subject = controls[0]
    grid = subject.volume("dvr")
    on_grid = threshold.on(subject, grid)
    assert isinstance(on_grid, np.ndarray)
    voxel = (23, 30, 18)
    template_x = 23 * 4.0 - 90.0
    assert on_grid[voxel] == pytest.approx(1.1 + 0.001 * template_x, abs=6e-3)
    assert on_grid[0, 0, 0] == pytest.approx(threshold.value, abs=1e-5)  # the global value where there is no map


def test_smallest_sd_is_believed_to_be_the_floor(tmp_path: Path) -> None:
    controls = [_control(tmp_path, f"c{n}", 1.2, np.zeros(3)) for n in range(3)]  # no spread at all
    threshold = result_of(template_threshold(controls, k=2.0, sd_floor=0.05))
    assert threshold.map is not None
    assert threshold.map[45, 60, 35] == pytest.approx(1.2 - 2 * 0.05, abs=2e-3)


def test_a_template_threshold_needs_a_transform_and_says_what_to_do(memory_subject: Subject) -> None:
    threshold = Threshold("template", 1.0, 1.0, 3, np.ones((3, 3, 3), dtype=np.float32), np.eye(4))
    with pytest.raises(MyelinError, match=r"no transform to the template.*--threshold-value 1\.000"):
        threshold.on(memory_subject, memory_subject.volume("dvr"))
    with pytest.raises(MyelinError, match="two controls or more"):
        result_of(template_threshold([memory_subject]))


def test_template_threshold_of_a_phantom_is_near_its_global_one(phantom_cohort: Cohort) -> None:
    controls = [subject for subject in phantom_cohort.subjects if subject.group == "HC"]
    threshold = result_of(template_threshold(controls, k=1.0))
    assert threshold.map is not None
    wm = controls[0].volume("wm").array
    on_grid = threshold.on(controls[0], controls[0].volume("dvr"))
    assert isinstance(on_grid, np.ndarray)
    assert abs(float(on_grid[wm].mean()) - threshold.value) < 0.12


def test_threshold_json_round_trip() -> None:
    threshold = Threshold("template", 1.0, 1.5, 3, np.ones((2, 2, 2)), np.diag([2.0, 2, 2, 1]))
    again = Threshold.from_dict(threshold.to_dict(), threshold.map)
    assert (again.kind, again.value, again.k, again.controls) == ("template", 1.0, 1.5, 3)
    np.testing.assert_array_equal(again.affine, threshold.affine)
    assert Threshold.fixed(0.9).on(Subject("x"), Volume(np.zeros((2, 2, 2)), np.eye(4))) == 0.9


def test_a_voxel_within_its_uncertainty_of_the_threshold_is_unsure_on_either_side() -> None:
    dvr = np.array([0.80, 0.95, 1.04, 1.20, 0.80, 0.95])
    lesion = np.array([True, True, True, True, False, False])
    uncertainty = np.full(6, 0.1)
    assert certainty(dvr, lesion, 1.0, uncertainty).tolist() == [SURE, UNSURE, UNSURE, 0, 0, 0]
    assert certainty(dvr, lesion, np.full(6, 0.9), uncertainty).tolist() == [UNSURE, UNSURE, 0, 0, 0, 0]
    for doubtless in (None, np.zeros(6)):
        labels = certainty(dvr, lesion, 1.0, doubtless)
        assert labels.tolist() == [SURE, SURE, 0, 0, 0, 0]
        assert labels.dtype == np.uint8
