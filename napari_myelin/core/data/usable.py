"""Whether a subject's values can be right, though they can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_myelin.core.data.subject import Subject, in_words
from napari_myelin.core.errors import MyelinError

# smallest and largest median inside the brain that the unit allows, and what to do below and above
UNITS: dict[str, tuple[str, float, float, str, str]] = {
    "MTR": ("%, 0 to 100", 2.0, 100.0, "a fraction? multiply it by 100", "divide it by 10 or 100"),
    "FA": ("none, 0 to 1", 0.01, 1.0, "is it an FA map?", "divide it by 1000 if it is stored as integers"),
    "RD": ("10^-3 mm2/s", 0.05, 6.0, "it looks like mm2/s: multiply it by 1000", "10^-6 mm2/s? divide it by 1000"),
    "AD": ("10^-3 mm2/s", 0.05, 6.0, "it looks like mm2/s: multiply it by 1000", "10^-6 mm2/s? divide it by 1000"),
    "dvr": ("none (ratio)", 0.1, 10.0, "is it a DVR map?", "is it a DVR map, or uptake in Bq/ml?"),
}
UNITS["MD"] = UNITS["RD"]
MIXED = 5.0  # times that one subject's target may exceed the others': no disease does that, another unit does
OUTSIDE = 0.5  # share of a lesion mask outside the brain from which it cannot be this subject's


def unit_problem(name: str, array: np.ndarray, where: str) -> str | None:
    """Return a sentence if a map's values cannot be in the unit that the engine expects, else None.

    Parameters
    ----------
    name
        Modality or ``dvr``; others have no known unit.
    array
        The map; its voxels that are not 0 are looked at.
    where
        What to call the map.
    """
    if name not in UNITS:
        return None
    values = array[(array != 0) & np.isfinite(array)]
    if values.size == 0:
        return None
    unit, low, high, below, above = UNITS[name]
    median = float(np.median(values))
    if low <= median <= high:
        return None
    return f"the {where} has a median of {median:.3g}, expected {unit}: {below if median < low else above}"


def empty_problem(array: np.ndarray, where: str) -> str | None:
    """Return a sentence if a map is zero everywhere, else None."""
    return None if array.any() else f"the {where} is zero everywhere: export it again"


def lesion_problem(lesion: np.ndarray, brain: np.ndarray, where: str) -> str | None:
    """Return a sentence if most of a lesion mask lies outside the brain, else None."""
    voxels = int(lesion.sum())
    outside = int((lesion & ~brain).sum())
    if voxels == 0 or outside <= OUTSIDE * voxels:
        return None
    return f"{outside / voxels:.0%} of the {where} lies outside the brain: is it this subject's, on this grid?"


def target_note(means: Mapping[str, float]) -> str | None:
    """Return a sentence if what is to be learnt is no DVR, else None.

    Another target than DVR can be learnt as well, in its own unit, as long as that is the same for all.

    Parameters
    ----------
    means
        Subject -> mean (or median) of its target over the voxels that are not 0.

    Raises
    ------
    MyelinError
        If one subject's target is in another unit than the others'.
    """
    middle = float(np.median(list(means.values())))
    for key, mean in means.items():
        if middle > 0 and not middle / MIXED < mean < middle * MIXED:
            raise MyelinError(
                f"the measured DVR of {key} is about {mean:.3g} inside the brain, in the middle of the cohort "
                f"{middle:.3g}: is it in another unit? bring all of them to one"
            )
    _, low, high, _, _ = UNITS["dvr"]
    if low <= middle <= high:
        return None
    return (
        f"the target is about {middle:.3g} inside the brain, which is no DVR: it is learnt and predicted in its own "
        "unit, and called DVR in names, tables and pictures all the same"
    )


def refuse_unusable(subject: Subject, modalities: Sequence[str], *, target: bool, resample: bool = False) -> None:
    """Raise where a subject's values cannot be right, though they can be read.

    Parameters
    ----------
    subject
        Whose maps are looked at.
    modalities
        That are needed.
    target
        Whether the measured DVR is needed too; of its unit the cohort decides, see `target_note`.
    resample
        As for `Subject.volume`.

    Raises
    ------
    MyelinError
        A map is zero everywhere or in another unit, or the lesions lie outside the brain; and as `Subject.volume`.
    """
    for name in (*modalities, *(("dvr",) if target else ())):
        where = f"{in_words(name)} of {subject.key}"
        array = subject.volume(name, resample).array
        problem = empty_problem(array, where) or (None if name == "dvr" else unit_problem(name, array, where))
        if problem:
            raise MyelinError(problem)
    if subject.has("lesion"):
        lesion, brain = subject.volume("lesion", resample), subject.brain(resample)
        problem = lesion_problem(lesion.array, brain.array, f"lesion mask of {subject.key}")
        if problem:
            raise MyelinError(problem)
