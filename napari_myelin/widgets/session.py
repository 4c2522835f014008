"""What the panels of one viewer share: the cohort, the subject on show, its layers, what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, Skipped
from napari_myelin.widgets.layers import Frame, grid_of
from napari_myelin.widgets.lesions.mask_work import MaskWork
from napari_myelin.widgets.loading import Loader
from napari_myelin.widgets.maps import (
    ShownMap,
    add_layer,
    find_layer,
    own_grid,
    raise_masks,
    remove_layers,
    roles_to_show,
    show_one,
    shown_map,
)
from napari_myelin.widgets.orientation import Letters
from napari_myelin.widgets.words import in_panel_words

_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


class Session(QObject):
    """The state of one viewer; panels read it, change it through its methods and listen to its signals.

    Signals: ``cohort_changed`` (another cohort, or its subjects changed); ``subject_changed`` (another subject is on
    show, or none; its layers follow); ``subject_shown`` (all its layers are there); ``lesion_changed`` (the lesion
    mask was painted, imported, removed or undone); ``prediction_changed``; ``model_offered`` with the file of a model
    to predict with; ``said`` with a sentence and whether it is a problem.

    Attributes
    ----------
    cohort, subject, frame
        None until there is one. ``subject`` is what its files hold; `current_subject` has the mask as painted.
    resample, resampled
        Whether maps on another grid than their subject's are resampled; which of those on show were, and from where.
    prediction
        What the Predict panel keeps of the last prediction of this subject; None where there is none.
    letters, loader, mask_work
        Write the view's edges; read maps; keep what is drawn of the lesion mask, what of it is saved, and its journal.
    memory
        Values of each panel's form by panel name, for when it is opened again.
    may_leave
        Asked, one after the other, before the subject is left; one that returns False keeps it.
    """

    cohort_changed = Signal()
    subject_changed = Signal()
    subject_shown = Signal()
    lesion_changed = Signal()
    prediction_changed = Signal()
    model_offered = Signal(object)
    said = Signal(str, bool)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = ref(viewer)
        self.cohort: Cohort | None = None
        self.subject: Subject | None = None
        self.frame: Frame | None = None
        self.resample = False
        self.prediction: Any = None
        self.memory: dict[str, dict[str, Any]] = {}
        self.may_leave: list[Callable[[], bool]] = []
        self.resampled: dict[str, str] = {}
        self.letters = Letters(viewer)
        self.loader = Loader(self)
        self.loader.took.connect(self._take)
        self.loader.failed.connect(self.fail)
        self.loader.done.connect(self._all_read)
        self._whole = False  # every map that the subject came with is on show
        self._visible: set[str] = set()  # roles that are switched on when they arrive
        self.mask_work = MaskWork(self)

    @property
    def viewer(self) -> Any:
        """Return napari's viewer."""
        return self._viewer()

    def open(self, path: Path) -> None:
        """Open a cohort: a BIDS folder, a ``cohort.tsv``, or ``sample_data``.

        Raises
        ------
        MyelinError
            As `open_cohort`.
        """
        self.set_cohort(open_cohort(path))

    def set_cohort(self, cohort: Cohort) -> bool:
        """Take a cohort and leave the subject on show; return whether nobody objected to leaving."""
        if not self.leave():
            return False
        self.cohort = cohort
        self.cohort_changed.emit()
        return True

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

    def show(self, subject: Subject, grid: Volume | None = None) -> bool:
        """Show a subject, in a cohort or not; return whether nobody objected to leaving the one before.

        Parameters
        ----------
        subject
            Whose maps are read.
        grid
            What it is shown on, where that is not its own grid; its values do not matter.

        Raises
        ------
        MyelinError
            If it has no map whose grid could be its own.
        """
        grid = own_grid(subject) if grid is None else grid_of(grid)
        if not self.leave():
            return False
        self.frame, self.subject = Frame(grid), subject
        self.letters.show(subject.key)
        self.subject_changed.emit()
        self.load_maps(roles_to_show(subject))
        return True

    def leave(self) -> bool:
        """Take the subject and its layers away; return False where somebody objected (an unsaved mask)."""
        if self.subject is None:
            return True
        if not all(agreed() for agreed in self.may_leave):
            return False
        self.loader.forget()
        self.subject = self.frame = self.prediction = None
        self.resampled, self._whole, self._visible = {}, False, set()
        self.letters.show("")
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

    def use_resampling(self) -> None:
        """Resample maps on another grid from now on, and show those of the subject that were left out so far."""
        self.resample = True
        if self.subject is not None:
            self.load_maps([role for role in roles_to_show(self.subject) if self.layer(role) is None])

    def load_maps(self, roles: Sequence[str], *, visible: bool = False) -> None:
        """Read maps of the subject on show in a thread; each becomes a layer, `subject_shown` comes after the last."""
        if self.subject is not None and self.frame is not None:
            self._visible |= {*roles} if visible else {"lesion"}
            self.loader.maps(self.subject, self.frame, roles, self.resample)

    def load_image(self, role: str, path: Path) -> None:
        """Show a file as a layer of ``role`` beside the subject, wherever it lies; it is none of the subject's maps."""
        if self.frame is not None:
            self._visible.add(role)
            self.loader.image(self.frame, role, path)

    def _take(self, event: ShownMap | Skipped) -> None:
        if isinstance(event, Skipped):
            self.tell(event.reason, problem=True)
        elif self.subject is not None:
            if event.resampled:
                self.resampled[event.role] = event.resampled
            add_layer(self.viewer, event, self.subject, visible=event.role in self._visible)

    def _all_read(self) -> None:
        raise_masks(self.viewer)
        if not self._whole:
            show_one(self.viewer)
            self.viewer.reset_view()
        self._whole = True
        self.subject_shown.emit()

    def fail(self, event: Failed) -> None:
        """Say why something could not be done."""
        self.tell(event.sentence, problem=True)

    def tell(self, text: str, *, problem: bool = False) -> None:
        """Say a sentence in the panels that listen; a problem is a notification too."""
        text = in_panel_words(text)
        self.said.emit(text, problem)
        if problem:
            show_warning(text)

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


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, made at the first call."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # what magicgui and the plugin machinery hand out is a proxy
    if viewer not in _sessions:
        _sessions[viewer] = Session(viewer)
    return _sessions[viewer]
