"""What each thing inside a step is worth: the paper's Refiner step as it is, and with one of them taken away.

    python benchmarks/inside.py [--maps 32] [--shape 64 64 64] [--device cuda --precision bf16-mixed] [--compile]

The same weights, volumes and updates (D against G, then G against D), in turns, so that whatever else the machine does
hits all; the median of the turns' ratios, the first turn left out. Above 1 x a step takes so much longer without it.
On a CPU the first rows are about our own layers, which a GPU does not go through.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from table import Row, arguments, machine, report
from torch import Tensor, nn

from napari_myelin.core.losses.adversarial import discriminator_loss, generator_loss
from napari_myelin.core.losses.reconstruction import region_l1
from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.networks.convolution import Conv3d
from napari_myelin.core.networks.layers import Dropout, InstanceNorm
from napari_myelin.core.options import NetworkOptions
from napari_myelin.core.runtime import to_device

MODALITIES = 4
AS_IT_IS = "as it is"


class OneByOne(nn.Module):
    """A discriminator that sees its patches one after the other."""

    def __init__(self, discriminator: nn.Module, patch: int) -> None:
        super().__init__()
        self.discriminator, self.patch = discriminator, patch

    def forward(self, mri: Tensor, dvr: Tensor) -> Tensor:
        """Return the logits of all patches."""
        cuts = [slice(first, first + self.patch) for first in range(0, max(mri.shape[2:]), self.patch)]
        boxes = [(slice(None), slice(None), i, j, k) for i in cuts for j in cuts for k in cuts]
        boxes = [box for box in boxes if mri[box].numel()]
        return torch.cat([self.discriminator(mri[box], dvr[box]) for box in boxes])


class Step:
    """A step of the Refiner's stage by hand, with networks, memory and optimiser of a kind."""

    def __init__(self, given: argparse.Namespace, generator: nn.Module, discriminator: nn.Module, fused: bool) -> None:
        self.device, self.half = torch.device(given.device), given.precision == "bf16-mixed"
        self.generator, self.discriminator = generator, discriminator
        self.adams = [torch.optim.Adam(n.parameters(), lr=1e-4, fused=fused) for n in (generator, discriminator)]
        stream = torch.Generator().manual_seed(0)
        volume = (1, 1, *given.shape)
        mri = torch.randn(1, MODALITIES, *given.shape, generator=stream).to(self.device)
        self.mri = mri.contiguous(memory_format=torch.channels_last_3d)
        self.dvr, self.sketch = (torch.randn(volume, generator=stream).to(self.device) for _ in range(2))
        self.regions = torch.randint(0, 3, volume, generator=stream, dtype=torch.uint8).to(self.device)
        self.keeps_order = True

    def __call__(self) -> float:
        """Return the seconds of a step."""
        half = torch.autocast(self.device.type, torch.bfloat16) if self.half else nullcontext()
        began = self._now()
        seen = torch.cat([self.mri, self.sketch], dim=1)
        seen = seen.contiguous(memory_format=torch.channels_last_3d if self.keeps_order else torch.contiguous_format)
        of_g, of_d = self.adams
        with half:
            fake = self.generator(seen).float()
            of_d.zero_grad()
            loss = discriminator_loss(
                self.discriminator(self.mri, self.dvr), self.discriminator(self.mri, fake.detach())
            )
        loss.backward()
        of_d.step()
        of_g.zero_grad()
        self.discriminator.requires_grad_(False)
        with half:
            adversarial = generator_loss(self.discriminator(self.mri, fake))
        (adversarial + 100 * region_l1(fake, self.dvr, self.regions)).backward()
        self.discriminator.requires_grad_(True)
        of_g.step()
        return self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def swapped(network: nn.Module, ours: type[nn.Module], forward: Callable[..., Tensor]) -> nn.Module:
    """Return a network whose layers of a kind compute as torch's own do."""
    theirs = type(f"Plain{ours.__name__}", (ours,), {"forward": forward})
    for module in network.modules():
        if type(module) is ours:
            module.__class__ = theirs
    return network


def steps(given: argparse.Namespace) -> dict[str, Step]:
    """Return the step as it is, and without each thing, by its name."""
    network = NetworkOptions(maps=given.maps, discriminator_maps=given.maps, patch=math.gcd(32, *given.shape))
    device = torch.device(given.device)
    generator = to_device(build_cascade(network, MODALITIES, seed=0).stages[1], device).train()
    discriminator = to_device(build_discriminator(network, MODALITIES, seed=1), device)

    def step(change: Callable[[nn.Module], nn.Module] = lambda network: network, fused: bool = True) -> Step:
        return Step(given, change(copy.deepcopy(generator)), copy.deepcopy(discriminator), fused)

    made = {AS_IT_IS: step(), "one pass of ADAM (fused)": step(fused=False)}
    made["channels-last memory"] = step(lambda n: n.to(memory_format=torch.contiguous_format))
    made["channels-last memory"].keeps_order = False
    one_by_one = step()
    one_by_one.discriminator = OneByOne(one_by_one.discriminator, network.patch)
    made["all patches in one batch"] = one_by_one
    if device.type == "cpu":
        made["lone volumes cut in two"] = step(lambda n: swapped(n, Conv3d, nn.Conv3d.forward))
        made["our instance norm"] = step(lambda n: swapped(n, InstanceNorm, nn.GroupNorm.forward))
        made["our dropout"] = step(lambda n: swapped(n, Dropout, nn.Dropout.forward))
    else:
        made["instance norm as a batch norm"] = step(lambda n: swapped(n, InstanceNorm, nn.GroupNorm.forward))
        made["dropout with a mask of bytes"] = step(lambda n: swapped(n, Dropout, nn.Dropout.forward))
    if given.precision == "bf16-mixed":
        made["bfloat16"] = step()
        made["bfloat16"].half = False
    if given.compile:
        made["(torch.compile added)"] = step()
        for each in (made["(torch.compile added)"].generator, made["(torch.compile added)"].discriminator):
            each.compile(dynamic=False)
    return made


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--maps", type=int, default=32)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 64, 64))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, which takes minutes first")
    given = parser.parse_args()
    where, made = machine(), steps(given)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(given.turns + 1):
        for name, step in made.items():
            seconds[name].append(step())
    rows = []
    for name, times in seconds.items():
        ratios = [one / other for one, other in zip(times[1:], seconds[AS_IT_IS][1:], strict=True)]
        text = f"{statistics.median(times[1:]):.3f} s"
        if name != AS_IT_IS:
            text += f", {statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        what = name if name == AS_IT_IS or name.startswith("(") else f"without {name}"
        rows.append(Row(what, text, values={"seconds": times[1:], "ratios": ratios}))
    shape, threads = " x ".join(map(str, given.shape)), torch.get_num_threads()
    where["device"] = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, threads: {threads}"
    title = f"A step of the Refiner's stage, {given.maps} maps, {shape} voxels, {given.precision}"
    report(title, rows, given.json, where)


if __name__ == "__main__":
    main()
