"""What cropping a network's input to the brain changes, how far each network sees, and what the exact crop saves.

    python benchmarks/crop.py [--epochs 10] [--shape 192 224 192] [--runs 3] [--cohort FULL_SIZE] [--json FILE]

- The reach of each network: the most voxels along an axis between a voxel and one that it depends on.
- The share of the grid that a network must see for the brain's values to stay (the brain's box, the reach, out to the
  stride), for the sample cohort on its fitted grid and for a full-size phantom on the paper's grid.
- A U-Net with instance norm, trained here for some epochs on the sample cohort on a grid of 80 x 80 x 80, and the
  sample model, which has no norm: how much the map changes inside the brain when the input is cut to the brain's box
  (out to multiples of 8, without the reach).
- The residual network of the preset ``accurate``, its weights random, on the full-size phantom in a grid of
  ``--shape``: seconds of a pass and peak memory of a process of its own, whole and cropped in turns, and how the maps
  differ.
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

import numpy as np
import torch
from table import ROOT, Row, arguments, machine, report, resident, run

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.grid import Grid, Placement, fitting_grid
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.events import Finished
from napari_myelin.core.inference.crop import Box, in_box, needed
from napari_myelin.core.inference.model import Model, load_model
from napari_myelin.core.inference.predict import network_inputs
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.networks.reach import reach
from napari_myelin.core.options import NetworkOptions
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.runtime import fill_noise
from napari_myelin.core.training.fit import fit
from napari_myelin.core.working import result_of

SAMPLE, STEP, MODALITIES = ROOT / "sample_data", 8, 4
PAPER, GRID = (128, 160, 128), (80, 80, 80)
NETWORKS = {
    "two-layer": NetworkOptions(generator="two_layer", maps=2, refiners=0),
    "residual network": NetworkOptions(generator="residual", maps=2, refiners=0),
    "residual network, Sketcher and Refiner": NetworkOptions(generator="residual", maps=2, refiners=1),
    "U-Net without norm": NetworkOptions(norm="none", maps=2, refiners=0),
    "U-Net with instance norm": NetworkOptions(maps=2, refiners=0),
}


def placed(subject: Subject, grid: Grid) -> tuple[Placement, Box]:
    """Return where a grid lies in a subject, and the box of its brain."""
    brain = subject.brain(True)
    placement = grid.place(subject.reference(), brain)
    return placement, placement.box(brain.array)


def voxels(box: Box) -> int:
    """Return the voxels of a box."""
    return math.prod(side.stop - side.start for side in box)


def reach_rows(phantom: Subject) -> list[Row]:
    """Return the reach of each network, and what it must see on the two grids."""
    subjects = open_cohort(SAMPLE).subjects
    fitted = result_of(fitting_grid(subjects, None, STEP, resample=True))
    wide = Grid(PAPER, tuple(float(edge) for edge in phantom.reference().spacing))  # type: ignore[arg-type]
    rows = []
    for name, options in NETWORKS.items():
        cascade = build_cascade(options, MODALITIES, seed=0)
        shares = {}
        for where, grid, there in (("sample cohort", fitted, subjects), ("full size", wide, [phantom])):
            boxes = [needed(cascade, placed(subject, grid)[1], grid.shape) for subject in there]
            shares[where] = statistics.mean(voxels(box) / math.prod(grid.shape) for box in boxes)
        far = reach(cascade)
        words = "the whole volume" if far is None else f"{far} voxels"
        seen = ", ".join(f"{where} {share:.2f}" for where, share in shares.items())
        rows.append(Row(f"{name}: reach; must see of the grid", f"{words}; {seen}", values={"reach": far, **shares}))
    return rows


def trained(cohort: Cohort, epochs: int, folder: Path) -> Model:
    """Return a model of the preset ``demo``, trained on a grid with room around the brain."""
    given = {"data": {"shape": list(GRID)}, "training": {"epochs": epochs}, "runtime": {"device": "cpu"}}
    *_, last = fit(cohort, options_from(given, preset("demo")), folder)
    assert isinstance(last, Finished), last
    return load_model(folder / "model.safetensors")


@torch.inference_mode()
def cut_row(name: str, model: Model, subject: Subject) -> Row:
    """Return how much a map changes inside the brain when the network sees no more than the brain's box."""
    card = model.card.model_copy(update={"grid": Grid(GRID, model.grid.spacing).to_dict()})
    model = Model(model.network.eval(), card)
    inputs = network_inputs(model, subject, torch.device("cpu"), resample=True)
    noise = fill_noise(inputs.mri, 0, "crop")
    brain = inputs.placement.to_network(subject.brain(True), order=0).astype(bool)
    box = inputs.placement.box(subject.brain(True).array)
    cut = [
        slice(side.start // STEP * STEP, min(-(-side.stop // STEP) * STEP, edge))
        for side, edge in zip(box, GRID, strict=True)
    ]
    here = (slice(None), slice(None), *cut)
    whole = model.network(inputs.mri, noise)[-1][here][0, 0].numpy()
    seen = inputs.mri[here].contiguous(memory_format=torch.channels_last_3d)
    cropped = model.network(seen, noise[here].contiguous())[-1][0, 0].numpy()
    inside = brain[tuple(cut)]
    share = math.prod(whole.shape) / math.prod(GRID)
    change = np.abs(cropped - whole)[inside] / whole[inside].std()
    mean, most = float(change.mean()), float(np.quantile(change, 0.99))
    words = f"changes by {mean:.2%} of its SD (99 %: {most:.2%}), cropped to {share:.2f} of its voxels"
    return Row(f"{name}: the map inside the brain", words, values={"mean": mean, "99 %": most, "share": share})


def accurate() -> Cascade:
    """Return the residual network of the preset ``accurate``; every layer of it counts."""
    cascade = build_cascade(preset("accurate").network, MODALITIES, seed=0).eval()
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in cascade.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=stream))
    return cascade


@torch.inference_mode()
def child(given: argparse.Namespace) -> None:
    """Predict a cohort's first subject, whole or cropped, write the map inside the brain's box, print what it took."""
    subject, cascade = open_cohort(given.cohort).subjects[0], accurate()
    spacing = tuple(float(edge) for edge in subject.reference().spacing)
    placement, box = placed(subject, Grid(tuple(given.shape), spacing))  # type: ignore[arg-type]
    maps = [placement.to_network(subject.volume(name)) for name in preset("accurate").data.modalities]
    mri = torch.from_numpy(np.stack([(each - each.mean()) / each.std() for each in maps])[None])
    mri = mri.contiguous(memory_format=torch.channels_last_3d)
    noise = torch.zeros(1, 1, *given.shape)
    began = time.perf_counter()
    out = cascade(mri, noise) if given.child == "whole" else in_box(cascade, mri, noise, box)
    seconds = time.perf_counter() - began
    np.save(given.out, out[-1][0, 0][box].numpy())
    seen = voxels(needed(cascade, box, given.shape)) / math.prod(given.shape) if given.child == "cropped" else 1.0
    print(json.dumps({"seconds": seconds, "peak": resident("VmHWM"), "share": seen}))


def cost_rows(given: argparse.Namespace, cohort: Path, folder: Path) -> list[Row]:
    """Return time and memory of the residual network, whole and cropped in turns, and the difference of the maps."""
    took: dict[str, list[dict[str, float]]] = {"whole": [], "cropped": []}
    for _ in range(given.runs):
        for kind, done in took.items():
            words = ("--child", kind, "--cohort", cohort, "--out", folder / f"{kind}.npy")
            process = run(sys.executable, __file__, *words, "--shape", *map(str, given.shape))
            assert process.code == 0, process.output
            done.append(json.loads(process.output.splitlines()[-1]))
    rows, grid = [], " x ".join(map(str, given.shape))
    for kind, done in took.items():
        seconds, peak = [each["seconds"] for each in done], max(each["peak"] for each in done)
        spread = f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
        words = f"{spread}, {peak / 1e9:.2f} GB, sees {done[0]['share']:.2f} of the grid"
        rows.append(Row(f"residual network, 16 maps, {grid}, {kind}", words, values={"runs": done}))
    ratio = [b["seconds"] / a["seconds"] for a, b in zip(took["whole"], took["cropped"], strict=True)]
    words = f"{statistics.median(ratio):.2f} x ({min(ratio):.2f} to {max(ratio):.2f})"
    rows.append(Row("cropped against whole: time", words, values={"ratios": ratio}))
    whole, cropped = (np.load(folder / f"{kind}.npy") for kind in took)
    error = float(np.abs(cropped - whole).max() / whole.std())
    rows.append(Row("cropped against whole: the map", f"{error:.0e} of its SD at most", "1e-4", error < 1e-4))
    return rows


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=10, help="of the U-Net with instance norm, each stage")
    parser.add_argument("--shape", type=int, nargs=3, default=[192, 224, 192], help="grid of the residual network")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", choices=("whole", "cropped"), help=argparse.SUPPRESS)
    parser.add_argument("--cohort", type=Path, help="full-size phantom cohort; by default one is simulated")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given)
        return
    where = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cohort = given.cohort or folder / "cohort"
        if given.cohort is None:
            for _ in write_cohort(cohort, PhantomOptions(patients=1, controls=0)):
                pass
        rows = reach_rows(open_cohort(cohort).subjects[0])
        rows += cost_rows(given, cohort.absolute(), folder)
        sample = open_cohort(SAMPLE)
        model = trained(sample, given.epochs, folder / "run")
    subject = sample.select(["01"]).subjects[0]
    rows.append(cut_row(f"U-Nets with instance norm, {given.epochs} epochs", model, subject))
    rows.append(cut_row("sample model, without norm", load_model(SAMPLE / "model.safetensors"), subject))
    report("The network's input cropped to the brain", rows, given.json, where)


if __name__ == "__main__":
    main()
