"""One slice through everything that is switched on, as colours: what the orthogonal views paint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Plane:
    """The slice across one axis, and where its picture lies.

    Parameters
    ----------
    axis
        That is walked: 0 superior, 1 anterior, 2 right.
    low, high
        Edges of the picture in shown mm, (downwards, across).
    step
        mm a pixel.
    """

    axis: int
    low: tuple[float, float]
    high: tuple[float, float]
    step: float

    @property
    def axes(self) -> tuple[int, int]:
        """The axes of the picture, downwards and across."""
        first, second = (axis for axis in range(3) if axis != self.axis)
        return first, second

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels, downwards and across."""
        rows, columns = (max(1, round((h - lo) / self.step)) for lo, h in zip(self.low, self.high, strict=True))
        return rows, columns

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the shown mm of the pixels' centres, downwards and across."""
        rows, columns = (
            lo + (np.arange(count) + 0.5) * (h - lo) / count
            for lo, h, count in zip(self.low, self.high, self.shape, strict=True)
        )
        return rows, columns


def plane_of(layers: Sequence[Any], axis: int) -> Plane | None:
    """Return the slice across an axis that holds every layer; None without a layer of three axes."""
    solid = [layer for layer in layers if usable(layer)]
    if not solid:
        return None
    scales = np.array([np.asarray(layer.scale, dtype=float) for layer in solid])
    lows = np.array([np.asarray(layer.translate) - np.asarray(layer.scale) / 2 for layer in solid])
    highs = lows + scales * np.array([layer.data.shape for layer in solid])
    keep = [each for each in range(3) if each != axis]
    low, high = lows.min(axis=0)[keep], highs.max(axis=0)[keep]
    return Plane(axis, (float(low[0]), float(low[1])), (float(high[0]), float(high[1])), float(scales[:, keep].min()))


def usable(layer: Any) -> bool:
    """Return whether a layer is an image or a mask of three axes that is neither turned nor in colours."""
    if getattr(layer, "_type_string", "") not in ("image", "labels") or layer.ndim != 3 or layer.multiscale:
        return False
    return not getattr(layer, "rgb", False)


def paint(layers: Sequence[Any], plane: Plane, point: Sequence[float]) -> np.ndarray:
    """Return the slice through a point, (rows, columns, 3) uint8, the layers blended as they lie upon each other.

    Parameters
    ----------
    layers
        napari's, bottom to top.
    plane
        What is shown.
    point
        Shown mm; only its part along the plane's axis matters.
    """
    picture = np.zeros((*plane.shape, 3), dtype=np.float32)
    for layer in layers:
        if layer.visible and usable(layer):
            values, inside = _sample(layer, plane, point)
            if inside.any():
                _blend(picture, _colours(layer, values), inside, layer)
    return np.asarray((picture.clip(0, 1) * 255).astype(np.uint8))


def _sample(layer: Any, plane: Plane, point: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest voxel's value at each pixel, and where there is one."""
    scale, translate = np.asarray(layer.scale, dtype=float), np.asarray(layer.translate, dtype=float)
    shape = layer.data.shape
    index = round((point[plane.axis] - translate[plane.axis]) / scale[plane.axis])
    inside = np.zeros(plane.shape, dtype=bool)
    if not 0 <= index < shape[plane.axis]:
        return np.zeros(plane.shape, dtype=layer.data.dtype), inside
    flat = np.asarray(np.take(layer.data, index, axis=plane.axis))
    picked, there = [], []
    for axis, mm in zip(plane.axes, plane.centres(), strict=True):
        at = np.round((mm - translate[axis]) / scale[axis]).astype(int)
        there.append((at >= 0) & (at < shape[axis]))
        picked.append(at.clip(0, shape[axis] - 1))
    return flat[np.ix_(*picked)], np.logical_and.outer(*there)


def _colours(layer: Any, values: np.ndarray) -> np.ndarray:
    """Return (rows, columns, 4) as napari colours the layer."""
    if layer._type_string == "labels":
        return np.asarray(layer.colormap.map(values), dtype=np.float32).reshape(*values.shape, 4)
    low, high = layer.contrast_limits
    shown = ((values.astype(np.float32) - low) / (high - low)).clip(0, 1) ** layer.gamma
    return np.asarray(layer.colormap.map(shown.ravel()), dtype=np.float32).reshape(*values.shape, 4)


def _blend(picture: np.ndarray, colours: np.ndarray, inside: np.ndarray, layer: Any) -> None:
    cover = (colours[..., 3] * layer.opacity * inside)[..., None]
    if str(layer.blending) == "additive":
        picture += colours[..., :3] * cover
    else:
        picture *= 1 - cover
        picture += colours[..., :3] * cover
