"""What a file's name tells."""

from __future__ import annotations

import pytest

from napari_myelin.core.data.bids import identify


@pytest.mark.parametrize(
    ("name", "subject", "role"),
    [
        ("sub-01_space-pet_MTRmap.nii.gz", "sub-01", "MTR"),
        ("sub-01_ses-02_space-pet_model-tensor_param-fa_dwimap.nii.gz", "sub-01_ses-02", "FA"),
        ("sub-p3_trc-11CPIB_space-pet_model-Logan_meas-DVR_mimap.nii.gz", "sub-p3", "dvr"),
        ("sub-01_trc-11CPIB_space-pet_desc-noisefree_model-Logan_meas-DVR_mimap.nii", "sub-01", "noisefree"),
        ("sub-01_FLAIR.nii.gz", "sub-01", "flair"),
        ("sub-01_space-pet_label-L_mask.nii.gz", "sub-01", "lesion"),
        ("patient7_RD.nii.gz", None, "RD"),
        ("sub-01_trc-11CPIB_space-pet_desc-predicted_model-Logan_meas-DVR_mimap.nii.gz", "sub-01", None),
        ("sub-01_space-pet_desc-lossSaliencyMTR_map.nii.gz", "sub-01", None),
        ("brain.nii.gz", None, None),
        ("flair.nii.gz", None, "flair"),
        ("T1.nii", None, "t1w"),
        ("mtr.nii.gz", None, "MTR"),
        ("t1w_old.nii.gz", None, None),
    ],
)
def test_subject_and_role_are_told_by_the_name(name: str, subject: str | None, role: str | None) -> None:
    assert identify(name) == (subject, role)
