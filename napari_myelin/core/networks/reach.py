"""How far a network sees: the voxels of its input that a voxel of its output depends on, from its layers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import singledispatch

from torch import nn

from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.networks.residual import ResidualBlock, ResidualUNet
from napari_myelin.core.networks.two_layer import TwoLayer
from napari_myelin.core.networks.unet import UNet

Span = tuple[int, int]  # first and last voxel along an axis; every axis is treated alike
EVERYWHERE: Span = (-(2**40), 2**40)  # still beyond every volume after all halvings
FAR = 2**30


@singledispatch
def seen(layer: object, span: Span) -> Span:
    """Return the voxels of the input that a span of the output depends on; they may lie outside the volume.

    Exact for all generators without normalisation. A norm sees the whole volume, and so it is said of every layer that
    is not known here.

    Parameters
    ----------
    layer
        A layer, a generator or a cascade.
    span
        First and last voxel of its output along one axis.
    """
    return EVERYWHERE


@seen.register(nn.LeakyReLU)
@seen.register(nn.Dropout)
def _voxelwise(layer: nn.Module, span: Span) -> Span:
    return span


@seen.register(nn.Sequential)
def _sequence(layer: nn.Sequential, span: Span) -> Span:
    return _before(layer, span)


@seen.register(nn.Conv3d)
def _convolution(layer: nn.Conv3d, span: Span) -> Span:
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    return span[0] * stride - padding, span[1] * stride - padding + kernel - 1


@seen.register(nn.ConvTranspose3d)
def _deconvolution(layer: nn.ConvTranspose3d, span: Span) -> Span:
    # output stride * i - padding + t comes from input i, for each t of the kernel
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    return -((kernel - 1 - padding - span[0]) // stride), (span[1] + padding) // stride


@seen.register(ResidualBlock)
def _block(layer: ResidualBlock, span: Span) -> Span:
    return _before([layer.first, layer.second], span)


@seen.register(ResidualUNet)
def _residual(layer: ResidualUNet, span: Span) -> Span:
    # the way through all levels: what skips a level sees less
    for decoder, up in zip(layer.decoders, layer.ups, strict=True):
        first, last = seen(decoder, span)
        span = seen(up, ((first - 1) // 2, (last + 1) // 2))  # doubled linearly, from the two nearest
    down = [part for level in zip(layer.encoders[:-1], layer.downs, strict=True) for part in level]
    return _before([layer.stem, *down, layer.encoders[-1]], span)


@seen.register(TwoLayer)
def _two_layer(layer: TwoLayer, span: Span) -> Span:
    return seen(layer.layers, span)


@seen.register(UNet)
def _unet(layer: UNet, span: Span) -> Span:
    down = [part for level in zip(layer.encoders, layer.downs, strict=True) for part in level]
    up = [part for level in zip(layer.ups, layer.decoders, strict=True) for part in level]
    return _before([*down, layer.bottom, *up, layer.last], span)


@seen.register(Cascade)
def _cascade(layer: Cascade, span: Span) -> Span:
    return _before(layer.stages, span)


def _before(layers: Iterable[nn.Module], span: Span) -> Span:
    for layer in reversed(list(layers)):
        span = seen(layer, span)
    return span


def stride(network: nn.Module) -> int:
    """Return the voxels of a step at a generator's (or a cascade's) coarsest level: it repeats itself so often."""
    if isinstance(network, Cascade):
        return math.lcm(*(stride(stage) for stage in network.stages))
    return math.prod(layer.stride[0] for layer in network.modules() if isinstance(layer, nn.Conv3d))


def reach(network: nn.Module) -> int | None:
    """Return the most voxels along an axis between a voxel and one that it depends on, None for the whole volume."""
    spans = [(voxel, *seen(network, (voxel, voxel))) for voxel in range(stride(network))]
    farthest = max(max(voxel - first, last - voxel) for voxel, first, last in spans)
    return farthest if farthest < FAR else None
