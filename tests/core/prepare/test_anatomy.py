"""Brain mask, bias field, lesion filling and white matter of a simulated head whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prepare.anatomy import brain_mask, unbiased
from napari_myelin.core.prepare.raw_phantom import Head, Tissues, make_scan, t1w
from napari_myelin.core.prepare.tissue import fill_lesions, segment, white_matter, white_matter_of_labels

Simulated = tuple[Volume, Tissues, Volume]  # as scanned, what is where, and corrected for the bias field


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    options = PhantomOptions(patients=1, controls=0, shape=(48, 60, 48), spacing=3.3, seed=11)
    head = Head(make_subject(0, options))
    random = np.random.default_rng(5)
    scan = make_scan(random, head, (2.8, 2.8, 2.8), left_first=True)
    image, truth = Volume(t1w(random, head, scan), scan.affine), head.at(scan.points())
    return image, truth, unbiased(image, truth.maps["brain"] > 0.5)[0]


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def test_the_brain_is_found_inside_skull_and_scalp(simulated: Simulated) -> None:
    image, truth, _ = simulated
    assert dice(brain_mask(image).array, truth.maps["brain"] > 0.5) > 0.95


def test_a_stripped_image_says_itself_where_the_brain_is(simulated: Simulated) -> None:
    image, truth, _ = simulated
    brain = truth.maps["brain"] > 0.5
    stripped = np.where(brain, image.array + 1, 0)
    stripped[tuple(np.argwhere(brain).mean(axis=0).astype(int))] = 0  # a hole is brain too
    assert brain_mask(Volume(stripped, image.affine)).array[brain].mean() > 0.99


def test_n4_evens_out_white_matter(simulated: Simulated) -> None:
    image, truth, corrected = simulated
    white = truth.wm > 0.95
    before, after = (array[white].std() / array[white].mean() for array in (image.array, corrected.array))
    assert after < 0.75 * before
    with pytest.raises(MyelinError, match="the mask is empty"):
        unbiased(image, np.zeros_like(white))


def test_white_matter_with_and_without_lesion_filling(simulated: Simulated) -> None:
    _, truth, corrected = simulated
    brain, lesion = truth.maps["brain"] > 0.5, truth.maps["lesion"] > 0.5
    filled = fill_lesions(corrected, lesion, brain)
    np.testing.assert_array_equal(filled.array[~lesion], corrected.array[~lesion])
    without, with_filling = segment(corrected, brain), segment(filled, brain)
    assert (without[lesion] == 3).mean() < 0.5  # lesions look like grey matter
    assert (with_filling[lesion] == 3).mean() > 0.8
    white = white_matter(with_filling, lesion)
    assert white[lesion].all()
    assert dice(white, ((truth.wm > 0.5) & brain) | lesion) > 0.85


def test_labels_of_other_programs_are_known() -> None:
    freesurfer = np.array([0, 2, 3, 41, 42, 77, 8, 253])
    assert white_matter_of_labels(freesurfer).tolist() == [False, True, False, True, False, True, False, True]
    assert white_matter_of_labels(np.array([0, 1, 2, 3])).tolist() == [False, False, False, True]
    with pytest.raises(MyelinError, match="expected FreeSurfer's"):
        white_matter_of_labels(np.array([0, 17, 53]))
