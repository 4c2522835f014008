"""What a simulated cohort is made of."""

from __future__ import annotations

from pydantic import Field

from napari_myelin.core.options import OptionGroup


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
