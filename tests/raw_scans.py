"""A raw dataset small enough to be prepared in tests, and options that leave out what takes long."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_myelin.core.data.volume import Volume, write_volume
from napari_myelin.core.phantom.cohort import PhantomSubject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prepare.options import AnatomyOptions, DtiOptions, PrepareOptions
from napari_myelin.core.prepare.raw_cohort import write_raw_cohort

PHANTOM = PhantomOptions(patients=1, controls=0, shape=(40, 48, 40), spacing=4.0, seed=11)
OPTIONS = PrepareOptions(anatomy=AnatomyOptions(template=False), dti=DtiOptions(dwi_motion=False))


def write_raw(folder: Path, phantom: PhantomSubject) -> Path:
    """Write a patient with every scan, and sub-02, whose T1w is all that was copied, cut in half."""
    for _ in write_raw_cohort(folder, PHANTOM):
        pass
    # grey matter of the phantom has a DVR of 1, which is what a reference region is
    grey = phantom.volumes["brain"].array & (np.abs(phantom.volumes["noisefree"].array - 1) < 0.02)
    place = folder / "derivatives" / "regions" / "sub-01" / "pet"
    write_volume(place / "sub-01_desc-reference_mask.nii.gz", Volume(grey, phantom.volumes["brain"].affine))
    half = folder / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    half.parent.mkdir(parents=True)
    whole = (folder / "sub-01" / "anat" / "sub-01_T1w.nii.gz").read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    return folder
