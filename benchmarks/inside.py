"""What each thing inside a step is worth: the paper's Refiner step as it is, and with one of them taken away.

    python benchmarks/inside.py [--maps 32] [--shape 64 64 64] [--device cuda --precision bf16-mixed] [--compile]

The same weights, volumes and updates (D against G, then G against D), in turns, so that whatever else the machine does
hits all; the median of the turns' ratios, the first turn left out. Above 1 x a step takes so much longer without it.
What stands in brackets is not done in a training: it is added, and worth something below 1 x. One that fails is a row
that says so. Some rows are about our own layers on a CPU, which a GPU does not go through. The last but those that are
compiled is what the state costs that is saved after each epoch.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from by_hand import MODALITIES, OneByOne, Step, swapped
from contestants import add_size, device_of
from remote import Remote
from schedule import SUBJECTS
from table import Row, arguments, failure, machine, report, save
from torch import nn

from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.networks.convolution import Conv3d
from napari_myelin.core.networks.layers import Dropout, InstanceNorm
from napari_myelin.core.options import NetworkOptions
from napari_myelin.core.runtime import to_device
from napari_myelin.core.training.state import save_state

AS_IT_IS, COMPILED = "as it is", "(torch.compile added)"


class Elsewhere:
    """The step as it is, in a process of its own, in which cuDNN tries its algorithms and keeps the fastest.

    cuDNN's choice for a convolution is kept for the process, whether it was tried or guessed: both cannot be in one.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        words = ("--device", given.device, "--precision", given.precision, "--maps", str(given.maps))
        self.process = Remote(__file__, *words, "--shape", *map(str, given.shape), "--trying")

    def __call__(self) -> float:
        """Return the seconds of a step."""
        return self.process.ask("step")["seconds"]


def networks(given: argparse.Namespace) -> tuple[nn.Module, nn.Module, int]:
    """Return the cascade's stages, a discriminator and the edge of its patches."""
    network = NetworkOptions(maps=given.maps, discriminator_maps=given.maps, patch=math.gcd(32, *given.shape))
    device = torch.device(given.device)
    stages = to_device(build_cascade(network, MODALITIES, seed=0).stages, device).train()
    return stages, to_device(build_discriminator(network, MODALITIES, seed=1), device), network.patch


def steps(given: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """Return the step as it is, and without each thing, by its name."""
    stages, discriminator, patch = networks(given)

    def step(
        change: Callable[[nn.Module], nn.Module] = lambda network: network,
        fused: bool = True,
        order: torch.memory_format = torch.channels_last_3d,
    ) -> Step:
        pair = (change(copy.deepcopy(network).to(memory_format=order)) for network in (stages[1], discriminator))
        return Step(given, *pair, fused=fused, order=order)

    if given.trying:
        return {AS_IT_IS: step()}
    made: dict[str, Callable[[], float]] = {AS_IT_IS: step(), "one pass of ADAM (fused)": step(fused=False)}
    made["channels-last memory"] = step(order=torch.contiguous_format)
    made["all patches in one batch"] = one_by_one = step()
    one_by_one.discriminator = OneByOne(one_by_one.discriminator, patch)
    if given.device == "cpu":
        made["lone volumes cut in two"] = step(lambda n: swapped(n, Conv3d, nn.Conv3d.forward))
        made["our instance norm"] = step(lambda n: swapped(n, InstanceNorm, nn.GroupNorm.forward))
        made["our dropout"] = step(lambda n: swapped(n, Dropout, nn.Dropout.forward))
    else:
        made["instance norm as a batch norm"] = step(lambda n: swapped(n, InstanceNorm, nn.GroupNorm.forward))
        made["dropout with a mask of bytes"] = step(lambda n: swapped(n, Dropout, nn.Dropout.forward))
    if given.precision == "bf16-mixed":
        made["bfloat16"] = whole = step()
        whole.half = False
    if given.device == "cuda":
        made["(cudnn.benchmark added)"] = Elsewhere(given)
    if given.compile:
        made[COMPILED] = compiled = step()
        for each in (compiled.generator, compiled.discriminator):
            each.compile(dynamic=False)
    return made


def measure(made: dict[str, Callable[[], float]], turns: int) -> list[Row]:
    """Let all take turns, and return a row for each."""
    seconds: dict[str, list[float]] = {name: [] for name in made}
    failed: dict[str, str] = {}
    for _ in range(turns + 1):
        for name, step in made.items():
            if name in failed:
                continue
            try:
                seconds[name].append(step())
            except Exception as error:
                if name == AS_IT_IS:
                    raise
                failed[name] = failure(error)
    rows = []
    for name, times in seconds.items():
        what = name if name == AS_IT_IS or name.startswith("(") else f"without {name}"
        if name in failed:
            rows.append(Row(what, failed[name], reached=False))
            continue
        ratios = [one / other for one, other in zip(times[1:], seconds[AS_IT_IS][1:], strict=True)]
        text = f"{statistics.median(times[1:]):.3f} s"
        if name != AS_IT_IS:
            text += f", {statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append(Row(what, text, values={"seconds": times[1:], "ratios": ratios}))
    return rows


def saving(given: argparse.Namespace, step: Callable[[], float], times: int) -> Row:
    """Return a row of what the state costs that `fit` saves after each epoch, measured beside steps as they are."""
    stages, discriminator, _ = networks(given)
    adams = [torch.optim.Adam(network.parameters(), fused=True) for network in (stages[1], discriminator)]
    for adam in adams:
        for parameter in adam.param_groups[0]["params"]:
            parameter.grad = torch.zeros_like(parameter)
        adam.step()  # now there are the two moments of each weight
    modules = {"cascade": stages, "discriminator": discriminator}
    modules |= {"generator_optimiser": adams[0], "discriminator_optimiser": adams[1]}
    seconds, shares = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(times + 1):
            one = step()
            began = time.perf_counter()
            path = save_state(Path(folder), number, {name: module.state_dict() for name, module in modules.items()})
            seconds.append(time.perf_counter() - began)
            shares.append(seconds[-1] / (SUBJECTS * one))
        size = path.stat().st_size
    middle, share = statistics.median(seconds[1:]), statistics.median(shares[1:])
    text = f"{middle:.2f} s for {size / 1e6:.0f} MB, {share:.1%} of the {SUBJECTS} steps of an epoch"
    return Row(
        "a state saved after an epoch", text, values={"seconds": seconds[1:], "shares": shares[1:], "size": size}
    )


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    add_size(parser)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--trying", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.trying:
        torch.backends.cudnn.benchmark = True
        step = steps(given)[AS_IT_IS]
        for _ in sys.stdin:
            print(json.dumps({"seconds": step()}), flush=True)
        return
    where, made = machine(), steps(given)
    shape = " x ".join(map(str, given.shape))
    where["device"] = device_of(given)
    title = f"A step of the Refiner's stage, {given.maps} maps, {shape} voxels, {given.precision}"
    # a compiler takes minutes, if it ends at all: the others are measured and written before
    last = {name: made.pop(name) for name in (COMPILED,) if name in made}
    rows = [*measure(made, given.turns), saving(given, made[AS_IT_IS], given.turns)]
    save(title, rows, given.json, where)
    if last:
        rows += measure({AS_IT_IS: made[AS_IT_IS], **last}, given.turns)[1:]
    for step in made.values():
        if isinstance(step, Elsewhere):
            step.process.end()
    report(title, rows, given.json, where)


if __name__ == "__main__":
    main()
