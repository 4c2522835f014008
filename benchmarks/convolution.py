"""Forward and backward pass of the generator on one volume: our convolution against torch's own, in one run.

    python benchmarks/convolution.py [--pairs 7] [--threads 1] [--json FILE]

torch sends one small volume through another path than a batch of them, which is slow; `networks.convolution` cuts it in
two. The same weights, in turn, both ways; medians of the pairs' ratios.
"""

from __future__ import annotations

import statistics
import time

import torch
from table import Row, arguments, machine, report
from torch import nn

from napari_myelin.core.networks import convolution
from napari_myelin.core.networks.unet import UNet

CHANNELS = 5  # four modalities and the noise
GRIDS = ((8, (48, 64, 48)), (8, (32, 32, 32)), (16, (48, 64, 48)), (32, (48, 64, 48)))


def seconds(network: nn.Module, x: torch.Tensor) -> float:
    """Return how long a forward and a backward pass take."""
    began = time.perf_counter()
    network(x).sum().backward()
    return time.perf_counter() - began


def compared(maps: int, shape: tuple[int, int, int], pairs: int) -> Row:
    """Return the row of one generator on one grid."""
    network = UNet(CHANNELS, maps, dropout=0.0).to(memory_format=torch.channels_last_3d)
    x = torch.randn(1, CHANNELS, *shape).contiguous(memory_format=torch.channels_last_3d)
    small, times = convolution.SMALL, []
    for _ in range(pairs + 1):  # the first is not counted
        convolution.SMALL = -1  # nothing is small: torch's own
        theirs = seconds(network, x)
        convolution.SMALL = small
        times.append((seconds(network, x), theirs))
    ours, theirs = (statistics.median(column) for column in zip(*times[1:], strict=True))
    ratios = [one / other for one, other in times[1:]]
    low, middle, high = statistics.quantiles(ratios, n=4)
    measured = f"{middle:.2f} x ({low:.2f} to {high:.2f}), {ours:.3f} s against {theirs:.3f} s"
    what = f"{maps} maps, {' x '.join(map(str, shape))}"
    return Row(what, measured, "below 1 x", middle < 1, {"pairs": times})


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    where = machine()
    rows = [compared(maps, shape, given.pairs) for maps, shape in GRIDS]
    report(f"Generator, forward and backward, one volume, threads: {given.threads}", rows, given.json, where)


if __name__ == "__main__":
    main()
