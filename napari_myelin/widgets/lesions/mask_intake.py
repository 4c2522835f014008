"""Taking a mask in: from a file, or from a labels layer that was not made here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.lesions.lesion_layer import layer_volume
from napari_myelin.widgets.lesions.mask_file import Imported, import_mask, place_mask

if TYPE_CHECKING:
    from napari_myelin.widgets.lesions.panel import LesionsPanel


def import_file(panel: LesionsPanel, path: Path) -> None:
    """Read a mask file in a thread; one on another grid is offered with what resampling makes of it."""
    subject, grid = panel.session.subject, panel.session.frame.reference

    def read(stop: StopRequest) -> Iterator[Imported]:
        yield import_mask(path, grid)

    def offer(imported: Imported) -> None:
        if panel.session.frame is None or panel.session.frame.reference is not grid:
            return  # another subject is on show by now
        if not imported.resampled:
            _take(panel, imported)
            return
        text = (
            f"{imported.source} lies on another grid. On {subject.key}'s, to the nearest voxel, its "
            f"{imported.before} become {imported.after}."
        )
        answers = {"Resample": lambda: _take(panel, imported), "Cancel": lambda: None}
        panel.offer.make(" ".join([text, *_sentences(imported.notes)]), answers)

    Job("reading a mask", read, panel.session).start(offer, panel.fail)


def _take(panel: LesionsPanel, imported: Imported) -> None:
    drawn = panel.work.mask is not None and panel.work.mask.any()
    panel.put(imported.mask)
    notes = [f"{imported.source}: {imported.after}.", *_sentences(imported.notes)]
    if drawn:
        notes.append("It takes the place of what was drawn; Undo brings that back.")
    panel.say(" ".join(notes), "good")


def offer_adoption(panel: LesionsPanel, layer: Any) -> None:
    """Offer to copy a labels layer that was not made here, once until that is answered."""
    if panel.offer.about is layer or panel.session.frame is None:
        return
    text = f'The layer "{layer.name}" is none of {panel.session.subject.key}: what is drawn there is not saved with it.'
    answers = {"Use as lesion mask": lambda: adopt(panel, layer), "Leave it": lambda: None}
    panel.offer.make(text, answers, layer)


def adopt(panel: LesionsPanel, layer: Any) -> None:
    """Copy what a labels layer holds into the mask, to where it lies in the world; the layer is hidden, not removed."""
    frame = panel.session.frame
    mask, grid = layer_volume(layer, frame), frame.reference
    if mask is None:
        panel.fail(Failed(f'"{layer.name}" has {layer.ndim} dimensions', "a mask has three"))
        return
    try:
        placed = place_mask(f'"{layer.name}"', mask, grid)
    except MyelinError as error:
        panel.fail(Failed(str(error), ""))
        return
    drawn = panel.work.mask if panel.work.mask is not None else np.zeros(grid.shape, dtype=bool)
    panel.put(Volume(drawn | placed.mask.array, grid.affine))
    layer.visible = False
    panel.work.layer.mode = "paint"
    how = f"its {placed.before} became {placed.after}" if placed.resampled else placed.after
    panel.say(" ".join([f'"{layer.name}" was copied into the mask: {how}.', *_sentences(placed.notes)]), "good")


def _sentences(notes: tuple[str, ...]) -> list[str]:
    return [f"{note[0].upper()}{note[1:]}." for note in notes]
