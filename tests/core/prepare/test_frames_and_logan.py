"""Frame times, integrals and Logan's plot: worked by hand, against numpy, and on a real scan's curves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare.frames import Frames, read_frames
from napari_myelin.core.prepare.logan import integrals, logan_reference

REAL = Path(__file__).parents[4] / "shared" / "real" / "pet-tacs"
TEN = Frames(np.arange(10) * 600.0, np.full(10, 600.0))  # ten frames of ten minutes


def write_json(path: Path, **fields: object) -> Path:
    table = {"FrameTimesStart": [0, 60, 120], "FrameDuration": [60, 60, 300], **fields}
    path.write_text(json.dumps(table))
    return path


def test_frames_are_read_from_the_injection_on(tmp_path: Path) -> None:
    frames, factor = read_frames(write_json(tmp_path / "pet.json", InjectionStart=-5), 3)
    np.testing.assert_array_equal(frames.start, [5, 65, 125])
    np.testing.assert_array_equal(frames.middle, [35, 95, 275])
    np.testing.assert_array_equal(factor, 1)


def test_decay_is_undone_frame_by_frame(tmp_path: Path) -> None:
    fields = {"ImageDecayCorrected": False, "TracerRadionuclide": "C11"}
    frames, factor = read_frames(write_json(tmp_path / "pet.json", **fields), 3)
    rate = np.log(2) / (20.364 * 60)
    for start, duration, found in zip(frames.start, frames.duration, factor, strict=True):
        times = np.linspace(start, start + duration, 20_001)
        assert found == pytest.approx(1 / np.exp(-rate * times).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "count", "words"),
    [
        ({}, 4, "the image has 4 volumes"),
        ({"FrameDuration": None}, 3, "no list FrameDuration"),
        ({"FrameTimesStart": [0, 30, 120]}, 3, "overlap"),
        ({"ImageDecayCorrected": False, "TracerRadionuclide": "O15"}, 3, 'TracerRadionuclide is "O15"'),
    ],
)
def test_wrong_times_are_told(tmp_path: Path, fields: dict[str, object], count: int, words: str) -> None:
    with pytest.raises(MyelinError, match=words):
        read_frames(write_json(tmp_path / "pet.json", **fields), count)


def test_the_integral_counts_a_frame_by_half_and_bridges_gaps() -> None:
    frames = Frames(np.array([0.0, 60, 240]), np.array([60.0, 120, 60]))  # a gap of one minute before the last
    curve = np.array([[2.0, 4, 6]])
    # 2 x 1/2; 2 + 4 x 2/2; 2 + 8 + 5 x 1 + 6 x 1/2
    np.testing.assert_allclose(integrals(curve, frames), [[1, 6, 18]])


def test_a_curve_that_is_a_multiple_of_the_reference_has_that_dvr_with_a_perfect_fit() -> None:
    reference = np.exp(-np.arange(10) / 5) + 0.5
    fit = logan_reference(np.outer([0.7, 1.0, 1.3], reference), reference, TEN, t_star=20)
    # the integral over C(T) does not change with k, the reference's over C(T) does: the slope is k
    np.testing.assert_allclose(fit.dvr, [0.7, 1.0, 1.3], rtol=1e-6)
    np.testing.assert_allclose(fit.r2, 1, rtol=1e-6)


def test_slopes_are_those_of_numpys_line_with_and_without_k2_prime() -> None:
    random = np.random.default_rng(0)
    reference = 5 + random.random(10)
    curves = 5 + random.random((7, 10)) + np.linspace(0, 3, 10)
    for k2 in (None, 0.15):
        fit = logan_reference(curves, reference, TEN, t_star=30, k2_prime=k2)
        assert fit.frames.tolist() == [False] * 3 + [True] * 7
        own = 0 if k2 is None else reference / k2
        for row, curve in enumerate(curves):
            x = (integrals(reference[None], TEN)[0] + own)[3:] / curve[3:]
            y = integrals(curve[None], TEN)[0, 3:] / curve[3:]
            slope, intercept = np.polyfit(x, y, 1)
            assert fit.dvr[row] == pytest.approx(slope, rel=1e-5)
            assert fit.intercept[row] == pytest.approx(intercept, rel=1e-4)
            assert fit.r2[row] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-5)


def test_a_curve_that_is_not_positive_has_no_fit() -> None:
    curves = np.ones((2, 10))
    curves[1, 8] = 0
    fit = logan_reference(curves, np.ones(10), TEN, t_star=30)
    assert fit.dvr.tolist() == [1, 0]
    assert fit.r2[1] == 0


def test_too_few_late_frames_are_told() -> None:
    with pytest.raises(MyelinError, match="2 frames lie after t"):
        logan_reference(np.ones((1, 10)), np.ones(10), TEN, t_star=80)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")
def test_a_real_scan_gives_the_published_ratios() -> None:
    (path,) = REAL.glob("*_tacs.tsv")
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))

    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    frames = Frames(column("frame_start"), column("frame_end") - column("frame_start"))
    names = ("Left-Cerebral-White-Matter", "Left-Thalamus", "Right-Cerebellum-Cortex")
    fit = logan_reference(np.array([column(name) for name in names]), column("Left-Cerebellum-Cortex"), frames, 30)
    np.testing.assert_allclose(fit.dvr, [1.244, 1.312, 0.992], atol=0.005)
    assert fit.r2.min() > 0.99
