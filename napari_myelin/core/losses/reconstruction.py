"""Reconstruction terms: L1, plain (Eq. 4) and region-weighted (Eq. 5), squared errors, and what is learnt beside."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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


def weighted_l2(predicted: Tensor, dvr: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of squared errors, whose best prediction is the mean of what may be measured.

    Parameters
    ----------
    predicted, dvr
        (B, 1, I, J, K), the same unit.
    weights
        (B, 1, I, J, K), 0 or more; where all are 0 the mean is 0.
    """
    return (weights * (predicted - dvr).square()).sum() / weights.sum().clamp(min=1)


def variance_term(log_variance: Tensor, predicted: Tensor, dvr: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of ``log v + (predicted - dvr)^2 / v``: least where v is the variance of the error.

    It is twice the negative logarithm of a normal likelihood, without its constant. The prediction is taken as it
    is: an uncertain voxel is not allowed to count less for the map itself (Seitzer et al. 2022, arXiv:2203.09168).

    Parameters
    ----------
    log_variance, predicted, dvr
        (B, 1, I, J, K); no gradient reaches ``predicted``.
    weights
        As for `weighted_l2`.
    """
    squares = (predicted.detach() - dvr).square()
    term = log_variance + squares * torch.exp(-log_variance)
    return (weights * term).sum() / weights.sum().clamp(min=1)


def region_entropy(logits: Tensor, regions: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean cross-entropy of telling the regions apart.

    A noisy PET teaches slowly what a lesion is; the regions themselves are known without noise. A network that learns
    both from the same features (Caruana 1997, doi:10.1023/A:1007379606734) was less biased in a phantom's lesions
    (docs/experiments.md).

    Parameters
    ----------
    logits
        (B, 3, I, J, K).
    regions
        (B, 1, I, J, K) integers: 0 other, 1 NAWM, 2 lesion.
    weights
        (B, 1, I, J, K), as for `weighted_l2`.
    """
    entropy = functional.cross_entropy(logits, regions[:, 0].long(), reduction="none")
    return (weights[:, 0] * entropy).sum() / weights.sum().clamp(min=1)
