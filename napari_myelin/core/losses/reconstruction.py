"""L1 terms: plain (Eq. 4) and region-weighted (Eq. 5)."""

from __future__ import annotations

import torch
from torch import Tensor


def plain_l1(predicted: Tensor, dvr: Tensor) -> Tensor:
    """Return the mean absolute error over all voxels (Eq. 4).

    Parameters
    ----------
    predicted, dvr
        (B, 1, I, J, K), the same unit.
    """
    return (predicted - dvr).abs().mean()


def region_l1(predicted: Tensor, dvr: Tensor, regions: Tensor) -> Tensor:
    """Return the mean over regions of each region's mean absolute error, averaged over subjects (Eq. 5).

    Every region weighs the same however few voxels it has. A region without voxels is left out of its
    subject's mean (a control has no lesion), so the value stays comparable and never becomes NaN.
    The paper's further 1/M only rescales the term and is left out.

    Parameters
    ----------
    predicted, dvr
        (B, 1, I, J, K), the same unit.
    regions
        (B, 1, I, J, K) integers: 0 other, 1 NAWM, 2 lesion.
    """
    error = (predicted - dvr).abs()
    subjects = []
    for one_error, one_region in zip(error, regions, strict=True):
        # counted with a matrix of memberships, so that no voxel count is copied off the device
        member = torch.stack([one_region == label for label in (0, 1, 2)]).flatten(1).to(one_error.dtype)
        count = member.sum(1)
        mean = (member * one_error.flatten()).sum(1) / count.clamp(min=1)
        subjects.append(mean.sum() / (count > 0).sum())
    return torch.stack(subjects).mean()
