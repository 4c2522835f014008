"""Anatomy of a real patient with lesions, every second voxel of it, where the images are beside the checkout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prepare.anatomy import brain_mask, ratio, unbiased
from napari_myelin.core.prepare.nonlinear import warp_to_template
from napari_myelin.core.prepare.raw_phantom import Head, Scan, bias_field, t1w
from napari_myelin.core.prepare.registration import align
from napari_myelin.core.prepare.resampling import resample
from napari_myelin.core.prepare.tissue import CLASSES, fill_lesions, segment
from napari_myelin.core.prepare.transforms import Chain

REAL = Path(__file__).parents[4] / "shared" / "real" / "ms-patient26"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real patient is not in {REAL}: see docs/real-data.md")


@dataclass(frozen=True, eq=False)
class Patient:
    """T1w and T2w, corrected T1w, and masks on its grid; tissue with lesions filled and not."""

    t1w: Volume
    t2w: Volume
    corrected: Volume
    brain: np.ndarray
    lesion: np.ndarray
    filled: np.ndarray
    plain: np.ndarray


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    folder = tmp_path_factory.mktemp("patient")

    def thinned(name: str, mask: bool = False) -> Volume:
        nib.save(nib.load(REAL / f"{name}.nii.gz").slicer[::2, ::2, ::2], folder / f"{name}.nii.gz")
        return read_volume(folder / f"{name}.nii.gz", mask=mask)

    image, lesion = thinned("t1w"), thinned("lesion", mask=True).array
    brain = brain_mask(image).array
    corrected, _ = unbiased(image, brain)
    filled, plain = (segment(each, brain) for each in (fill_lesions(corrected, lesion & brain, brain), corrected))
    return Patient(image, thinned("t2w"), corrected, brain, lesion, filled, plain)


def test_the_brain_is_as_large_as_a_brain_and_holds_the_lesions(patient: Patient) -> None:
    assert 1000 < patient.brain.sum() * patient.t1w.voxel_volume / 1000 < 1700
    assert patient.brain[patient.lesion].mean() > 0.98


def test_a_receive_field_put_on_it_is_taken_off(patient: Patient) -> None:
    field = bias_field(np.random.default_rng(1), patient.t1w.shape, 0.3)
    shaded = Volume((patient.corrected.array * field).astype(np.float32), patient.t1w.affine)
    _, found = unbiased(shaded, patient.brain)
    put, left = field[patient.brain], (field / found)[patient.brain]
    assert left.std() / left.mean() < 0.4 * put.std() / put.mean()


def test_the_ratio_of_t1w_and_t2w_tells_white_matter_from_lesions(patient: Patient) -> None:
    made = ratio(patient.corrected, patient.t2w, patient.brain).array
    white = (patient.filled == CLASSES) & ~patient.lesion
    assert np.median(made[white]) > 1.2
    assert np.median(made[patient.lesion & patient.brain]) < 0.6 * np.median(made[white])


def test_lesions_are_white_matter_where_they_are_filled_and_nothing_else_changes(patient: Patient) -> None:
    inside = patient.lesion & patient.brain
    assert (patient.plain[inside] == CLASSES).mean() < 0.5
    assert (patient.filled[inside] == CLASSES).mean() > 0.9
    outside = patient.brain & ~patient.lesion
    assert (patient.plain != patient.filled)[outside].mean() < 0.01
    assert 350 < (patient.filled == CLASSES).sum() * patient.t1w.voxel_volume / 1000 < 600


def test_the_phantoms_maps_come_into_the_patients_space(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_myelin.core.prepare.nonlinear.WORKING", 2.5)
    phantom = make_subject(0, PhantomOptions(patients=1, controls=0, shape=(64, 80, 64), spacing=2.44, seed=3))
    head, grid = Head(phantom), phantom.volumes["brain"]
    own = Scan(grid.shape, grid.affine, np.eye(4))
    image = np.where(grid.array, t1w(np.random.default_rng(0), head, own), 0).astype(np.float32)
    theirs, _ = unbiased(Volume(image, grid.affine), grid.array)
    stripped = Volume(np.where(patient.brain, patient.corrected.array, 0).astype(np.float32), patient.t1w.affine)
    start = align(stripped, theirs, "affine", mask=patient.brain, centre=True).matrix
    warp = warp_to_template(patient.corrected, patient.brain, theirs, start)
    assert warp.folded == 0
    white = Volume(phantom.volumes["wm"].array.astype(np.float32), grid.affine)
    real = patient.filled == CLASSES

    def dice(chain: Chain) -> float:
        mine = resample(white, patient.t1w, chain).array > 0.5
        return float(2 * (mine & real).sum() / (mine.sum() + real.sum()))

    affine, warped = Chain((start,)), Chain((warp.to_template,))
    assert dice(warped) > dice(affine) + 0.03
    mtr = resample(phantom.volumes["MTR"], patient.t1w, warped).array
    grey = patient.filled == CLASSES - 1
    healthy = real & ~patient.lesion
    contrast = np.median(phantom.volumes["MTR"].array[phantom.volumes["wm"].array]) - np.median(
        phantom.volumes["MTR"].array[grid.array & ~phantom.volumes["wm"].array]
    )
    assert np.median(mtr[healthy]) - np.median(mtr[grey]) > 0.4 * contrast
    # the way back brings the patient's points home
    points = apply_affine(patient.t1w.affine, np.argwhere(patient.brain)[::50])
    assert np.linalg.norm(warp.from_template(warp.to_template(points)) - points, axis=1).mean() < 0.3
