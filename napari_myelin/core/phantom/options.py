"""What a simulated cohort is made of."""

from __future__ import annotations

from pydantic import Field, model_validator

from napari_myelin.core.options import OptionGroup

SMALLEST = 16  # voxels an edge: what the networks take at least


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

    @model_validator(mode="after")
    def _something_to_simulate(self) -> PhantomOptions:
        if self.patients + self.controls == 0:
            raise ValueError("patients and controls are both 0: nobody is left to simulate")
        if min(self.shape) < SMALLEST:
            raise ValueError(f"shape {self.shape} must have {SMALLEST} voxels or more along each axis")
        return self
