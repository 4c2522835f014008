"""Options of the preparation: defaults, units, bounds and help, once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_myelin.core.options import OptionGroup

JOBS = "Subjects side by side, each in a process of its own."


class MtrOptions(OptionGroup):
    """Magnetisation transfer ratio."""

    register_pair: bool = Field(True, description="Register the image with MT pulse to the one without (rigid).")


class DtiOptions(OptionGroup):
    """Diffusion tensor."""

    denoise: bool = Field(False, description="Marchenko-Pastur PCA denoising of the DWI before anything else.")
    dwi_motion: bool = Field(True, description="Register every DWI volume to the first b = 0 and rotate its gradient.")
    max_b: float = Field(0.0, ge=0, description="Leave out volumes above this b value in s/mm2; 0 takes all.")
    gradients: Literal["auto", "fsl", "scanner"] = Field(
        "auto",
        description="What the b-vectors refer to: fsl (the image's axes, x mirrored on right-handed ones), scanner "
        "(RAS+ mm), or auto: whichever makes neighbouring fibres meet, fsl where that does not tell.",
    )


class DvrOptions(OptionGroup):
    """Distribution volume ratio by Logan's graphical analysis with a reference region."""

    t_star: float = Field(30.0, ge=0, description="Fit frames whose middle is this late or later, min.")
    k2_prime: float | None = Field(
        None, gt=0, description="Mean clearance of the reference region in 1/min; none leaves its term out."
    )
    pet_motion: bool = Field(False, description="Register every frame to the late frames' mean (rigid).")
    reference_labels: tuple[int, ...] = Field(
        (8, 47),
        description="Labels of the reference region where its file holds labels (FreeSurfer's cerebellar cortex).",
    )


class AnatomyOptions(OptionGroup):
    """Grid, white matter and template."""

    reference_spacing: float = Field(
        1.22,
        gt=0.3,
        le=10,
        description="Voxel size in mm of the grid that stands in for a PET's where there is none.",
    )
    fill_lesions: bool = Field(True, description="Fill lesions in the T1w before its tissue is segmented.")
    template: bool = Field(True, description="Register to the MNI template (non-linear), for the group threshold.")
    ratio: bool = Field(False, description="Write the T1w / T2w ratio as a modality, T1T2.")


class PrepareOptions(OptionGroup):
    """Everything that the preparation of a cohort can be told."""

    mtr: MtrOptions = Field(MtrOptions(), description="Magnetisation transfer ratio.")
    dti: DtiOptions = Field(DtiOptions(), description="Diffusion tensor.")
    dvr: DvrOptions = Field(DvrOptions(), description="Distribution volume ratio.")
    anatomy: AnatomyOptions = Field(AnatomyOptions(), description="Grid, white matter and template.")
