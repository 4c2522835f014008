from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from napari_myelin.core.evaluation.components import bridge, components


def blank(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=bool)


def test_lesions_are_numbered_largest_first_and_touch_by_corners() -> None:
    lesion = blank(9, 9, 9)
    lesion[1, 1, 1] = lesion[2, 2, 2] = True  # one lesion of two voxels that touch by a corner
    lesion[5:8, 5, 5] = True
    parts = components(lesion)
    assert parts.sizes == (3, 2)
    larger = parts.mask([1], lesion.shape)
    assert np.argwhere(larger).tolist() == [[5, 5, 5], [6, 5, 5], [7, 5, 5]]
    assert (parts.mask([1, 2], lesion.shape) == lesion).all()
    assert components(blank(4, 4, 4)).sizes == ()
    assert not components(blank(4, 4, 4)).mask([1], (4, 4, 4)).any()


def test_two_voxels_in_a_row_are_joined_by_the_voxels_between_them() -> None:
    first, second = blank(9, 5, 5), blank(9, 5, 5)
    first[1, 2, 2] = second[6, 2, 2] = True
    added = bridge([first, second], (1.0, 1.0, 1.0))
    assert np.argwhere(added).tolist() == [[i, 2, 2] for i in (2, 3, 4, 5)]


def test_facing_walls_are_joined_by_all_that_lies_between_them() -> None:
    first, second = blank(8, 5, 5), blank(8, 5, 5)
    first[1, 1:4, 1:4] = second[4, 1:4, 1:4] = True
    added = bridge([first, second], (1.0, 1.0, 1.0))
    between = blank(8, 5, 5)
    between[2:4, 1:4, 1:4] = True
    assert (added == between).all()


def test_of_three_lesions_the_nearest_are_joined_first_and_all_become_one() -> None:
    parts = [blank(24, 12, 12) for _ in range(3)]
    parts[0][1, 1, 1] = parts[1][20, 9, 3] = parts[2][8, 5, 2] = True
    whole = np.any(parts, axis=0)
    added = bridge(parts, (1.0, 1.3, 2.5))
    assert not (added & whole).any()
    assert label(whole | added, np.ones((3, 3, 3)))[1] == 1
    # about as many voxels as the longest axis has steps from end to end, not a mass
    assert 17 <= added.sum() <= 60
