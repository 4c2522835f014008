"""What the panels of one viewer share: the cohort, the subject on show, its layers, what was predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, Skipped
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.maps import ShownMap, add_layer, find_layer, load_maps, remove_layers, shown_map
from napari_myelin.widgets.settings import setting

_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


class Session(QObject):
    """The state of one viewer; panels read it, change it through its methods and listen to its signals.

    Signals: ``cohort_changed`` (another cohort, or its subjects changed); ``subject_changed`` (another subject is on
    show, or none; its layers follow); ``subject_shown`` (all its layers are there); ``lesion_changed`` (the lesion
    mask was painted, imported, removed or undone); ``prediction_changed``; ``said`` with a sentence and whether it is
    a problem.

    Attributes
    ----------
    viewer
        napari's viewer.
    cohort, subject, frame
        None until there is one. ``subject`` is what its files hold; `current_subject` has the mask as painted.
    resample
        Whether maps on another grid than their subject's are resampled.
    prediction
        What the Predict panel keeps of the last prediction of this subject; None where there is none.
    memory
        Values of each panel's form by panel name, so that a panel that was closed opens as it was.
    may_leave
        Asked, one after the other, before the subject is left; one that returns False keeps it.
    """

    cohort_changed = Signal()
    subject_changed = Signal()
    subject_shown = Signal()
    lesion_changed = Signal()
    prediction_changed = Signal()
    said = Signal(str, bool)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.cohort: Cohort | None = None
        self.subject: Subject | None = None
        self.frame: Frame | None = None
        self.resample = False
        self.prediction: Any = None
        self.memory: dict[str, dict[str, Any]] = {}
        self.may_leave: list[Callable[[], bool]] = []
        self._loading: Job | None = None

    # --- cohort and subject -------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Open a cohort: a BIDS folder, a ``cohort.tsv``, or ``sample_data``.

        Raises
        ------
        MyelinError
            As `open_cohort`.
        """
        self.set_cohort(open_cohort(path))

    def set_cohort(self, cohort: Cohort) -> None:
        """Take a cohort; the subject on show is left unless it belongs to it."""
        if self.subject is not None and not self.leave():
            return
        self.cohort = cohort
        self.cohort_changed.emit()

    def choose(self, key: str) -> None:
        """Show a subject of the cohort: its maps are read in a thread and appear as layers.

        Raises
        ------
        MyelinError
            If there is no such subject, or it has no map at all.
        """
        if self.cohort is None:
            raise MyelinError("no cohort is open: open a folder or a table first")
        (subject, *_) = self.cohort.select([key]).subjects
        self.show(subject)

    def show(self, subject: Subject) -> None:
        """Show a subject, in a cohort or not.

        Raises
        ------
        MyelinError
            If it has no map whose grid could be its own.
        """
        if self.subject is not None and not self.leave():
            return
        reference = subject.reference()
        # only the place of the reference is kept, not its values
        self.frame = Frame(Volume(np.broadcast_to(np.uint8(0), reference.shape), reference.affine))
        self.subject = subject
        self.orient()
        self.subject_changed.emit()
        frame, resample = self.frame, self.resample
        self._loading = Job("reading", lambda stop: load_maps(subject, frame, resample))
        self._loading.yielded.connect(self._take)
        self._loading.failed.connect(self._fail)
        self._loading.finished.connect(self._all_shown)
        self._loading.start()

    def leave(self) -> bool:
        """Take the subject and its layers away; return False where somebody objected (an unsaved mask)."""
        if self.subject is None:
            return True
        if not all(agreed() for agreed in self.may_leave):
            return False
        if self._loading is not None:
            self._loading.yielded.disconnect(self._take)
            self._loading.finished.disconnect(self._all_shown)
            self._loading = None
        self.subject = self.frame = self.prediction = None
        remove_layers(self.viewer)
        self.subject_changed.emit()
        return True

    def replace_subject(self, subject: Subject) -> None:
        """Take new files for the subject on show, in the cohort too; nothing is read or shown again."""
        if self.cohort is not None:
            subjects = tuple(subject if each.key == subject.key else each for each in self.cohort.subjects)
            self.cohort = replace(self.cohort, subjects=subjects)
        self.subject = subject
        self.cohort_changed.emit()

    def _take(self, event: ShownMap | Skipped) -> None:
        if isinstance(event, Skipped):
            self.said.emit(event.reason, True)
        elif self.subject is not None:
            add_layer(self.viewer, event, self.subject, visible=event.role == "lesion")

    def _fail(self, event: Failed) -> None:
        self.said.emit(f"{event.cause}. {event.advice}", True)

    def _all_shown(self) -> None:
        self._loading = None
        for role in ("flair", "t1w", "MTR", "dvr"):
            layer = find_layer(self.viewer, role)
            if layer is not None:
                layer.visible = True
                break
        self.viewer.reset_view()
        self.subject_shown.emit()

    # --- layers -------------------------------------------------------------------------------------

    def add(self, role: str, volume: Volume, *, visible: bool = False) -> Any:
        """Show a volume of the subject as a layer of ``role`` (into the one that is there), and return the layer."""
        if self.frame is None or self.subject is None:
            raise MyelinError("no subject is on show: choose one first")
        return add_layer(self.viewer, shown_map(self.frame, role, volume), self.subject, visible=visible)

    def layer(self, role: str) -> Any:
        """Return the layer of a role, or None."""
        return find_layer(self.viewer, role)

    @property
    def lesion(self) -> Volume | None:
        """The lesion mask as it stands in its layer, bool, on the subject's own grid; None without one."""
        layer = self.layer("lesion")
        return None if layer is None or self.frame is None else self.frame.volume(np.asarray(layer.data) != 0)

    @property
    def current_subject(self) -> Subject | None:
        """The subject with its lesion mask as painted instead of the file's."""
        lesion = self.lesion
        if self.subject is None or lesion is None:
            return self.subject
        return self.subject.with_files(lesion=lesion)

    def orient(self) -> None:
        """Turn the view: axial, anterior up, right on the left of the screen (radiological) unless set otherwise."""
        radiological = bool(setting("radiological"))
        self.viewer.scene.camera.orientation = ("towards", "up", "left" if radiological else "right")
        self.viewer.dims.ndisplay = 2
        self.viewer.dims.order = (0, 1, 2)
        overlay = self.viewer.canvas.overlays.text
        overlay.text = "R  <  radiological  >  L" if radiological else "L  <  neurological  >  R"
        overlay.visible = True


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, made at the first call."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # what magicgui and the plugin machinery hand out is a proxy
    if viewer not in _sessions:
        _sessions[viewer] = Session(viewer)
    return _sessions[viewer]
