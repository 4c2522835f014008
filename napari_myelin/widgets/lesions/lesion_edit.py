"""Joining and deleting the lesions that are chosen in the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.components import bridge
from napari_myelin.core.events import StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.lesions.mask_file import amount, millilitres

if TYPE_CHECKING:
    from napari_myelin.widgets.lesions.panel import LesionsPanel


def merge(panel: LesionsPanel) -> None:
    """Fill the shortest way between the chosen lesions, worked out in a thread, and say how much that is."""
    parts, numbers, grid = panel.lesions.parts, panel.lesions.numbers, panel.session.frame.reference
    each = [parts.mask([number], grid.shape) for number in numbers]
    whole = np.any(each, axis=0)

    def work(stop: StopRequest) -> Iterator[np.ndarray]:
        yield bridge(each, grid.spacing)

    def take(added: np.ndarray) -> None:
        mask = panel.work.mask
        if panel.session.frame is None or mask is None or panel.session.frame.reference is not grid:
            return  # another subject is on show by now
        if not mask[whole].all():
            panel.say("The lesions were changed meanwhile: choose them again.", "problem")
            return
        panel.put(Volume(mask | added, grid.affine))
        filled = amount(Volume(added, grid.affine))
        panel.say(
            f"Lesions {_listed(numbers)} are one now: {filled} between them were filled. Undo takes it back.", "good"
        )

    Job("joining lesions", work, panel.session).start(take, panel.fail)


def delete(panel: LesionsPanel) -> None:
    """Take the chosen lesions out of the mask, and say how much that was."""
    list_, grid = panel.lesions, panel.session.frame.reference
    numbers = list_.numbers
    gone = list_.parts.mask(numbers, grid.shape)
    volume = sum(list_.rows[number - 1].volume for number in numbers)
    panel.put(Volume(panel.work.mask & ~gone, grid.affine))
    what = f"Lesion {numbers[0]} was" if len(numbers) == 1 else f"Lesions {_listed(numbers)} were"
    panel.say(f"{what} deleted ({millilitres(volume)}); Undo brings it back.", "good")


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
