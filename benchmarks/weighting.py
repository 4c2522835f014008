"""Whether the region-weighted L1 (Eq. 5) does on the phantom what it does in the paper's tables.

    python benchmarks/weighting.py [--epochs 30] [--threads 0] [--json FILE]

Weighting should make the MSE worse and the lesions better. A U-Net of 8 maps without adversary learns from 12 simulated
patients at 2.2 mm, once with the plain L1 and once with the weighted one, and is tested on 6 others, after each of the
last ten epochs, which are averaged. Errors are given against the noise-free DVR, and against the measured one, whose
noise is in both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from table import Row, arguments, machine, report

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.evaluation.metrics import discrepancy, mse, voxel_error
from napari_myelin.core.events import Epoch, Failed, StopRequest
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.training.fit import fit

TRAIN, TEST = 12, 6
PHANTOM = PhantomOptions(patients=TRAIN + TEST, controls=0, shape=(72, 88, 72), spacing=2.2, seed=0)
LATE = 10  # epochs that are averaged: from one to the next, the bias in lesions swings by as much as the effect
TRUTHS = {"noisefree": "noise-free", "dvr": "measured"}
MEASURES = ("MSE", "lesions", "lesion voxels", "NAWM")
BETTER = {"MSE": False, "lesions": True}  # with the weighted L1, as the paper has it


def train(cohort: Cohort, l1: str, epochs: int, threads: int, run: Path) -> Iterator[Path]:
    """Train a U-Net with one of the L1 terms; yield a model file after each of the last `LATE` epochs."""
    changes = {
        "network": {"refiners": 0},
        "loss": {"adversarial": False, "sketcher_l1": l1},
        "data": {"validation": 0.0},
        "training": {"epochs": epochs},
        "runtime": {"device": "cpu", "threads": threads},
    }
    options = options_from(changes, preset("demo"))
    for late in range(epochs - LATE + 1, epochs + 1):
        stop = StopRequest()  # the run stops after the epoch, which writes its weights, and is gone on with
        for event in fit(cohort, options, run, stop=stop, resume=run.exists()):
            if isinstance(event, Failed):
                raise RuntimeError(event.cause)
            if isinstance(event, Epoch) and event.epoch == late < epochs:
                stop.request()
        yield run / "last.safetensors"


def errors(model: Path, cohort: Cohort, truth: str) -> dict[str, list[float]]:
    """Return each measure for each subject, against ``dvr`` or ``noisefree``."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for subject in cohort.subjects:
        predicted = predict([load_model(model)], subject).dvr.array
        true, lesion = subject.volume(truth).array, subject.volume("lesion").array
        nawm = subject.volume("wm").array & ~lesion
        found["MSE"].append(mse(true, predicted))
        found["lesions"].append(discrepancy(true, predicted, lesion))
        found["lesion voxels"].append(voxel_error(true, predicted, lesion))
        found["NAWM"].append(discrepancy(true, predicted, nawm))
    return found


def mean_over_epochs(found: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Return each measure for each subject, averaged over the epochs."""
    return {name: np.mean([each[name] for each in found], axis=0).tolist() for name in MEASURES}


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0, help="0 leaves the choice to torch")
    given = parser.parse_args()
    where = machine()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for _ in write_cohort(folder / "cohort", PHANTOM):
            pass
        cohort = open_cohort(folder / "cohort")
        keys = [subject.key for subject in cohort.subjects]
        late: dict[str, dict[str, list[dict[str, list[float]]]]] = {}
        for l1 in ("plain", "region"):
            found = late[l1] = {truth: [] for truth in TRUTHS}
            for model in train(cohort.select(keys[:TRAIN]), l1, given.epochs, given.threads, folder / l1):
                for truth in TRUTHS:
                    found[truth].append(errors(model, cohort.select(keys[TRAIN:]), truth))
        for truth, name in TRUTHS.items():
            plain, region = (mean_over_epochs(late[l1][truth]) for l1 in ("plain", "region"))
            for measure in MEASURES:
                one, other = float(np.mean(plain[measure])), float(np.mean(region[measure]))
                wanted = BETTER.get(measure)
                target = {None: "", True: "better", False: "worse"}[wanted]
                reached = None if wanted is None else (other < one) == wanted
                measured = f"plain {one:.4f}, weighted {other:.4f}: {other / one:.2f} x"
                values = {"plain": plain[measure], "weighted": region[measure]}
                rows.append(Row(f"{measure}, against {name} DVR", measured, target, reached, values))
    report(f"Weighting the L1 by region, epochs {given.epochs - LATE + 1} to {given.epochs}", rows, given.json, where)


if __name__ == "__main__":
    main()
