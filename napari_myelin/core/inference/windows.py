"""Prediction in overlapping windows, for a device that cannot hold a whole volume, blended exactly.

A window is a small volume: the whole cascade sees it alone, with its own borders and, where a network normalises, with
its own statistics, so that a model that normalises predicts best in windows of the size that it was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import Tensor

from napari_myelin.core.inference.crop import Box, in_box

STEP = 8  # voxels: every window begins where the networks' halvings of the whole volume begin, too
SMALLEST = 16  # voxels: three times halved, a norm still needs two


def axis_windows(size: int, edge: int) -> list[tuple[int, np.ndarray]]:
    """Return, for each window along one axis, its first voxel and its voxels' weights, which sum to 1 at each voxel.

    The windows begin half an edge apart or so, the last one ends with the axis. A weight is a Hann window's,
    ``sin^2(pi (n + 1/2) / edge)``, over the sum of all windows' at that voxel: a border of a window, where the network
    knows least of what lies around, counts least, and a constant comes back as it is, also at the ends of the axis.

    Parameters
    ----------
    size
        Voxels of the axis, a multiple of `STEP`.
    edge
        Voxels of a window, a multiple of `STEP`; one that is longer than the axis is cut to it.
    """
    edge = min(edge, size)
    count = 1 + math.ceil((size - edge) / (edge / 2))
    places = np.linspace(0, (size - edge) / STEP, count).round().astype(int) * STEP
    starts = sorted({int(place) for place in places})
    hann = np.sin(np.pi * (np.arange(edge) + 0.5) / edge) ** 2
    total = np.zeros(size)
    for start in starts:
        total[start : start + edge] += hann
    return [(start, hann / total[start : start + edge]) for start in starts]


def in_windows(
    network: Callable[[Tensor, Tensor], list[Tensor]], mri: Tensor, noise: Tensor, edge: int
) -> list[Tensor]:
    """Return what a cascade makes of a volume, window by window; only a window's layers are on the device at a time.

    The images and the noise, one volume a channel, are there as a whole: the layers are many times as large.

    Parameters
    ----------
    network
        From images and noise to a list of maps (B, C, I, J, K), as `Cascade`.
    mri
        (B, M, I, J, K), z-scored.
    noise
        (B, 1, I, J, K); windows that overlap see the same noise.
    edge
        Of a window in voxels, a multiple of 8.

    Returns
    -------
    list of Tensor
        Each map's mean over the windows by `axis_windows`, float32, on the CPU.
    """
    shape = tuple(mri.shape[2:])
    blended: list[Tensor] = []
    for corner in product(*(axis_windows(size, edge) for size in shape)):
        box = (slice(None), slice(None), *(slice(start, start + len(weights)) for start, weights in corner))
        seen = mri[box].contiguous(memory_format=torch.channels_last_3d)
        maps = network(seen, noise[box].contiguous())
        (_, i), (_, j), (_, k) = corner
        # added up in float64, which not every device has: on the CPU
        weights = torch.from_numpy(i[:, None, None] * j[:, None] * k)
        if not blended:
            blended = [torch.zeros((*part.shape[:2], *shape), dtype=torch.float64) for part in maps]
        for whole, part in zip(blended, maps, strict=True):
            whole[box] += weights * part.cpu().double()
    return [whole.float() for whole in blended]


def whole_or_windows(
    network: Callable[[Tensor, Tensor], list[Tensor]], mri: Tensor, noise: Tensor, edge: int, box: Box | None = None
) -> list[Tensor]:
    """Return what a cascade makes of a volume: in windows of ``edge`` voxels, or at once where 0 or one holds it all.

    Parameters
    ----------
    network, mri, noise, edge
        As for `in_windows`.
    box
        All that is wanted: at once, a network that does not normalise sees no more than that takes (`in_box`). Windows
        are the same with and without it.
    """
    if edge and any(size > edge for size in mri.shape[2:]):
        return in_windows(network, mri, noise, edge)
    return network(mri, noise) if box is None else in_box(network, mri, noise, box)
