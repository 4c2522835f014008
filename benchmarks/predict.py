"""Prediction of full-size subjects as a whole process: seconds and peak memory of one, and how many a minute.

    python benchmarks/predict.py [--runs 3] [--json FILE]
    python benchmarks/predict.py --device cuda --batch 40

``napari-myelin-train predict`` on a simulated subject of 128 x 160 x 128 voxels with a model of the paper's size
(32 maps, Sketcher and Refiner). The model's weights are random, which takes the same time as trained ones; start of
Python, reading, prediction, the lesion table and writing are all part of it. With ``--batch`` the same files under so
many names go through one process; a subject's share is taken from the difference to one. Peak memory is of the process,
not of a GPU: the limit is for predicting on a CPU.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import torch
from memory import write_table
from simulated import add_folder, kept_in, simulated
from table import COMMAND, Row, arguments, machine, report, run, save

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.grid import Grid
from napari_myelin.core.data.normalisation import Moments, normalisation
from napari_myelin.core.evaluation.demyelination import Threshold
from napari_myelin.core.inference.model import UNITS, Model, ModelCard, save_model
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.options_file import options_from, preset

SECONDS, PEAK = {"cpu": 30, "cuda": 5}, 2.5e9
A_MINUTE = 50  # subjects, on a GPU
SHAPE, SPACING = (128, 160, 128), 1.22  # voxels, mm


def write_model(path: Path, cohort: Cohort, shape: tuple[int, int, int], maps: int) -> None:
    """Write a model of the paper's networks, its weights random, its constants those of the cohort's first subject."""
    options = options_from({"network": {"maps": maps}}, preset("paper"))
    subject = cohort.subjects[0]
    moments = {}
    for name in (*options.data.modalities, "dvr"):
        array = subject.volume(name).array
        moments[name] = (Moments.of(array), Moments.of(array[array != 0]))
    card = ModelCard(
        modalities=options.data.modalities,
        units=UNITS,
        stages=2,
        options=options,
        grid=Grid(shape, (SPACING,) * 3).to_dict(),
        normalisation=normalisation([moments]).to_dict(),
        threshold=Threshold.fixed(1.0).to_dict(),
    )
    save_model(Model(build_cascade(options.network, len(card.modalities), seed=0), card), path)


def batch_row(words: list[str | Path], cohort: Cohort, folder: Path, count: int, one: float, device: str) -> Row:
    """Predict the subject under ``count`` names in one process, and return the row of how many a minute that is."""
    write_table(cohort, count, folder / "many.tsv")
    done = run(*words, folder / "many.tsv", "--device", device, "--out", folder / "many")
    assert done.code == 0, done.output
    each = (done.seconds - one) / (count - 1)
    target = f"{A_MINUTE} a minute" if device == "cuda" else ""
    reached = 60 / each >= A_MINUTE if device == "cuda" else None
    measured = f"{60 / each:.1f} a minute, {each:.2f} s each; {done.seconds:.1f} s with the start"
    return Row(f"{count} subjects in a process", measured, target, reached, {"seconds": done.seconds, "one": one})


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=0, help="subjects of one process; 0: do not measure it")
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE)
    parser.add_argument("--maps", type=int, default=32)
    add_folder(parser)
    given = parser.parse_args()
    where = machine()
    limit = SECONDS[given.device]
    with tempfile.TemporaryDirectory() as temporary, kept_in(given.cohorts) as cohorts:
        folder, two = Path(temporary), open_cohort(simulated(cohorts, 2, given.shape, SPACING))
        cohort = Cohort(two.root, two.subjects[:1])
        write_model(folder / "model.safetensors", cohort, tuple(given.shape), given.maps)
        write_table(cohort, 1, folder / "one.tsv")
        words: list[str | Path] = [*COMMAND, "predict", folder / "model.safetensors"]
        done = [
            run(*words, folder / "one.tsv", "--device", given.device, "--out", folder / f"out{number}")
            for number in range(given.runs)
        ]
        assert not any(each.code for each in done), done[-1].output
        seconds, peaks = [each.seconds for each in done], [each.peak for each in done]
        middle, peak = statistics.median(seconds), max(peaks)
        took = f"{middle:.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
        size = " x ".join(map(str, given.shape))
        what = f"predict one subject of {size}, {given.maps} maps, Sketcher + Refiner"
        held = f"{peak / 1e9:.2f} GB"
        most, little = (f"under {PEAK / 1e9:.1f} GB", peak < PEAK) if given.device == "cpu" else ("", None)
        rows = [
            Row(f"{what}: time", took, f"under {limit} s", middle < limit, {"seconds": seconds}),
            Row("the same: peak memory of the process", held, most, little, {"peak": peaks}),
        ]
        title = "Prediction of a full-size subject"
        threads = torch.get_num_threads()
        where["device"] = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {threads} threads"
        save(title, rows, given.json, where)
        if given.batch:
            rows.append(batch_row(words, cohort, folder, given.batch, middle, given.device))
    report(title, rows, given.json, where)


if __name__ == "__main__":
    main()
