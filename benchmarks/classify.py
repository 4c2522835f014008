"""Demyelination classified again after a mask edit, on a full-size subject: what a user waits for while drawing.

    python benchmarks/classify.py [--runs 50] [--json FILE]

A simulated subject of 128 x 160 x 128 voxels; a voxel of the lesion mask is changed before each run. The table of
lesions, which a window shows beside the mask, is timed too. Medians, and the slowest of 20 runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from table import Row, arguments, machine, report

from napari_myelin.core.evaluation.demyelination import classify, lesion_table
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions

TARGET = 50  # ms
PATIENT = 9  # of the default cohort: 12 ml of lesion in 59 pieces, near the median load


def timed(what: str, work: Callable[[], object], mask: np.ndarray, runs: int) -> Row:
    """Return the row of something that is done after each edit of ``mask``."""
    inside = np.argwhere(mask)
    random = np.random.default_rng(0)
    times = []
    for _ in range(runs):
        voxel = tuple(inside[random.integers(len(inside))])
        mask[voxel] = not mask[voxel]
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    middle, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    measured = f"{middle:.1f} ms (95 %: {slow:.1f} ms)"
    return Row(what, measured, f"under {TARGET} ms", middle < TARGET, {"milliseconds": times})


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=50)
    given = parser.parse_args()
    where = machine()
    made = make_subject(PATIENT, PhantomOptions())
    dvr, mask = made.volumes["dvr"], made.volumes["lesion"].array.copy()
    threshold_map = np.full(dvr.shape, 1.0, dtype=np.float32)
    work: dict[str, Callable[[], object]] = {
        "classify, one threshold": lambda: classify(dvr.array, mask, 1.0),
        "classify, a threshold a voxel": lambda: classify(dvr.array, mask, threshold_map),
        "table of lesions": lambda: lesion_table(dvr, mask, 1.0),
        "table of lesions, a threshold a voxel": lambda: lesion_table(dvr, mask, threshold_map),
    }
    rows = [timed(what, each, mask, given.runs) for what, each in work.items()]
    report("After a mask edit at 128 x 160 x 128", rows, given.json, where)


if __name__ == "__main__":
    main()
