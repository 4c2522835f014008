"""Convolutions that a single small volume goes through fast on a processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# torch (2.11 to 2.13) asks oneDNN for a lone volume only where channels x I x J are more than this; a smaller one goes
# through a path that takes up to thirteen times as long in float32 (benchmarks/convolution.py); bfloat16 never does
SMALL = 20480
# voxels of an axis below which torch (2.13) returns what lay in memory before as the kernel's gradient in bfloat16
THIN = 3


class Conv3d(nn.Conv3d):
    """`torch.nn.Conv3d`, the same function: a lone small volume is cut in two, because torch is slow on one.

    The halves overlap by what the kernel needs, so that nothing changes at the cut. Only on a processor, and only
    where it pays: a batch of one whose padding is zeros. A volume too thin for torch's bfloat16 is computed in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return what `torch.nn.Conv3d` returns, within float error: (B, inputs, I, J, K) to (B, outputs, ...)."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and min(x.shape[2:]) < THIN:
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        edge = (x.shape[2] + 2 * padding - kernel) // stride + 1
        small = x.device.type == "cpu" and x.shape[0] == 1 and x[0, :, :, :, 0].numel() <= SMALL
        if not small or kernel == 1 or edge % 2 or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        padded = functional.pad(x, (0, 0, 0, 0, padding, padding))
        length = stride * (edge // 2 - 1) + kernel
        first, second = padded[:, :, :length], padded[:, :, stride * (edge // 2) :][:, :, :length]
        halves = torch.cat([first, second]).contiguous(memory_format=torch.channels_last_3d)
        around = (0, int(self.padding[1]), int(self.padding[2]))
        out = functional.conv3d(halves, self.weight, self.bias, self.stride, around)
        # channels-last halves lie one behind the other in memory: joined without a copy, and channels-last again
        voxels = out.permute(0, 2, 3, 4, 1).contiguous().view(1, edge, *out.shape[3:], self.out_channels)
        return voxels.permute(0, 4, 1, 2, 3)
