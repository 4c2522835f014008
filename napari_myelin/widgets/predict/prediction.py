"""The prediction on show: what it says of the lesions as they are drawn now, without running the network again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.demyelination import (
    SURE,
    UNSURE,
    agreement,
    certainty,
    classify,
)
from napari_myelin.core.evaluation.probability import expected_share, predicted_threshold
from napari_myelin.widgets.predict.prediction_job import Result

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Shares:
    """What the maps say of all lesions together.

    ``volume`` in ml; ``mean`` DVR; ``below``, the share of lesion voxels below the threshold (`expected_share`), in
    [0, 1]; ``sure``, the share below it by more than the uncertainty, and ``unsure``, the share nearer to it than that,
    on either side; the same of the measured map, and Dice of the two masks. None: not known.
    """

    volume: float = 0.0
    mean: float | None = None
    below: float | None = None
    sure: float | None = None
    unsure: float | None = None
    true_mean: float | None = None
    true_below: float | None = None
    dice: float | None = None


class ShownPrediction(QObject):
    """A subject's predicted maps, and the masks that follow from them and the lesion mask as it is drawn.

    Signals: ``updated``, when masks and shares changed.

    Attributes
    ----------
    dvr, sketch, uncertainty
        Volumes on the subject's own grid; the last may be None.
    card
        The model's.
    threshold_on_grid
        DVR, or a map of it (I, J, K); None where nobody said.
    own_threshold
        The user's, instead of the model's; None where the model's holds.
    shares
        As the lesions are drawn now.
    """

    updated = Signal()

    def __init__(self, session: Any, result: Result) -> None:
        super().__init__()
        self.session, self.result = session, result
        self.card, self.true = result.card, result.true
        self.dvr: Volume = result.prediction.dvr
        self.sketch: Volume = result.prediction.sketch
        self.uncertainty: Volume | None = result.prediction.uncertainty
        self.own_threshold: float | None = None
        self.shares = Shares()
        self._true = None if self.true is None else result.request.frame.array(self.true)
        on_grid = result.on_grid
        self._threshold_map = None
        if isinstance(on_grid, np.ndarray):
            self._threshold_map = result.request.frame.array(Volume(on_grid, self.dvr.affine))
        self._box: Box | None = None

    @property
    def threshold_on_grid(self) -> float | np.ndarray | None:
        """The threshold that holds now, on the subject's own grid."""
        return self.result.on_grid if self.own_threshold is None else self.own_threshold

    @property
    def sd_on_grid(self) -> np.ndarray | None:
        """The SD of a measurement that the model says, (I, J, K), for `expected_share`; None where it says none."""
        # takes long to import, and was by the thread that predicted
        from napari_myelin.core.inference.model import says_variance

        says = self.uncertainty is not None and says_variance([self.card.options])
        return self.uncertainty.array if says and self.uncertainty is not None else None

    @property
    def _probability(self) -> float:
        # takes long to import, and was by the thread that predicted
        from napari_myelin.core.inference.model import decision

        return decision([self.card.options])

    @property
    def phantom(self) -> bool:
        """Whether the model was trained on simulated subjects."""
        return bool(self.card.training.phantom)

    def set_threshold(self, value: float | None) -> None:
        """Take the user's threshold (DVR), or the model's again (None), and follow at once."""
        if value != self.own_threshold:
            self.own_threshold = value
            self.update()
            self.session.prediction_changed.emit()

    def update(self) -> None:
        """Work out demyelination, agreement and shares again, inside the box of the lesions only."""
        layer = self.session.layer("lesion")
        lesion = None if layer is None else np.asarray(layer.data)
        box = None if lesion is None else _box(lesion)
        masks: dict[str, np.ndarray] = {}
        self.shares = Shares()
        if lesion is not None and box is not None:
            masks, self.shares = self._inside(lesion[box] != 0, box)
        self._put(masks, box)
        self.updated.emit()

    def _inside(self, lesion: np.ndarray, box: Box) -> tuple[dict[str, np.ndarray], Shares]:
        # takes long to import, and was by the thread that predicted
        from napari_myelin.core.evaluation.metrics import dice, share

        shown = self.result.shown
        dvr, true = shown["dvr-predicted"].array[box], None if self._true is None else self._true[box]
        volume = float(lesion.sum()) * self.dvr.voxel_volume / 1000
        mean = float(dvr[lesion].mean(dtype=np.float64))
        true_mean = None if true is None else float(true[lesion].mean(dtype=np.float64))
        threshold = self._threshold(box)
        if threshold is None:
            return {}, Shares(volume, mean, true_mean=true_mean)
        spread = shown["dvr-uncertainty"].array[box] if "dvr-uncertainty" in shown else None
        below = classify(dvr, lesion, predicted_threshold(threshold, spread, self._probability))
        labels = certainty(dvr, lesion, threshold, spread)
        inside = threshold[lesion] if isinstance(threshold, np.ndarray) else threshold
        said = spread[lesion] if spread is not None and self.sd_on_grid is not None else None
        given = {"volume": volume, "mean": mean, "true_mean": true_mean}
        given["below"] = expected_share(dvr[lesion], inside, said)
        if spread is not None:
            given |= {"sure": share(labels == SURE, lesion), "unsure": share(labels == UNSURE, lesion)}
        masks = {"demyelinated": labels}
        if true is not None:
            measured = classify(true, lesion, threshold)
            masks["agreement"] = agreement(measured, below, lesion)
            given |= {"true_below": share(measured, lesion), "dice": dice(measured, below)}
        return masks, Shares(**given)

    def _threshold(self, box: Box) -> float | np.ndarray | None:
        if self.own_threshold is not None:
            return self.own_threshold
        return self.result.on_grid if self._threshold_map is None else self._threshold_map[box]

    def _put(self, masks: dict[str, np.ndarray], box: Box | None) -> None:
        for role in ("demyelinated", "agreement"):
            layer = self.session.layer(role)
            if layer is None:
                continue
            # in place: a new array of a large grid would cost more than all the rest
            if self._box is not None:
                layer.data[self._box] = 0
            if box is not None and role in masks:
                layer.data[box] = masks[role]
            layer.refresh()
        self._box = box


def _box(mask: np.ndarray) -> Box | None:
    """Return the smallest box that holds every voxel of a mask that is not 0; None where there is none."""
    edges = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if used.size == 0:
            return None
        edges.append(slice(int(used[0]), int(used[-1]) + 1))
    a, b, c = edges
    return a, b, c
