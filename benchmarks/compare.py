"""Side by side in one run: our ``fit``, the same training as a plain PyTorch loop in float32, and MONAI's networks.

    python benchmarks/compare.py [--device cuda --precision bf16-mixed] [--maps 32] [--shape 128 160 128] [--json FILE]

The same simulated subjects in the same order, the same number of steps, batch 1, first weights alike where the networks
are. Each is a process of its own, with memory and libraries as they are by themselves. They take turns, an epoch each,
so that whatever else the machine does hits all, and while one trains the others wait; times are medians over turns,
ratios medians of the turns' own ratios, the first turn of a stage is left out. What comes on top of the steps at the
end of an epoch (a state saved) is not timed here: ``training_step.py`` and ``schedule.py`` do. The plain loop computes
in float32 as torch does by itself (on a GPU its convolutions may use TF32), MONAI in the precision asked for.
Peak memory is that of the process (CPU) or of torch's allocations (GPU).
Operations are counted by torch (multiply-adds of convolutions and matrix products, twice), the rate beside them is that
of a large matrix product in the precision of ``fit``, measured in the same run. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from contestants import FIT, MONAI, PLAIN, add_size, device_of, enter, options_of, spacing
from remote import Remote
from rivals import Held, Loop, monai_build, our_build
from simulated import add_folder, kept_in, simulated
from table import Row, arguments, machine, report, resident
from torch.utils.flop_counter import FlopCounterMode

STAGES = ("sketcher", "refiner")


def entered(name: str, given: argparse.Namespace) -> Remote:
    """Return a contestant in a process of its own."""
    words = [f"--{key}={getattr(given, key)}" for key in ("device", "precision", "maps", "turns", "cohort")]
    words += ["--compile"] if given.compile else []
    return Remote(__file__, *words, "--shape", *(str(edge) for edge in given.shape), "--only", name)


def take_turns(contestants: dict[str, Remote], given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Let all train both stages in turns; return seconds of a step by turn, and the last turn's loss, of each.

    A rival whose process ends is taken out of ``contestants``.
    """
    out: dict[str, dict[str, Any]] = {}
    for stage, of_stage in enumerate(STAGES):
        for name in contestants:
            out[f"{name} {of_stage}"] = {"seconds": []}
        for turn in range(given.turns + 1):
            for name in list(contestants):
                try:
                    if not turn:
                        contestants[name].ask("open", stage)
                    done = contestants[name].ask("turn")
                except RuntimeError:
                    if name == FIT:
                        raise
                    contestants.pop(name).end()
                    continue
                row = out[f"{name} {of_stage}"]
                row["loss"] = done["loss"]
                if turn:
                    row["seconds"].append(done["seconds"] / given.subjects)
    return out


def finish(device: str) -> None:
    """Wait until a device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def operations(name: str, given: argparse.Namespace, stage: int) -> int:
    """Return the floating-point operations of a step, counted on networks that compute nothing."""
    options, meta = options_of(given), torch.device("meta")
    build = monai_build(options, name) if name in MONAI else our_build(options)
    maps = [torch.empty(1, channels, *given.shape, device=meta) for channels in (len(options.data.modalities), 1)]
    loop = Loop(build, options, {"": Held(*maps, maps[1].to(torch.uint8))}, meta)
    loop.open(stage)
    with FlopCounterMode(display=False) as counter:
        loop.step("")
    return counter.get_total_flops()


def product_rate(device: str, precision: str) -> float:
    """Return the operations a second of a large matrix product in the precision of ``fit``."""
    size, dtype = 8192 if device == "cuda" else 2048, torch.float32 if precision == "32-true" else torch.bfloat16
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(12):
        finish(device)
        began = time.perf_counter()
        one @ other
        finish(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(seconds[2:])


def rows_of(names: list[str], given: argparse.Namespace) -> list[Row]:
    """Measure, and return the table."""
    contestants = {name: entered(name, given) for name in names}
    try:
        measured = take_turns(contestants, given)
        peaks = {name: each.ask("peak")["peak"] for name, each in contestants.items()}
    finally:
        for each in contestants.values():
            each.end()
    rate, voxels = product_rate(given.device, given.precision), math.prod(given.shape)
    rows = [Row(name, "failed, see above", reached=False) for name in names if name not in contestants]
    for stage, of_stage in enumerate(STAGES):
        ours = measured[f"{FIT} {of_stage}"]["seconds"]
        for name in contestants:
            values = measured[f"{name} {of_stage}"]
            step, count = statistics.median(values["seconds"]), operations(name, given, stage)
            ratios = [mine / theirs for mine, theirs in zip(ours, values["seconds"], strict=True)]
            ratio, memory = statistics.median(ratios), peaks[FIT] / peaks[name]
            text = (
                f"{step:.3f} s a step, {voxels / step / 1e6:.2f} million voxels/s, peak {peaks[name] / 1e9:.2f} GB, "
                f"l1 {values['loss']:.3f}, {count / 1e12:.3f} TFLOP, {count / step / rate:.0%} of the product's rate"
            )
            target, reached = "", None
            if name != FIT:
                spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
                text += f"; fit takes {ratio:.2f} x its time ({spread}), {memory:.2f} x its memory"
                target, reached = target_of(name, given.device, ratio, memory)
            elif given.device == "cuda":
                target, reached = "35 % of the rate or more", count / step / rate >= 0.35
            more = {"operations": count, "peak": peaks[name], "ratios": ratios, "rate": rate}
            rows.append(Row(f"{of_stage}, {name}", text, target, reached, {**values, **more}))
    return rows


def target_of(name: str, device: str, ratio: float, memory: float) -> tuple[str, bool | None]:
    """Return what is to be reached against a rival, and whether it was."""
    if name == PLAIN and device == "cuda":
        return "fit at most 0.20 x its time, 0.50 x its memory", ratio <= 0.2 and memory <= 0.5
    if device == "cuda":
        return "", None
    wanted = 1.10 if name == PLAIN else 0.70
    return f"fit at most {wanted:.2f} x its time", ratio <= wanted


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    add_size(parser)
    add_folder(parser)
    parser.add_argument("--subjects", type=int, default=2, help="steps of an epoch, which is a turn")
    parser.add_argument("--turns", type=int, default=5, help="of each stage, after the first")
    parser.add_argument("--rivals", nargs="*", default=[PLAIN, MONAI[0]], choices=(PLAIN, *MONAI))
    parser.add_argument("--cohort", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        return alone(given)
    where = machine()
    with kept_in(given.cohorts) as folder:
        given.cohort = simulated(folder, given.subjects, given.shape, spacing(given))
        rows = rows_of([FIT, *given.rivals], given)
    shape_ = " x ".join(map(str, given.shape))
    where["device"] = device_of(given)
    title = f"Side by side: {given.maps} maps, {shape_} voxels, fit in {given.precision}"
    report(title, rows, given.json, where)


def alone(given: argparse.Namespace) -> None:
    """Be a contestant: do what is asked line by line, and answer with a line."""
    with tempfile.TemporaryDirectory() as folder:
        contestant = enter(given.only, given, Path(folder))
        for line in sys.stdin:
            word, *stage = line.split()
            answer: dict[str, float] = {}
            if word == "open":
                contestant.open(int(stage[0]))
            elif word == "turn":
                contestant.settle()
                finish(given.device)
                began = time.perf_counter()
                answer["loss"] = contestant.turn()
                finish(given.device)
                answer["seconds"] = time.perf_counter() - began
            else:
                on_gpu = given.device == "cuda"
                answer["peak"] = torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM")
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
