"""The disjoint regions that the weighted loss tells apart."""

from __future__ import annotations

import numpy as np

from napari_myelin.core.data.subject import Subject

OTHER, NAWM, LESION = 0, 1, 2


def region_labels(subject: Subject, resample: bool = False) -> np.ndarray:
    """Return the disjoint regions of Eq. 5 as uint8 on the subject's own grid: 0 other, 1 NAWM, 2 lesion.

    NAWM is white matter outside lesions. A mask that is not there leaves its region empty.
    """
    regions = np.zeros(subject.reference().shape, dtype=np.uint8)
    for role, label in (("wm", NAWM), ("lesion", LESION)):
        if subject.has(role):
            regions[subject.volume(role, resample).array] = label
    return regions
