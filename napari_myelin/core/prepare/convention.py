"""Which axes b-vectors refer to, told from the image: fibres followed in the right ones stay inside white matter."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from napari_myelin.core.prepare.gradients import frame_of

FIBRES = 0.25  # FA from which a direction means something
MARGIN = 0.15  # share by which a convention must beat FSL's, and a mirrored one its own
FEWEST = 500  # voxels of fibres to judge by
SEEDS, STEPS = 3000, 60  # lines that are followed, and how far, in half voxels each way
BEND = np.cos(np.deg2rad(45))  # at most, from one voxel's fibre to the next
NAMES = {"fsl": "FSL's convention", "scanner": "the scanner's axes (RAS+ mm)"}


@dataclass(frozen=True)
class Verdict:
    """What the b-vectors refer to: ``frame`` (3, 3) turns them into RAS+; ``text`` says it, and how sure it is."""

    convention: str
    frame: np.ndarray
    text: str
    scores: dict[str, float]


def detect(direction: np.ndarray, fa: np.ndarray, affine: np.ndarray) -> Verdict:
    """Tell in which convention fibres can be followed furthest.

    FA, RD and AD are the same in all of them; only directions differ, so a wrong one is seen in no map. Compared are
    FSL's and the scanner's axes, and each with one axis mirrored, by `length` (the idea of MRtrix3's
    ``dwigradcheck``; Jeurissen et al. 2014, doi:10.1016/j.media.2014.05.012).

    Parameters
    ----------
    direction
        (I, J, K, 3) unit vectors of the tensor's first axis in RAS+, fitted as if the table were FSL's.
    fa
        (I, J, K); those above 0.25 count.
    affine
        (4, 4) of the image.
    """
    fsl = frame_of("fsl", affine)
    frames = _candidates(affine)
    if int((fa > FIBRES).sum()) < FEWEST:
        text = f"b-vectors are taken as {NAMES['fsl']} (too few fibres to tell it from others: look at the directions)"
        return Verdict("fsl", fsl, text, {})
    scores = {name: length(direction @ (frame @ fsl.T).T, fa, affine) for name, frame in frames.items()}
    plain = max((name for name in frames if "-" not in name), key=lambda name: scores[name])
    plain = plain if scores[plain] > scores["fsl"] * (1 + MARGIN) else "fsl"
    best = max(scores, key=lambda name: scores[name])
    best = best if scores[best] > scores[plain] * (1 + MARGIN) else plain
    if best == "fsl":
        others = max(score for name, score in scores.items() if name != "fsl")
        sure = scores["fsl"] > others * (1 + MARGIN)
        words = "fibres agree" if sure else "fibres do not tell it from others: look at the directions"
        return Verdict("fsl", fsl, f"b-vectors are taken as {NAMES['fsl']} ({words})", scores)
    name, _, axis = best.partition("-")
    mirrored = f" with {axis} mirrored" if axis else ""
    gain = scores[best] / scores["fsl"]
    text = (
        f"b-vectors are taken as {NAMES[name]}{mirrored}: fibres go on {gain:.2f} times as far as in FSL's convention"
    )
    return Verdict(best, frames[best], text, scores)


def _candidates(affine: np.ndarray) -> dict[str, np.ndarray]:
    frames: dict[str, np.ndarray] = {}
    for mirrored, name in product((None, 0, 1, 2), NAMES):
        mirror = np.eye(3)
        if mirrored is not None:
            mirror[mirrored, mirrored] = -1
        frame = frame_of(name, affine) @ mirror
        # mirroring all three axes changes no line: such frames are one
        if not any(
            np.allclose(frame, other, atol=0.01) or np.allclose(frame, -other, atol=0.01) for other in frames.values()
        ):
            frames[name if mirrored is None else f"{name}-{'xyz'[mirrored]}"] = frame
    return frames


def length(direction: np.ndarray, fa: np.ndarray, affine: np.ndarray) -> float:
    """Return how far lines along the fibres go before they leave white matter or bend too sharply, mean in voxels.

    Parameters
    ----------
    direction
        (I, J, K, 3), RAS+; either sense.
    fa
        (I, J, K).
    affine
        (4, 4).
    """
    fibres = np.pad(fa > FIBRES, 1)
    # as steps of voxels, half a voxel long
    steps = direction @ np.linalg.inv(affine[:3, :3]).T
    steps = np.pad(
        steps / np.maximum(np.linalg.norm(steps, axis=-1, keepdims=True), 1e-9) / 2, ((1, 1),) * 3 + ((0, 0),)
    )
    where = np.argwhere(fibres)
    seeds = where[:: max(1, len(where) // SEEDS)]
    total = 0
    for sense in (1.0, -1.0):
        points, heading = seeds.astype(np.float64), sense * steps[tuple(seeds.T)]
        for _ in range(STEPS):
            points = points + heading
            index = tuple(np.rint(points).astype(int).T)
            ahead = steps[index]
            cosine = 4 * (ahead * heading).sum(axis=1)
            going = fibres[index] & (np.abs(cosine) > BEND)
            total += int(going.sum())
            points, heading = points[going], (ahead * np.sign(cosine)[:, None])[going]
    return total / 2 / len(seeds)
