"""Whether the phantom is hard for the right reasons, and quick to make.

    python benchmarks/phantom.py [--seeds 3] [--json FILE]

At 2.2 mm, 12 patients to learn from and 6 to test on: how much of the noise-free DVR inside lesions a random forest on
voxels explains with each set of modalities, and whether free water alone tells demyelinated lesion voxels from the
others. Then whether the same seed gives the same arrays in another process, and the time of cohorts on one core.
``weighting.py`` has the last point of the list.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import roc_auc_score
from table import COMMAND, Row, arguments, machine, report, run

from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.phantom.tissue import DEMYELINATED

TRAIN, TEST = 12, 6
OPTIONS = PhantomOptions(patients=TRAIN + TEST, controls=0, shape=(72, 88, 72), spacing=2.2)
SETS = (("MTR",), ("RD",), ("FA", "RD", "AD"), ("MTR", "RD"), ("MTR", "FA", "RD", "AD"))
MODALITIES = SETS[-1]
AUC = 0.75
CLEARLY = 0.05  # of explained variance: one modality alone has to stay this far below all of them
DIGEST = """
import hashlib
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions
made = make_subject(3, PhantomOptions(shape=(48, 64, 48), spacing=2.44, seed=5))
digest = hashlib.sha256()
for name in sorted(made.volumes):
    digest.update(made.volumes[name].array.tobytes())
print(digest.hexdigest())
"""


def lesion_voxels(seed: int) -> list[dict[str, np.ndarray]]:
    """Return each patient's lesion voxels: modalities, ``noisefree``, ``myelin`` and ``water``."""
    patients = []
    for index in range(TRAIN + TEST):
        made = make_subject(index, OPTIONS.model_copy(update={"seed": seed}))
        lesion = made.volumes["lesion"].array
        voxels = {name: made.volumes[name].array[lesion] for name in (*MODALITIES, "noisefree")}
        patients.append(voxels | {"myelin": made.tissue.myelin[lesion], "water": made.tissue.water[lesion]})
    return patients


def explained(patients: list[dict[str, np.ndarray]], names: tuple[str, ...]) -> float:
    """Return the share of the test voxels' variance of noise-free DVR that a forest explains, 1 - MSE / variance."""

    def inputs(some: list[dict[str, np.ndarray]]) -> np.ndarray:
        return np.concatenate([np.stack([one[name] for name in names], axis=1) for one in some])

    def truth(some: list[dict[str, np.ndarray]]) -> np.ndarray:
        return np.concatenate([one["noisefree"] for one in some])

    train, test = patients[:TRAIN], patients[TRAIN:]
    forest = RandomForestRegressor(200, min_samples_leaf=10, random_state=0, n_jobs=-1)
    forest.fit(inputs(train), truth(train))
    return 1 - float(np.square(truth(test) - forest.predict(inputs(test))).mean() / truth(test).var())


def water_auc(voxels: dict[str, np.ndarray]) -> float:
    """Return how well free water alone tells demyelinated voxels, 0.5 (not at all) to 1, whichever way it points."""
    auc = float(roc_auc_score(voxels["myelin"] < DEMYELINATED, voxels["water"]))
    return max(auc, 1 - auc)


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def information(seeds: int) -> list[Row]:
    """Return the rows on explained variance and water, over cohorts of several seeds."""
    cohorts = [lesion_voxels(seed) for seed in range(seeds)]
    by_set = {names: [explained(patients, names) for patients in cohorts] for names in SETS}
    mtr, rd, dti, two, four = (np.asarray(by_set[names]) for names in SETS)
    holds = {
        SETS[0]: bool((mtr < two).all() and (mtr < four - CLEARLY).all()),
        SETS[1]: bool((rd < four - CLEARLY).all()),
        SETS[2]: bool((dti < four - CLEARLY).all()),
        SETS[3]: bool(((mtr < two) & (two < four)).all()),
        SETS[4]: bool((two < four).all()),
    }
    targets = {
        SETS[0]: "below MTR+RD, clearly below all",
        SETS[1]: "clearly below all",
        SETS[2]: "clearly below all",
        SETS[3]: "between MTR and all",
        SETS[4]: "highest",
    }
    rows = [
        Row(
            f"explained variance in lesions, {'+'.join(names)}", _spread(values), targets[names], holds[names],
            {"values": values},
        )
        for names, values in by_set.items()
    ]  # fmt: skip
    pooled = [
        water_auc({name: np.concatenate([one[name] for one in patients]) for name in ("myelin", "water")})
        for patients in cohorts
    ]
    each = [water_auc(one) for patients in cohorts for one in patients]
    target = f"below {AUC}"
    text = f"{_spread(each)}, {sum(auc >= AUC for auc in each)} of {len(each)} at {AUC} or above"
    rows.append(Row("AUC of water, all patients' voxels", _spread(pooled), target, max(pooled) < AUC, {"aucs": pooled}))
    rows.append(Row("AUC of water, patient by patient", text, f"mean {target}", statistics.mean(each) < AUC))
    return rows


def reproducible() -> Row:
    """Return whether two processes make the same arrays."""
    digests = [run(sys.executable, "-c", DIGEST, threads=threads).output.strip() for threads in (1, 2)]
    same = digests[0] == digests[1]
    return Row("same seed, another process and number of threads", "same" if same else "differ", "same arrays", same)


def timed(what: str, target: float, *words: str) -> Row:
    """Return how long the command ``phantom`` takes as a whole process, with one thread."""
    with tempfile.TemporaryDirectory() as temporary:
        done = run(*COMMAND, "phantom", Path(temporary) / "cohort", *words, threads=1)
    assert done.code == 0, done.output
    measured = f"{done.seconds:.1f} s, {done.peak / 1e9:.1f} GB"
    return Row(what, measured, f"under {target:.0f} s", done.seconds < target, {"seconds": done.seconds})


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="cohorts to judge the information on")
    given = parser.parse_args()
    where = machine()
    small, one = ["--shape", "48", "64", "48", "--spacing", "2.44"], ["--patients", "1", "--controls", "0"]
    rows = [
        timed("28 subjects at 48 x 64 x 48", 30, *small),
        timed("1 subject at 128 x 160 x 128", 60, *one),
        reproducible(),
        *information(given.seeds),
    ]
    report("The phantom", rows, given.json, where)


if __name__ == "__main__":
    main()
