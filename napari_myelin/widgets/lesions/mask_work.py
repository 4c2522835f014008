"""The lesion mask under work: watches its layer, keeps the journal, saves, and asks before anything is lost.

One a session, made with it, so that strokes are safe whether the *Lesions* panel is open or not.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed
from napari_myelin.widgets.lesions.journal import Found, Journal
from napari_myelin.widgets.lesions.lesion_layer import own_voxels, set_mask
from napari_myelin.widgets.lesions.mask_saving import may_leave
from napari_myelin.widgets.lesions.recovery import Recovery
from napari_myelin.widgets.maps import role_of
from napari_myelin.widgets.settings import autosave_folder

CHANGES = ("paint", "set_data", "data")  # napari's events that may follow a change; undo has none of its own
TOOL = ("mode", "brush_size", "n_edit_dimensions")


class MaskWork(QObject):
    """What is drawn, what of it is saved, and what lies in the journal.

    Signals: ``changed``, after each stroke, undo, import, and when the mask comes or goes; ``saved`` with the path;
    ``failed`` with a `Failed`; ``tool``, when the brush was changed; ``foreign`` with a labels layer that came from
    elsewhere, when it comes and whenever it is painted in.

    Attributes
    ----------
    layer
        The lesion layer, or None.
    mask
        bool on the subject's own grid, what the layer holds; None without a layer.
    recovery
        Unsaved masks of an earlier time.
    """

    changed = Signal()
    saved = Signal(object)
    failed = Signal(object)
    tool = Signal()
    foreign = Signal(object)
    _journal_failed = Signal(str)

    def __init__(self, session: Any) -> None:
        super().__init__(session)
        self.session = session
        self.layer: Any = None
        self.mask: np.ndarray | None = None
        self._saved: np.ndarray | None = None
        self._shown: np.ndarray | None = None
        self._journal: Journal | None = None
        self._ours = False  # whether the layer that comes now is not what the subject's file holds
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.look)
        self._journal_failed.connect(lambda sentence: self.failed.emit(Failed(sentence, "")))
        session.viewer.layers.events.inserted.connect(self._inserted)
        session.viewer.layers.events.removed.connect(self._removed)
        self.recovery = Recovery(self)
        session.may_leave.append(lambda: may_leave(self))

    # --- the layer ----------------------------------------------------------------------------------

    @property
    def volume(self) -> Volume | None:
        """The mask as a volume on the subject's own grid, a copy; None without one."""
        if self.mask is None or self.session.frame is None:
            return None
        return Volume(self.mask.copy(), self.session.frame.reference.affine)

    @property
    def unsaved(self) -> bool:
        """Whether the mask differs from its file (or holds anything, where there is no file)."""
        return self.mask is not None and not np.array_equal(self.mask, self._saved)

    def put(self, mask: Volume) -> int:
        """Make the lesion layer hold a mask, so that it can be undone; return how many voxels changed.

        Parameters
        ----------
        mask
            bool, on the subject's own grid; where there is no layer yet, one is made.
        """
        if self.layer is not None:
            count = set_mask(self.layer, self.session.frame.array(mask))
            self.look()
            return count
        self._ours = True
        try:
            self.session.add("lesion", mask, visible=True)
        finally:
            self._ours = False
        if self.layer is None:
            raise MyelinError("the mask could not be shown: choose the subject again")
        if not mask.array.any():  # else it was painted just now
            self.session.lesion_changed.emit()
        return int(mask.array.sum())

    def _inserted(self, event: Any) -> None:
        if isinstance(event.value, Labels) and role_of(event.value) is None:
            event.value.events.paint.connect(self._painted_elsewhere)
            self.foreign.emit(event.value)
        if role_of(event.value) != "lesion" or self.session.frame is None:
            return
        self._detach()
        self.layer, frame = event.value, self.session.frame
        self.mask = np.zeros(frame.reference.shape, dtype=bool)
        self._shown = np.zeros(frame.shape, dtype=bool)
        for name in CHANGES:
            getattr(self.layer.events, name).connect(self._soon)
        for name in TOOL:
            getattr(self.layer.events, name).connect(self._tool)
        if self._ours or not self.session.subject.has("lesion"):
            self._saved = self.mask.copy()
            self.look()
        else:
            self.mask = frame.volume(np.asarray(self.layer.data) != 0).array
            self._shown = np.asarray(self.layer.data) != 0
            self._saved = self.mask.copy()
        self.changed.emit()

    def _removed(self, event: Any) -> None:
        if event.value is not self.layer:
            return
        subject, mask, unsaved = self.session.subject, self.volume, self.unsaved
        path = self._journal.path if self._journal is not None else None
        self._detach()
        if subject is not None:
            if unsaved and path is not None and mask is not None:  # deleted by hand: it can be had back
                self.recovery.add(Found(path, subject.key, self.dataset, mask, time.time()))
            self.session.lesion_changed.emit()
        self.changed.emit()

    def _detach(self) -> None:
        if self.layer is None:
            return
        for name in CHANGES:
            getattr(self.layer.events, name).disconnect(self._soon)
        for name in TOOL:
            getattr(self.layer.events, name).disconnect(self._tool)
        self._end_journal(keep=self.unsaved)
        self.layer = self.mask = self._saved = self._shown = None

    def _tool(self, event: Any = None) -> None:
        self.tool.emit()

    def _painted_elsewhere(self, event: Any) -> None:
        self.foreign.emit(event.source)

    def _soon(self, event: Any = None) -> None:
        self._timer.start(0)

    def look(self) -> None:
        """Take what was painted since the last look: into the journal, and to whoever listens."""
        self._timer.stop()
        frame = self.session.frame
        if self.layer is None or frame is None or self.mask is None or self._shown is None:
            return
        now = np.asarray(self.layer.data) != 0
        if now.shape != frame.shape:
            sentence = f"the lesion layer has shape {now.shape}, the subject's grid {frame.shape}"
            self.failed.emit(Failed(sentence, "delete the layer and restore the mask"))
            return
        painted = np.flatnonzero(now != self._shown)
        if not painted.size:
            return
        voxels, values = own_voxels(frame, painted), now.reshape(-1)[painted]
        if self._journal is None:
            before = Volume(self.mask, frame.reference.affine)
            self._journal = Journal(
                autosave_folder(), self.session.subject.key, before, self.dataset, self._journal_failed.emit
            )
        self._journal.record(voxels, values)
        self.mask.reshape(-1)[voxels] = values
        self._shown = now
        self.changed.emit()
        self.session.lesion_changed.emit()

    # --- the journal --------------------------------------------------------------------------------

    @property
    def dataset(self) -> str:
        """Folder or table of the cohort; empty where there is none."""
        return "" if self.session.cohort is None else str(self.session.cohort.root.absolute())

    def _end_journal(self, *, keep: bool) -> None:
        if self._journal is not None:
            self._journal.close(keep=keep)
            self._journal = None

    def wait(self) -> bool:
        """Wait until every stroke is on the disk; return whether it is."""
        self.look()
        return self._journal is None or self._journal.wait()

    # --- saved, or not wanted -----------------------------------------------------------------------

    def took(self, path: Path, mask: Volume, subject: Subject) -> None:
        """Take note that a mask of a subject was saved; what was painted since stays in the journal."""
        if self.session.subject is not None and self.session.subject.key == subject.key:
            self.session.replace_subject(self.session.subject.with_files(lesion=path))
            if self.layer is not None:
                self._saved = mask.array
                if not self.unsaved:
                    self._end_journal(keep=False)
        self.changed.emit()
        self.saved.emit(path)

    def forget(self) -> None:
        """Count what is drawn as not worth saving."""
        self._saved = None if self.mask is None else self.mask.copy()
