"""What a simulated cohort is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from napari_myelin.core.options import OptionGroup

SMALLEST = 16  # voxels an edge: what the networks take at least


@dataclass(frozen=True)
class Site:
    """What a scanner and its protocol make of the same tissue; 1 is site A.

    ``mtr`` multiplies the MTR (pulse and timing of the saturation differ between vendors), ``noise`` the SD of every
    MR map's noise, ``blur`` the width of every MR map's resolution, ``b1`` what is left of the transmit field.
    The PET is the same scanner's.
    """

    mtr: float = 1.0
    noise: float = 1.0
    blur: float = 1.0
    b1: float = 1.0


SITES = {"A": Site(), "B": Site(mtr=0.86, noise=1.4, blur=1.5, b1=1.5)}


class PhantomOptions(OptionGroup):
    """A simulated cohort."""

    patients: int = Field(18, ge=0, le=100_000, description="Patients, numbered first.")
    controls: int = Field(10, ge=0, le=100_000, description="Healthy controls, numbered after the patients.")
    shape: tuple[int, int, int] = Field(
        (128, 160, 128),
        description="Voxels along right, anterior, superior; smaller than the brain: the deep white matter.",
    )
    spacing: float = Field(1.22, gt=0.3, le=10, description="Voxel size in mm.")
    seed: int = Field(0, ge=0, lt=2**31, description="The same seed gives the same arrays.")
    site: Literal["A", "B"] = Field(
        "A",
        description="Scanner of the MR maps; B has a smaller MTR, more noise and a coarser resolution than A, to try a "
        "model on another site than it was trained on.",
    )

    @model_validator(mode="after")
    def _something_to_simulate(self) -> PhantomOptions:
        if self.patients + self.controls == 0:
            raise ValueError("patients and controls are both 0: nobody is left to simulate")
        if min(self.shape) < SMALLEST:
            raise ValueError(f"shape {self.shape} must have {SMALLEST} voxels or more along each axis")
        return self
