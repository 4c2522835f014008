"""Saving the mask under work: where to, what is asked before, and what follows when it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEventLoop

from napari_myelin.core.events import Failed
from napari_myelin.widgets.closing import window_of
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.lesions import questions
from napari_myelin.widgets.lesions.mask_file import amount, own_place, save_mask, suggested_place
from napari_myelin.widgets.lesions.questions import Leave, Overwrite

if TYPE_CHECKING:
    from napari_myelin.widgets.lesions.mask_work import MaskWork


def save(work: MaskWork, *, other_name: bool = False) -> Job | None:
    """Save the mask in a thread, after asking whatever has to be asked; None where the user gave up.

    Parameters
    ----------
    work
        The mask; it says ``saved`` or ``failed``, and is as it was where it failed.
    other_name
        Ask for a name even where the mask has a place of its own.
    """
    session = work.session
    window = window_of(session)
    place = None if other_name else own_place(session.subject, session.cohort)
    keep = False
    while place is None or place.exists():
        if place is not None:
            answer = questions.ask_overwrite(window, place)
            keep = answer is Overwrite.KEEP
            if answer in (Overwrite.REPLACE, Overwrite.KEEP):
                break
            if answer is Overwrite.CANCEL:
                return None
        place = questions.ask_save_name(window, suggested_place(session.subject, session.cohort))
        if place is None:
            return None
    return _start(work, place, keep)


def _start(work: MaskWork, place: Path, keep: bool) -> Job | None:
    work.look()
    mask, subject = work.volume, work.session.subject
    if mask is None:
        work.failed.emit(Failed("there is no lesion mask to save", "draw or import one first"))
        return None

    def write(stop: Any) -> Iterator[Path]:
        save_mask(place, mask, subject, backup=keep)
        yield place

    return Job("saving a mask", write, work.session).start(lambda path: work.took(path, mask, subject), work.failed)


def may_leave(work: MaskWork) -> bool:
    """Ask what becomes of unsaved strokes, and do it; return whether the subject may be left."""
    work.look()
    mask = work.volume
    if mask is None or not work.unsaved:
        return True
    answer = questions.ask_leave(window_of(work.session), work.session.subject.key, amount(mask))
    if answer is Leave.SAVE:
        job = save(work)
        if job is not None:
            wait = QEventLoop()
            job.finished.connect(wait.quit)
            wait.exec()
        return not work.unsaved
    if answer is Leave.DISCARD:
        work.forget()
    return answer is not Leave.STAY
