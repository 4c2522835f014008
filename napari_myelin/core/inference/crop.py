"""Prediction of the part of a volume that is wanted, from no more of it than that depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from napari_myelin.core.networks.reach import seen, stride

Box = tuple[slice, slice, slice]


def needed(network: object, box: Box, shape: Sequence[int]) -> Box:
    """Return what a network must see of a volume of ``shape`` so that what it says in a box does not change.

    The box and as far around it as the network sees, out to multiples of its stride, inside the volume. Of a network
    that normalises over the volume (instance norm), or of one that is not known, that is the whole volume: its
    statistics are those of all that it sees, and a crop would change every voxel (docs/performance.md).

    Parameters
    ----------
    network
        A `Cascade`, or anything else that takes a volume.
    box
        Not empty, inside the volume.
    shape
        Multiples of the network's stride.
    """
    step = stride(network) if isinstance(network, nn.Module) else 1
    around = []
    for wanted, size in zip(box, shape, strict=True):
        first, last = seen(network, (wanted.start, wanted.stop - 1))
        around.append(slice(max(0, first // step * step), min(size, (last // step + 1) * step)))
    i, j, k = around
    return i, j, k


def in_box(network: Callable[[Tensor, Tensor], list[Tensor]], mri: Tensor, noise: Tensor, box: Box) -> list[Tensor]:
    """Return what a cascade makes of a volume inside a box, within float error.

    Where dropout is drawn, it is drawn for what is seen: other numbers than for the whole volume, as likely.

    Parameters
    ----------
    network
        From images and noise to a list of maps (B, C, I, J, K), as `Cascade`.
    mri, noise
        (B, M, I, J, K) and (B, 1, I, J, K), the whole volume.
    box
        What is wanted along I, J, K.

    Returns
    -------
    list of Tensor
        Maps of the whole volume. Where all of it is needed they are whole, else 0 outside the box.
    """
    shape = mri.shape[2:]
    part = needed(network, box, shape)
    if all(each.stop - each.start == size for each, size in zip(part, shape, strict=True)):
        return network(mri, noise)
    here = (slice(None), slice(None), *part)
    maps = network(mri[here].contiguous(memory_format=torch.channels_last_3d), noise[here].contiguous())
    there = (slice(None), slice(None), *box)
    inside = (*there[:2], *(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, part, strict=True)))
    wholes = [each.new_zeros((*each.shape[:2], *shape)) for each in maps]
    for whole, each in zip(wholes, maps, strict=True):
        whole[there] = each[inside]
    return wholes
