"""Who trains and who is held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_myelin.core.data.subject import Subject, persons_by_group
from napari_myelin.core.runtime import derive_seed


def hold_out(subjects: Sequence[Subject], share: float, seed: int) -> tuple[list[Subject], list[Subject]]:
    """Split into training and validation subjects, stratified by group, both in the cohort's order.

    All visits of a person stay together. With a share above 0 and three persons or more, at least one is held out.

    Parameters
    ----------
    subjects
        With a measured DVR.
    share
        Of the persons to hold out, in [0, 1).
    seed
        Of the draw.
    """
    groups = persons_by_group(subjects)
    persons = sum(len(names) for names in groups.values())
    random = np.random.default_rng(derive_seed(seed, "held out"))
    held: set[str] = set()
    for group in sorted(groups):
        count = min(round(share * len(groups[group])), len(groups[group]) - 1)
        held |= set(random.permutation(groups[group])[:count].tolist())
    if share > 0 and not held and persons >= 3:
        largest = max(sorted(groups), key=lambda group: len(groups[group]))
        held = {str(random.permutation(groups[largest])[0])}
    training = [subject for subject in subjects if subject.name not in held]
    return training, [subject for subject in subjects if subject.name in held]
