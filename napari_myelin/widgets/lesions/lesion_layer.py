"""The layer that a lesion mask is drawn in: changing it so that it can be undone, its brush, going to a lesion."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import binary_erosion, find_objects

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.components import Components
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.maps import CHOSEN

CHOSEN_COLOUR = "#4de1ff"
BRUSHES = (1, 3, 5, 9)  # voxels across; napari paints odd numbers only


def set_mask(layer: Any, mask: np.ndarray) -> int:
    """Make a layer hold a mask, as one step that napari's undo takes back; return how many voxels changed.

    Parameters
    ----------
    layer
        The lesion layer.
    mask
        bool, (superior, anterior, right).
    """
    layer.visible = True  # napari changes only what it shows
    now = np.asarray(layer.data) != 0
    added, removed = np.nonzero(mask & ~now), np.nonzero(now & ~mask)
    with layer.block_history():
        if added[0].size:
            layer.data_setitem(added, 1, refresh=False)
        if removed[0].size:
            layer.data_setitem(removed, 0, refresh=False)
    layer.refresh()
    return int(added[0].size + removed[0].size)


def can_undo(layer: Any) -> tuple[bool, bool]:
    """Return whether there is a stroke to undo, and one to redo."""
    # napari says it nowhere in public; without these the buttons are simply always there
    return bool(getattr(layer, "_undo_history", True)), bool(getattr(layer, "_redo_history", True))


def own_voxels(frame: Frame, voxels: np.ndarray) -> np.ndarray:
    """Return the flat indices on the subject's own grid of flat indices (n,) into an array of the layer."""
    shown = np.stack(np.unravel_index(voxels, frame.shape), axis=-1) * frame.spacing + frame.origin
    own = np.rint(apply_affine(np.linalg.inv(frame.reference.affine) @ frame.to_world, shown)).astype(int)
    return np.asarray(np.ravel_multi_index(tuple(own.T), frame.reference.shape))


def layer_volume(layer: Any, frame: Frame) -> Volume | None:
    """Return what any 3D labels layer holds as a mask in its own place, RAS+ mm; None where it is not 3D."""
    if layer.ndim != 3 or layer.multiscale:
        return None
    origin = np.asarray(layer.data_to_world((0, 0, 0)), dtype=float)
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis in range(3):
        matrix[:3, axis] = np.asarray(layer.data_to_world(tuple(np.eye(3)[axis])), dtype=float) - origin
    return Volume(np.asarray(layer.data) != 0, frame.to_world @ matrix)


def brush_sizes(frame: Frame) -> list[float]:
    """Return how wide each of `BRUSHES` is, in mm: napari counts in voxels along the shortest edge."""
    return [voxels * float(frame.spacing.min()) for voxels in BRUSHES]


def middle(parts: Components, number: int) -> np.ndarray:
    """Return a lesion's voxel (own grid) nearest to its centre: in the lesion, even where that is a ring."""
    box = parts.boxes[number - 1]
    inside = np.argwhere(parts.labels[box] == number)
    nearest = inside[np.argmin(((inside - inside.mean(axis=0)) ** 2).sum(axis=1))]
    return np.asarray([at + a.start + b.start for at, a, b in zip(nearest, box, parts.box, strict=True)])


def go_to(viewer: Any, frame: Frame, voxel: np.ndarray) -> None:
    """Bring a voxel of the subject's own grid into the middle of the view, in every direction."""
    point = frame.shown(frame.reference.world(voxel))
    viewer.dims.set_point(range(3), tuple(point))
    viewer.scene.camera.center = tuple(point)


def outline(session: Any, mask: Volume | None) -> None:
    """Draw a line round the chosen lesions, or take it away; what is active and selected stays so.

    The line is drawn here, slice by slice: napari's own contour warns at every step in 3D.
    """
    layer, viewer = session.layer(CHOSEN), session.viewer
    if mask is None:
        if layer is not None:
            viewer.layers.remove(layer)
        return
    array = session.frame.array(mask)
    (box,) = find_objects(array.astype(np.uint8))
    array[box] &= ~binary_erosion(array[box], np.ones((1, 3, 3)))
    if layer is not None:
        layer.data = array.astype(np.uint8)
        return
    active = viewer.layers.selection.active
    layer = session.add(CHOSEN, session.frame.volume(array), visible=True)
    layer.name, layer.colormap = "chosen lesions", {0: "transparent", None: CHOSEN_COLOUR}
    layer.opacity, layer.editable = 1.0, False
    if active is not None:
        viewer.layers.selection.active = active
