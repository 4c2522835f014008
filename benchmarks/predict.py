"""Prediction of one full-size subject as a whole process: seconds and peak memory.

    python benchmarks/predict.py [--runs 3] [--json FILE]

``napari-myelin-train predict`` on a simulated subject of 128 x 160 x 128 voxels with a model of the paper's size
(32 maps, Sketcher and Refiner). The model's weights are random, which takes the same time as trained ones; start of
Python, reading, prediction, the lesion table and writing are all part of it.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import torch
from table import COMMAND, Row, arguments, machine, report, run

from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.data.grid import Grid
from napari_myelin.core.data.normalisation import Moments, normalisation
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.inference.model import UNITS, Model, ModelCard, save_model
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.options_file import preset
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions

SECONDS, PEAK = 45, 3e9


def write_model(path: Path, cohort: Path) -> None:
    """Write a model of the paper's networks, its weights random, its constants those of the cohort's first subject."""
    options = preset("paper")
    subject = open_cohort(cohort).subjects[0]
    moments = {}
    for name in (*options.data.modalities, "dvr"):
        array = subject.volume(name).array
        moments[name] = (Moments.of(array), Moments.of(array[array != 0]))
    spacing = options.data.spacing or 1.22
    card = ModelCard(
        modalities=options.data.modalities,
        units=UNITS,
        stages=2,
        options=options,
        grid=Grid(options.data.shape or (128, 160, 128), (spacing,) * 3).to_dict(),
        normalisation=normalisation([moments]).to_dict(),
        threshold=Threshold.fixed(1.0).to_dict(),
    )
    save_model(Model(build_cascade(options.network, len(card.modalities), seed=0), card), path)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    where = machine()
    done = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for _ in write_cohort(folder / "cohort", PhantomOptions(patients=1, controls=0)):
            pass
        write_model(folder / "model.safetensors", folder / "cohort")
        for number in range(given.runs):
            words = ("predict", folder / "model.safetensors", folder / "cohort", "--out", folder / f"out{number}")
            done.append(run(*COMMAND, *words))
            assert done[-1].code == 0, done[-1].output
    seconds = [each.seconds for each in done]
    peaks = [each.peak for each in done]
    middle, peak = statistics.median(seconds), max(peaks)
    rows = [
        Row(
            "predict one subject of 128 x 160 x 128, 32 maps, Sketcher + Refiner: time",
            f"{middle:.1f} s ({min(seconds):.1f} to {max(seconds):.1f})",
            f"under {SECONDS} s",
            middle < SECONDS,
            {"seconds": seconds},
        ),
        Row(
            "the same: peak memory", f"{peak / 1e9:.2f} GB", f"under {PEAK / 1e9:.0f} GB", peak < PEAK, {"peak": peaks}
        ),
    ]
    report(f"Prediction, {torch.get_num_threads()} threads", rows, given.json, where)


if __name__ == "__main__":
    main()
