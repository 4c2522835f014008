"""Prediction of a large volume on a processor with few large arrays: the same functions, to float error.

The system hands out a fresh array page by page, which takes more time than many a layer that fills it, and a
convolution of two joined volumes needs both of them a second time. Here a convolution goes slab by slab over the volume
and the layers after it work in place (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_myelin.core.networks.layers import InstanceNorm

SLAB = 12 * 2**20  # bytes of a slab's output: it stays in the cache, and its memory is used again by the next one


def pays(x: Tensor) -> bool:
    """Return whether a volume is worth it: nothing is to be learnt, a processor, one subject, more than a few slabs."""
    return not torch.is_grad_enabled() and x.device.type == "cpu" and x.shape[0] == 1 and x[0].nbytes > SLAB


def slabs(x: Tensor) -> Iterator[slice]:
    """Yield ranges of the first axis I of (1, C, I, J, K), each of about `SLAB` bytes."""
    thickness = max(1, SLAB // x[:, :, :1].nbytes)
    for first in range(0, x.shape[2], thickness):
        yield slice(first, min(first + thickness, x.shape[2]))


def convolve(layer: nn.Conv3d, volumes: Sequence[Tensor]) -> Tensor:
    """Return a layer's convolution of volumes joined along their channels, which are never joined as a whole.

    Parameters
    ----------
    layer
        Kernel 3, padding 1, stride 1.
    volumes
        Each (1, C, I, J, K).
    """
    edges = volumes[0].shape[2:]
    out = _empty(volumes[0], layer.out_channels, *edges)
    for slab in slabs(out):
        if slab.start == 0:  # one array for all: what a slab sees, and a layer of voxels on either side
            seen = _empty(out, layer.in_channels, slab.stop + 2, *edges[1:])
        low, high = max(slab.start - 1, 0), min(slab.stop + 1, edges[0])
        there = slice(low - slab.start + 1, high - slab.start + 1)
        torch.cat([volume[:, :, low:high] for volume in volumes], dim=1, out=seen[:, :, there])
        # beyond its ends a volume is padded with zeros
        seen[:, :, : there.start] = 0
        seen[:, :, there.stop :] = 0
        out[:, :, slab] = functional.conv3d(
            seen[:, :, : slab.stop - slab.start + 2], layer.weight, layer.bias, padding=(0, 1, 1)
        )
    return out


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty((1, *shape), dtype=like.dtype, memory_format=torch.channels_last_3d)


def finish(x: Tensor, layers: Iterable[nn.Module]) -> Tensor:
    """Put the layers that follow a convolution on what it returned, in place.

    Parameters
    ----------
    x
        (1, C, I, J, K); nobody else's.
    layers
        Activations and dropout that work in place, and `InstanceNorm`.
    """
    for layer in layers:
        if isinstance(layer, InstanceNorm):
            layer.in_place(x)
        else:
            layer(x)
    return x
