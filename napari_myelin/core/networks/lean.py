"""Prediction of a large volume on a processor with few large arrays: the same functions, to float error.

The system hands out a fresh array page by page, which takes more time than many a layer that fills it, and to join two
volumes takes both a second time. Here a layer goes over the volume slab by slab, each slab in one thread from the
convolution to the norm's sums, while it is in the cache; what comes after the sums works in place. Threads wait for
each other twice a layer, however many slabs there are (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

from napari_myelin.core.networks.layers import InstanceNorm, Sums

SLAB = 12 * 2**20  # bytes of a slab's output: its memory is used again by the next one

Result = TypeVar("Result")


def pays(x: Tensor) -> bool:
    """Return whether a volume is worth it: nothing is to be learnt, a processor, one subject, more than a few slabs."""
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or isinstance(x, FakeTensor):
        return False  # tensors without values know nothing of threads
    return x.device.type == "cpu" and x.shape[0] == 1 and x[0].nbytes > SLAB


def convolved(layer: nn.Module, volumes: Sequence[Tensor], after: Iterable[nn.Module]) -> Tensor:
    """Return what a convolution and the layers that follow it make of volumes joined along their channels.

    Parameters
    ----------
    layer
        A convolution, or a deconvolution.
    volumes
        Each (1, C, I, J, K); several only for a convolution with kernel 3, padding 1 and stride 1, which goes slab by
        slab, so that they are never joined as a whole.
    after
        LeakyReLU in place, `InstanceNorm`, dropout, in this order; each may be missing.
    """
    after = list(after)
    act = next((each for each in after if isinstance(each, nn.LeakyReLU)), nn.Identity())
    norm = next((each for each in after if isinstance(each, InstanceNorm)), None)
    dropout = next((each for each in after if isinstance(each, nn.Dropout)), nn.Identity())
    by_slabs = isinstance(layer, nn.Conv3d) and layer.stride[0] == 1
    if by_slabs:
        shape = (1, layer.out_channels, *volumes[0].shape[2:])
        out = torch.empty(shape, dtype=volumes[0].dtype, memory_format=torch.channels_last_3d)
    else:
        out = layer(*volumes)

    def compute(slab: slice) -> Sums | None:
        part = _convolve(layer, volumes, slab) if isinstance(layer, nn.Conv3d) and by_slabs else out[:, :, slab]
        act(part)
        sums = None if norm is None else Sums.of(part[0])
        if by_slabs:
            out[:, :, slab] = part
        return sums

    sums = _in_threads(compute, _slabs(out))
    if norm is not None:
        scale, shift, *_ = norm.constants(part for part in sums if part is not None)

        def normalise(slab: slice) -> None:
            out[0, :, slab].mul_(scale).add_(shift)

        _in_threads(normalise, _slabs(out))
    dropped: Tensor = dropout(out)  # in place; drawn at once, so that it depends on the seed alone
    return dropped


def _slabs(x: Tensor) -> list[slice]:
    """Return ranges of the first axis I of (1, C, I, J, K), each of about `SLAB` bytes."""
    thickness = max(1, SLAB // x[:, :, :1].nbytes)
    return [slice(first, min(first + thickness, x.shape[2])) for first in range(0, x.shape[2], thickness)]


def _convolve(layer: nn.Conv3d, volumes: Sequence[Tensor], slab: slice) -> Tensor:
    """Return a slab of a convolution with kernel 3 and stride 1, whose volumes are padded with zeros."""
    size = volumes[0].shape[2]
    low, high = max(slab.start - 1, 0), min(slab.stop + 1, size)
    seen = torch.cat([volume[:, :, low:high] for volume in volumes], dim=1)
    if low == slab.start or high == slab.stop:
        seen = functional.pad(seen, (0, 0, 0, 0, low - slab.start + 1, slab.stop + 1 - high))
    return functional.conv3d(seen, layer.weight, layer.bias, padding=(0, 1, 1))


def _in_threads(work: Callable[[slice], Result], slabs: Sequence[slice]) -> list[Result]:
    """Return what ``work`` returns for each slab; as many threads as torch has take one slab after the other."""
    threads = torch.get_num_threads()
    if threads == 1 or len(slabs) == 1:
        return [work(slab) for slab in slabs]
    try:
        with ThreadPoolExecutor(min(threads, len(slabs)), initializer=partial(torch.set_num_threads, 1)) as pool:
            return list(pool.map(torch.inference_mode()(work), slabs))
    finally:
        torch.set_num_threads(threads)  # the number is a thread's own, but new threads take the last one that was set
