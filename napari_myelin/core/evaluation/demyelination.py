"""Which lesion voxels are demyelinated, and each lesion's share of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.ndimage import map_coordinates

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.transform import read_transform
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.components import Components, components
from napari_myelin.core.evaluation.probability import expected_share


@dataclass(frozen=True, eq=False)
class Threshold:
    """Below which DVR a lesion voxel counts as demyelinated (Bodini et al. 2016 determine it at group level).

    Parameters
    ----------
    kind
        ``global``: one value from all controls' white matter; ``template``: a map in template space; ``value``:
        the user's.
    value
        DVR; for ``template`` the value where the map has none.
    k
        Standard deviations below the controls' mean; None for ``value``.
    controls
        How many it was determined from.
    map
        (I, J, K) DVR in template space, for ``template``; NaN where there is none.
    affine
        (4, 4) of that map.
    """

    kind: Literal["global", "template", "value"]
    value: float
    k: float | None = None
    controls: int = 0
    map: np.ndarray | None = None
    affine: np.ndarray | None = None

    @classmethod
    def fixed(cls, value: float) -> Threshold:
        """Return the user's own threshold."""
        return cls("value", value)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the map, for JSON."""
        affine = None if self.affine is None else self.affine.tolist()
        return {"kind": self.kind, "value": self.value, "k": self.k, "controls": self.controls, "affine": affine}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], map_: np.ndarray | None = None) -> Threshold:
        """Return what `to_dict` wrote, with its map."""
        affine = table.get("affine")
        return cls(
            table["kind"],
            float(table["value"]),
            table.get("k"),
            int(table.get("controls", 0)),
            map_,
            None if affine is None else np.asarray(affine, dtype=np.float64),
        )

    def on(self, subject: Subject, grid: Volume) -> float | np.ndarray:
        """Return the threshold for a subject: one value, or a map on ``grid``.

        Raises
        ------
        MyelinError
            If the threshold is a template map and the subject has no transform to the template.
        """
        if self.kind != "template" or self.map is None or self.affine is None:
            return self.value
        self.refuse_without_transform(subject)
        points = _template_points(subject, grid)
        inverse = np.linalg.inv(self.affine)
        indices = np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
        on_grid = map_coordinates(self.map, indices, order=0, mode="constant", cval=np.nan)
        return np.where(np.isfinite(on_grid), on_grid, np.float32(self.value)).astype(np.float32)

    def refuse_without_transform(self, subject: Subject) -> None:
        """Raise where `on` will not be possible.

        Raises
        ------
        MyelinError
            If the threshold is a template map and the subject has no transform to the template.
        """
        if self.kind == "template" and self.map is not None and not subject.has("to_template"):
            raise MyelinError(
                f"{subject.key} has no transform to the template, which the model's voxelwise threshold needs: add "
                f"one, or pass --threshold-value {self.value:.3f}"
            )


def _template_points(subject: Subject, grid: Volume) -> np.ndarray:
    source = subject.files["to_template"]
    if isinstance(source, Volume):
        raise MyelinError(f"the transform of {subject.key} must be a file")
    indices = np.moveaxis(np.indices(grid.shape), 0, -1)
    return read_transform(source)(grid.world(indices))


def classify(dvr: np.ndarray, lesion: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Return the demyelinated voxels: inside a lesion, below the threshold.

    Parameters
    ----------
    dvr
        (I, J, K), true or predicted.
    lesion
        bool (I, J, K); an empty one gives an empty mask.
    threshold
        DVR, or a map of it.
    """
    return np.asarray(lesion & (dvr < threshold))


SURE, UNSURE = 1, 2


def certainty(
    dvr: np.ndarray, lesion: np.ndarray, threshold: float | np.ndarray, uncertainty: np.ndarray | None
) -> np.ndarray:
    """Return how sure it is that a voxel is demyelinated, uint8: 0 it is not, 1 (`SURE`) it is, 2 (`UNSURE`) perhaps.

    Parameters
    ----------
    dvr, lesion, threshold
        As for `classify`.
    uncertainty
        SD of the predicted DVR, (I, J, K): a lesion voxel whose DVR is nearer to the threshold than this, on either
        side, is unsure; the threshold is that of measured maps. None, or 0, leaves no doubt.
    """
    below = classify(dvr, lesion, threshold)
    if uncertainty is None:
        return below.astype(np.uint8)
    near = lesion & (np.abs(dvr - threshold) < uncertainty)
    return np.where(near, UNSURE, below).astype(np.uint8)


@dataclass(frozen=True)
class Lesion:
    """One connected lesion.

    ``label`` from 1; ``voxels``; ``volume`` in mm3; ``mean_dvr``; ``demyelinated``, the share of its voxels in [0, 1]
    (`expected_share`; None without a threshold); ``x, y, z``, its centre in RAS+ mm.
    """

    label: int
    voxels: int
    volume: float
    mean_dvr: float
    demyelinated: float | None
    x: float
    y: float
    z: float


def lesion_table(
    dvr: Volume, lesion: np.ndarray, threshold: float | np.ndarray | None, sd: np.ndarray | None = None
) -> list[Lesion]:
    """Return a row for each connected component (26 neighbours) of the lesion mask, largest first.

    Parameters
    ----------
    dvr
        True or predicted map.
    lesion
        bool (I, J, K); an empty one gives no row.
    threshold
        DVR, or a map of it; None leaves the shares out.
    sd
        (I, J, K), DVR, of a prediction that says its own variance: the share is the mean `demyelinated_probability`.
        None: the share of voxels below the threshold.
    """
    return component_table(dvr, components(lesion), threshold, sd)


def component_table(
    dvr: Volume, parts: Components, threshold: float | np.ndarray | None, sd: np.ndarray | None = None
) -> list[Lesion]:
    """Return a row for each lesion of `components`, in their order; the rest as for `lesion_table`."""
    dvr_inside = dvr.array[parts.box]
    sd_inside = None if sd is None else sd[parts.box]
    threshold_inside = threshold[parts.box] if isinstance(threshold, np.ndarray) else threshold
    rows = []
    for number, (box, size) in enumerate(zip(parts.boxes, parts.sizes, strict=True), start=1):
        member = parts.labels[box] == number
        values = dvr_inside[box][member]
        cut = threshold_inside[box][member] if isinstance(threshold_inside, np.ndarray) else threshold_inside
        doubt = None if sd_inside is None else sd_inside[box][member]
        share = None if cut is None else expected_share(values, cut, doubt)
        corner = [part.start + outer.start for part, outer in zip(box, parts.box, strict=True)]
        middle = np.argwhere(member).mean(axis=0) + corner
        x, y, z = (round(float(value), 2) for value in dvr.world(middle))
        rows.append(Lesion(number, size, float(size * dvr.voxel_volume), float(values.mean()), share, x, y, z))
    return rows


OUTSIDE, NEITHER, BOTH, TRUE_ONLY, PREDICTED_ONLY = range(5)


def agreement(true: np.ndarray, predicted: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Return where two masks agree, uint8: 0 outside lesions, 1 neither, 2 both, 3 true only, 4 predicted only.

    The paper's figure 8 shows them white, yellow, red and orange.
    """
    return np.select(
        [~lesion, true & predicted, true, predicted], [OUTSIDE, BOTH, TRUE_ONLY, PREDICTED_ONLY], NEITHER
    ).astype(np.uint8)
