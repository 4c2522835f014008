"""Unsaved masks that an earlier time left behind: found, restored or discarded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_myelin.core.events import StopRequest
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.lesions.journal import Found, find_journals
from napari_myelin.widgets.settings import autosave_folder, home_autosave

if TYPE_CHECKING:
    from napari_myelin.widgets.lesions.mask_work import MaskWork


class Recovery(QObject):
    """The journals in the autosave folder that nobody writes any more.

    Signals: ``found``, when `offers` changed.

    Attributes
    ----------
    offers
        Those of the subject on show (of any subject, where there is none), newest first.
    """

    found = Signal()

    def __init__(self, work: MaskWork) -> None:
        super().__init__(work)
        self.work = work
        self.offers: list[Found] = []
        self._told: set[Path] = set()
        work.session.subject_shown.connect(self.look)
        work.session.subject_changed.connect(self._none)

    def look(self) -> None:
        """Look into the autosave folder, and into the one that is used where none is chosen, in a thread."""
        session = self.work.session
        folders = autosave_folder(), home_autosave()  # masks may be left from before the choice
        subject, frame = session.subject, session.frame

        def read(stop: StopRequest) -> Iterator[list[Found]]:
            every = find_journals(*folders)
            yield [each for each in every if subject is None or each.fits(subject.key, frame.reference)]

        def take(found: list[Found]) -> None:
            now = session.subject
            if (now and now.key) == (subject and subject.key):
                self._offer(found)
                if subject is not None and found and found[0].path not in self._told:
                    self._told.add(found[0].path)  # the Lesions panel may not be open
                    session.tell(
                        f"An unsaved lesion mask of {subject.key} was found: see the Lesions panel.", problem=True
                    )

        Job("looking for unsaved masks", read, session).start(take)

    def add(self, found: Found) -> None:
        """Offer a mask that was left behind just now."""
        self._offer([found, *self.offers])

    def restore(self, found: Found) -> None:
        """Take an unsaved mask into the layer (undo takes it back); its old journal goes once the new one has it."""
        self.work.put(found.mask)
        if self.work.wait():
            found.remove()
        self._offer([each for each in self.offers if each is not found])

    def discard(self, found: Found) -> None:
        """Delete an unsaved mask."""
        found.remove()
        self._offer([each for each in self.offers if each is not found])

    def _none(self) -> None:
        self._offer([])

    def _offer(self, found: list[Found]) -> None:
        self.offers = found
        self.found.emit()
