"""Instance norm and dropout that are exact, fast and small in channels-last memory, where torch's own are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

BLOCK = 2**20  # numbers that are gone through at once: they stay in the cache from one operation to the next
VOXELS = (1, 2, 3)  # the axes I, J, K of a sample


class InstanceNorm(nn.GroupNorm):
    """Each map of each sample with its own mean and standard deviation, then a learnt scale and shift.

    On a CPU torch (2.11 to 2.13) adds up voxel after voxel in float32 where memory is channels-last, so that its group
    norm is wrong by 3e-3 over 128 x 160 x 128 voxels, and its instance norm's gradients are wrong altogether. Here sums
    are taken block by block. On a GPU torch's group norm leaves channels-last memory and computes in float32
    throughout; a batch norm of a single sample is the same function and does neither.

    Parameters
    ----------
    maps
        Number of feature maps.
    """

    def __init__(self, maps: int) -> None:
        super().__init__(maps, maps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, maps, I, J, K)."""
        # of tensors without values the memory alone is asked: torch's own norm takes as much, in fewer operations
        if x.device.type == "cpu" and not isinstance(x, FakeTensor):
            out: Tensor = _Normalise.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
            return out
        if x.shape[0] == 1 and x[0, 0].numel() > 1:
            return functional.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(x)

    def constants(self, parts: Iterable[Sums]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the scale and shift that normalise a sample, given the sums of its parts (maps, 1, 1, 1).

        The mean and 1 / SD that they come from follow.
        """
        return _constants(parts, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class Sums:
    """Voxels of a part of a sample, and each map's mean and sum of squares around it, (maps,); they add up."""

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, part: Tensor) -> Sums:
        """Return the sums of a part (maps, I, J, K)."""
        part = part.to(torch.promote_types(part.dtype, torch.float32))
        mean = part.mean(VOXELS)
        return cls(part[0].numel(), mean, (part - _shaped(mean)).square_().sum(VOXELS))

    def __add__(self, other: Sums) -> Sums:
        # Chan, Golub & LeVeque 1979; in float64, whatever the number of parts
        count, delta = self.count + other.count, other.mean.double() - self.mean
        mean = self.mean + delta * (other.count / count)
        squares = self.squares.double() + other.squares + delta.square() * (self.count * other.count / count)
        return Sums(count, mean, squares)


def _blocks(sample: Tensor) -> Iterator[Tensor]:
    """Yield views of a sample (maps, I, J, K) along I: where it is channels-last, each is one piece of memory."""
    yield from sample.split(max(1, BLOCK // sample[:, 0].numel()), dim=1)


def _constants(
    parts: Iterable[Sums], weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    first, *others = parts
    whole, kind = sum(others, first), first.mean.dtype
    mean = whole.mean.double()
    inverse = torch.rsqrt(whole.squares.double() / whole.count + eps)
    scale = weight * inverse
    scale, shift, mean, inverse = (_shaped(each.to(kind)) for each in (scale, bias - mean * scale, mean, inverse))
    return scale, shift, mean, inverse


def _shaped(of_maps: Tensor) -> Tensor:
    return of_maps[:, None, None, None]


class _Normalise(torch.autograd.Function):
    """The norm and its gradient, block by block."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        out, constants = torch.empty_like(x), []
        for sample, to in zip(x, out, strict=True):
            scale, shift, mean, inverse = _constants(map(Sums.of, _blocks(sample)), weight, bias, eps)
            constants += [mean, inverse]
            for block, into in zip(_blocks(sample), _blocks(to), strict=True):
                torch.addcmul(shift, block, scale, out=into)
        ctx.save_for_backward(x, weight, *constants)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *constants = ctx.saved_tensors
        out = torch.empty_like(x)
        of_weight, of_bias = (torch.zeros_like(weight, dtype=torch.float64) for _ in range(2))
        for number, (sample, g, to) in enumerate(zip(x, gradient, out, strict=True)):
            mean, inverse = constants[2 * number : 2 * number + 2]
            total, product = (torch.zeros_like(of_bias) for _ in range(2))
            for block, g_block in zip(_blocks(sample), _blocks(g), strict=True):
                total += g_block.sum(VOXELS, dtype=mean.dtype)
                product += ((block - mean) * g_block).sum(VOXELS)
            product *= inverse.flatten()
            of_weight += product
            of_bias += total
            # with z the normalised value: dx = weight / sd (g - mean(g) - z mean(z g)) = a g + b x + c
            count, sd = sample[0].numel(), inverse.flatten().double()
            a = weight * sd
            b = -a * sd * product / count
            c = -a * total / count - b * mean.flatten()
            a, b, c = (_shaped(each.to(mean.dtype)) for each in (a, b, c))
            for block, g_block, into in zip(_blocks(sample), _blocks(g), _blocks(to), strict=True):
                torch.addcmul(c, g_block, a, out=into).addcmul_(block, b)
        return out, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None


class Dropout(nn.Dropout):
    """Dropout in place; on a CPU it draws 16 random bits a number instead of 64 and keeps a mask of bytes.

    The rate is exact to 1 / 65536.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop out of (B, C, I, J, K), which nobody may need as it was."""
        if not self.training or self.p == 0:
            return x
        if x.device.type == "cpu":
            out: Tensor = _Drop.apply(x, _kept(x, self.p), 1 / (1 - self.p))  # type: ignore[no-untyped-call]
            return out
        if x.device.type == "mps":
            return super().forward(x)
        return torch.native_dropout(x, self.p, True)[0]  # a mask of bytes as well


def _kept(like: Tensor, rate: float) -> Tensor:
    """Return which numbers are kept, in the memory order of ``like``."""
    drawn = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = drawn.view(torch.int16)[: like.numel()] < round((1 - rate) * 2**16) - 2**15
    # every number is drawn alike, so any order will do: the one that needs no copy
    return kept.as_strided(like.size(), like.stride())


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return x.mul_(kept).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return (gradient * kept).mul_(ctx.scale), None, None
