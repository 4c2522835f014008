"""What prediction in overlapping windows changes against the whole volume at once, and whether the cuts can be seen.

    python benchmarks/seams.py [MODEL COHORT SUBJECT] [--windows 32 48] [--json FILE]

By default the sample model on a sample subject, whose whole head is simulated; give a model and a subject of your own.
On the network's grid, inside the brain: the difference between both predictions, as a share of the map's own SD. And
the seam: how much the difference changes from a voxel to the next across the planes where windows begin or end, over
how much it changes across all other planes. 1 is a cut that nobody can find.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from table import ROOT, Row, arguments, machine, report

from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.inference.model import Model, load_model
from napari_myelin.core.inference.predict import network_inputs
from napari_myelin.core.inference.windows import axis_windows, whole_or_windows
from napari_myelin.core.runtime import fill_noise

SAMPLE = ROOT / "sample_data"


@torch.inference_mode()
def last_map(model: Model, subject: Subject, window: int) -> np.ndarray:
    """Return what the last stage makes of a subject, (I, J, K) on the network's grid, z-scored."""
    inputs = network_inputs(model, subject, torch.device("cpu"), resample=True)
    noise = fill_noise(inputs.mri, 0, "seams")
    out = whole_or_windows(model.network.eval(), inputs.mri, noise, window)[-1]
    return out[0, 0].numpy()


def brain_of(model: Model, subject: Subject) -> np.ndarray:
    """Return the brain mask on the network's grid."""
    placement = network_inputs(model, subject, torch.device("cpu"), resample=True).placement
    return placement.to_network(subject.brain(True), order=0).astype(bool)


def seam(difference: np.ndarray, brain: np.ndarray, window: int) -> float:
    """Return the mean change across planes where a window begins or ends over that across all others."""
    at, elsewhere = [], []
    for axis, size in enumerate(difference.shape):
        cuts = {edge for start, weights in axis_windows(size, window) for edge in (start, start + len(weights))}
        change = np.abs(np.diff(np.moveaxis(difference, axis, 0), axis=0))
        within = np.moveaxis(brain, axis, 0)
        within = within[1:] & within[:-1]
        for plane in range(size - 1):
            (at if plane + 1 in cuts else elsewhere).append(change[plane][within[plane]])
    return float(np.concatenate(at).mean() / np.concatenate(elsewhere).mean())


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=SAMPLE / "model.safetensors")
    parser.add_argument("cohort", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("subject", nargs="?", default="01")
    parser.add_argument("--windows", type=int, nargs="+", default=[32, 48])
    given = parser.parse_args()
    where = machine()
    model, (subject,) = load_model(given.model), open_cohort(given.cohort).select([given.subject]).subjects
    whole, brain = last_map(model, subject, 0), brain_of(model, subject)
    sd = float(whole[brain].std())
    rows = []
    for window in given.windows:
        difference = last_map(model, subject, window) - whole
        inside = np.abs(difference[brain]) / sd
        mean, most, edge = float(inside.mean()), float(np.quantile(inside, 0.99)), seam(difference, brain, window)
        words = f"differs by {mean:.1%} of the map's SD (99 %: {most:.1%}), {edge:.2f} x as rough at the cuts"
        rows.append(Row(f"windows of {window}", words, values={"mean": mean, "99 %": most, "seam": edge}))
    grid = " x ".join(map(str, whole.shape))
    report(f"Windows against the whole volume: {subject.key}, model {model.card.uid}, {grid}", rows, given.json, where)


if __name__ == "__main__":
    main()
