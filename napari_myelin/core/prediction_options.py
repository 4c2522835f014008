"""Options of a prediction, declared once as those of training are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from napari_myelin.core.options import OptionGroup


def refuse_one_draw(draws: int) -> int:
    """Return a number of draws for a standard deviation: 0 for none, or 2 and more.

    Raises
    ------
    ValueError
        If it is 1.
    """
    if draws == 1:
        raise ValueError("a standard deviation needs 2 draws or more")
    return draws


class PredictionOptions(OptionGroup):
    """What is predicted besides the maps, and how."""

    uncertainty: int = Field(
        0, ge=0, le=10_000, description="Draws of noise (and dropout) per model for the uncertainty map; 0: none."
    )
    saliency: bool = Field(False, description="Write each modality's saliency (Eq. 7) and their maximum.")
    saliency_target: Literal["auto", "loss", "dvr"] = Field(
        "auto",
        description="loss: against the measured DVR; dvr: mean predicted DVR in the lesions; auto: loss if it can.",
    )
    saliency_check: bool = Field(
        False, description="Randomise the weights layer by layer and write how much of the saliency is left."
    )
    threshold_value: float | None = Field(
        None, gt=0, description="DVR below which a lesion voxel is demyelinated; by default the model's own threshold."
    )
    resample: bool = Field(False, description="Resample maps that lie on another grid than the subject's first map.")
    window: int | None = Field(
        None,
        ge=0,
        le=512,
        multiple_of=8,
        description="Edge in voxels of overlapping windows to predict in, for a device that cannot hold a volume; "
        "0: the whole volume; none: as the model was trained to. The saliency always takes the whole volume.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the noise: the same seed gives the same maps.")

    _two_draws = field_validator("uncertainty")(refuse_one_draw)

    @field_validator("window")
    @classmethod
    def _large_enough(cls, window: int | None) -> int | None:
        if window is not None and 0 < window < 16:
            raise ValueError("must be 16 or more, or 0 for the whole volume")
        return window
