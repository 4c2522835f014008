"""Lesions of a mask as connected components: which voxel belongs to which, and joining two of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects, label

NEIGHBOURS = np.ones((3, 3, 3))  # voxels that touch by a corner belong to one lesion
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Components:
    """The lesions of a mask, largest first.

    Parameters
    ----------
    box
        Where in the image the mask has voxels at all.
    labels
        int, of the box's shape; 0 outside lesions, 1 the largest lesion.
    boxes
        Each lesion's place within ``box``, in the labels' order.
    sizes
        Voxels of each lesion.
    """

    box: Box
    labels: np.ndarray
    boxes: tuple[Box, ...]
    sizes: tuple[int, ...]

    def mask(self, numbers: Sequence[int], shape: tuple[int, int, int]) -> np.ndarray:
        """Return the mask, bool of ``shape`` (the image's), of some lesions by their labels."""
        out = np.zeros(shape, dtype=bool)
        out[self.box] = np.isin(self.labels, list(numbers))
        return out


def components(lesion: np.ndarray) -> Components:
    """Return the connected components (26 neighbours) of a lesion mask, largest first.

    Parameters
    ----------
    lesion
        bool (I, J, K); an empty one has none.
    """
    around = find_objects(lesion.astype(np.uint8))
    if not around:
        empty = (slice(0, 0), slice(0, 0), slice(0, 0))
        return Components(empty, np.zeros((0, 0, 0), dtype=np.int32), (), ())
    # within the box of all lesions, a small part of the image: a user who draws waits for this
    found, count = label(lesion[around[0]], NEIGHBOURS)
    sizes = np.bincount(found.ravel(), minlength=count + 1)
    order = np.argsort(-sizes[1:], kind="stable") + 1
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[order] = np.arange(1, count + 1)
    boxes = find_objects(found)
    return Components(
        around[0], rank[found], tuple(boxes[old - 1] for old in order), tuple(int(sizes[old]) for old in order)
    )


def bridge(parts: Sequence[np.ndarray], spacing: Sequence[float]) -> np.ndarray:
    """Return the voxels to add so that lesions become one: those on the shortest ways between them.

    The nearest two are joined first. Between two lesions A and B at a distance g, voxels with d(A) + d(B) <= g + t
    lie on a shortest way; t is the smallest number of quarter voxels that joins them.

    Parameters
    ----------
    parts
        bool (I, J, K) masks of one connected lesion each, two at least.
    spacing
        Voxel size in mm along I, J, K.
    """
    whole = np.asarray(np.any(parts, axis=0))
    box = _around(whole)
    joined, left = parts[0][box].copy(), [part[box] for part in parts[1:]]
    while left:
        far = distance_transform_edt(~joined, sampling=tuple(spacing))
        gaps = [far[part].min() for part in left]
        nearest = left.pop(int(np.argmin(gaps)))
        ways = far + distance_transform_edt(~nearest, sampling=tuple(spacing))
        ways[joined | nearest] = 0
        for step in itertools.count(1):
            between = ways <= min(gaps) + step * min(spacing) / 4
            reached, _ = label(between, NEIGHBOURS)
            if reached[joined][0] == reached[nearest][0]:
                break
        joined |= between
    added = np.zeros_like(whole)
    added[box] = joined & ~whole[box]
    return added


def _around(mask: np.ndarray) -> Box:
    (box,) = find_objects(mask.astype(np.uint8))
    i, j, k = box
    return i, j, k
