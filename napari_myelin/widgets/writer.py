"""Saving a layer from napari's File menu: on its own grid with its true affine, proved by reading it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import napari_myelin
from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.layers import Frame, grid_of
from napari_myelin.widgets.maps import MARK
from napari_myelin.widgets.session import session_of

TOLERANCE = 1e-3  # mm by which a layer may lie elsewhere than where it was shown, for rounding


def write_mask(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a `Labels` layer as NIfTI where it lies in the patient, and return the file.

    Parameters
    ----------
    path
        ``.nii.gz`` or ``.nii``.
    data, attributes
        napari's.

    Raises
    ------
    MyelinError
        If nothing says where the layer lies, it was moved since, or the file cannot be written or proved.
    """
    array = np.asarray(data)
    volume = _placed(array, attributes)
    labels = np.unique(array)
    kind = np.uint8 if labels.max(initial=0) <= 255 and labels.min(initial=0) >= 0 else np.int32
    return _write(Path(path), volume, kind, attributes)


def write_map(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save an `Image` layer as NIfTI where it lies in the patient, and return the file.

    Parameters
    ----------
    path
        ``.nii.gz`` or ``.nii``.
    data, attributes
        napari's.

    Raises
    ------
    MyelinError
        As `write_mask`.
    """
    return _write(Path(path), _placed(np.asarray(data), attributes), np.float32, attributes)


def _placed(array: np.ndarray, attributes: dict[str, Any]) -> Volume:
    """Return a layer's array on the grid where it lies in the patient."""
    name = attributes.get("name", "layer")
    if array.ndim != 3:
        raise MyelinError(f'"{name}" has {array.ndim} axes, expected 3: save one volume')
    _refuse_turned(name, attributes)
    scale, translate = attributes.get("scale", (1, 1, 1)), attributes.get("translate", (0, 0, 0))
    mark = attributes.get("metadata", {}).get(MARK)
    if mark is not None:
        frame = Frame(Volume(np.broadcast_to(np.uint8(0), tuple(mark["shape"])), np.asarray(mark["affine"])))
        if array.shape != frame.shape or not _near(scale, mark["scale"]) or not _near(translate, mark["translate"]):
            raise MyelinError(
                f'"{name}" was cut, moved or scaled since it was made from {mark["subject"]}: '
                "undo that, or make the mask in Lesions"
            )
        return frame.volume(array)
    return _placed_by_session(name, array, scale, translate)


def _placed_by_session(name: str, array: np.ndarray, scale: Any, translate: Any) -> Volume:
    """Return the place of a layer that napari made, such as New Labels: it lies where it is shown over the subject."""
    from napari import current_viewer

    viewer = current_viewer()
    frame = None if viewer is None else session_of(viewer).frame
    if frame is None:
        raise MyelinError(
            f'"{name}" does not belong to a subject, so its place in the patient is not known: open the subject first'
        )
    own = frame.placing
    if array.shape == frame.shape and _near(scale, own["scale"]) and _near(translate, own["translate"]):
        return frame.volume(array)
    grid = frame.lies(array.shape, scale, translate)
    return Volume(np.ascontiguousarray(array.transpose(2, 1, 0)), grid.affine)


def _refuse_turned(name: str, attributes: dict[str, Any]) -> None:
    turned = (("rotate", np.eye(3)), ("shear", np.zeros(3)), ("affine", np.eye(4)))
    for what, nothing in turned:
        given = np.asarray(attributes.get(what, nothing), dtype=float)
        if given.shape != nothing.shape or not np.allclose(given, nothing, atol=1e-6):
            raise MyelinError(f'"{name}" was turned or sheared ({what}): undo that with the layer\'s transform tool')


def _near(given: Any, wanted: Any) -> bool:
    return bool(np.allclose(np.asarray(given, dtype=float), np.asarray(wanted, dtype=float), atol=TOLERANCE))


def _write(path: Path, volume: Volume, kind: Any, attributes: dict[str, Any]) -> list[str]:
    role = attributes.get("metadata", {}).get(MARK, {}).get("role", "")
    description = f"napari-myelin {napari_myelin.__version__}, research only"
    write_volume(path, volume, dtype=kind, intent=role, description=description)
    back = read_volume(path)
    if not (back.same_grid(grid_of(volume)) and np.array_equal(back.array, volume.array.astype(np.float32))):
        raise MyelinError(f"{path} was written but reads back differently: the disk may be failing; save elsewhere")
    return [str(path)]
