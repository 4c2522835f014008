"""Smooth gains, anew for each cube: what is left of a scanner's transmit field after its correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_myelin.core.data.bids import DIFFUSION
from napari_myelin.core.data.normalisation import Normalisation
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.runtime import sent


def field_zeros(normalisation: Normalisation | None, modalities: Sequence[str]) -> tuple[float | None, ...]:
    """Return, for each modality, the z-score of a map's 0, or None where a field does not reach the map.

    A gain multiplies a map in its own unit, so that its z-score moves in proportion to the distance from that of 0.
    Maps of the diffusion are logarithms of ratios of one coil's signals: a gain cancels out.

    Raises
    ------
    MyelinError
        If the constants are not there yet.
    """
    if normalisation is None:
        raise MyelinError("the cohort is not prepared yet")
    return tuple(None if name.upper() in DIFFUSION else normalisation.zero(name) for name in modalities)


def with_field(
    mri: Tensor, inside: Tensor, sd: float, zeros: Sequence[float | None], random: np.random.Generator
) -> Tensor:
    """Return cubes whose maps are multiplied, inside the brain, by 1 + a smooth random field.

    Half of the field's variance is the same all over a cube, half lies in values at its eight corners, trilinear in
    between: over cubes of 70 mm as smooth as a transmit field is, and steeper over smaller ones.

    Parameters
    ----------
    mri
        (N, M, I, J, K), z-scored.
    inside
        (N, 1, I, J, K), the brain, bool.
    sd
        Of the field at a cube's corners, as a share of the map; 0.75 of it in the middle.
    zeros
        From `field_zeros`.
    random
        Decides the fields; each map that they reach has its own.

    Raises
    ------
    ValueError
        If ``zeros`` does not say of each map whether a field reaches it.
    """
    shape = (mri.shape[0], sum(zero is not None for zero in zeros))
    if zeros and not shape[1]:
        return mri
    level, corners = (
        sent(torch.from_numpy(random.normal(0, sd / 2**0.5, (*shape, n, n, n)).astype(np.float32)), mri.device)
        for n in (1, 2)
    )
    fields = level + functional.interpolate(corners, size=mri.shape[2:], mode="trilinear", align_corners=True)
    each = iter(fields.split(1, dim=1))
    moved = [
        one if zero is None else one + inside * next(each) * (one - zero)
        for one, zero in zip(mri.split(1, dim=1), zeros, strict=True)
    ]
    return torch.cat(moved, dim=1)
