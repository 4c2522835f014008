"""Dynamic PET of a map of known DVR: the curves of a reference-tissue model, and counting noise."""

from __future__ import annotations

import numpy as np

from napari_myelin.core.prepare.frames import HALF_LIFE, Frames

R1, K2 = 1.0, 0.15  # delivery relative to the reference region, and its clearance in 1/min
STEP = 1.0  # s, of the integration


def pib_frames() -> Frames:
    """Return the frames of a 90-minute scan: 6 x 10 s, 4 x 30 s, 4 x 60 s, 4 x 120 s, 5 x 300 s, 5 x 600 s."""
    duration = np.repeat([10.0, 30.0, 60.0, 120.0, 300.0, 600.0], [6, 4, 4, 4, 5, 5])
    return Frames(np.concatenate([[0.0], np.cumsum(duration)[:-1]]), duration)


def reference_curve(minutes: np.ndarray) -> np.ndarray:
    """Return the activity of a region without binding in kBq/ml: up within minutes, then down in two phases."""
    return np.asarray(14 * np.exp(-0.05 * minutes) + 5 * np.exp(-0.008 * minutes) - 19 * np.exp(-0.8 * minutes))


def curves_of(ratios: np.ndarray, frames: Frames) -> np.ndarray:
    r"""Return the frames' mean activity of tissue with each DVR, (V, F), kBq/ml.

    .. math:: C = R_1 C_r + (k_2 - R_1 k_2 / \mathrm{DVR})\, C_r \otimes e^{-k_2 t / \mathrm{DVR}}

    (the simplified reference tissue model, Lammertsma and Hume 1996, doi:10.1006/nimg.1996.0066) with R1 = 1 and
    k2 = 0.15 / min.
    """
    end = float((frames.start + frames.duration).max())
    times = (np.arange(round(end / STEP)) + 0.5) * STEP / 60
    reference = reference_curve(times)
    rate, step = K2 / ratios, STEP / 60
    whole, half = np.exp(-rate * step), np.exp(-rate * step / 2)
    held, tissue = np.zeros(len(ratios)), np.empty((len(ratios), len(times)))
    for index, value in enumerate(reference):  # the convolution, one exact step after the other
        at_middle = held * half + value * (1 - half) / rate
        tissue[:, index] = R1 * value + (K2 - R1 * rate) * at_middle
        held = held * whole + value * (1 - whole) / rate
    frame = np.searchsorted(frames.start, times * 60, side="right") - 1
    return np.stack([tissue[:, frame == number].mean(axis=1) for number in range(frames.count)], axis=1)


def simulate_pet(random: np.random.Generator, dvr: np.ndarray, frames: Frames, noise: float = 0.0) -> np.ndarray:
    """Return a dynamic PET, (I, J, K, F) float32 kBq/ml, corrected for decay.

    Parameters
    ----------
    random
        Source of chance.
    dvr
        (I, J, K); 0 is no activity.
    frames
        Their times.
    noise
        Standard deviation of a voxel in the last frame, relative to the reference region; other frames' follows
        from counts: the square root of activity times decay over duration.
    """
    ratios = np.linspace(0.3, 2.0, 69)
    table = curves_of(ratios, frames)
    out = np.zeros((*dvr.shape, frames.count), dtype=np.float32)
    inside = dvr > 0
    values = np.clip(dvr[inside], ratios[0], ratios[-1])
    last = np.exp(np.log(2) / HALF_LIFE["C11"] * frames.middle)
    base = curves_of(np.array([1.0]), frames)[0]
    for number in range(frames.count):
        mean = np.interp(values, ratios, table[:, number])
        unit = last[number] / frames.duration[number]
        scale = noise * base[-1] / np.sqrt(base[-1] * last[-1] / frames.duration[-1])
        out[inside, number] = mean + scale * np.sqrt(mean * unit) * random.standard_normal(len(mean))
    return out
