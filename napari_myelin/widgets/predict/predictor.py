"""Runs predictions for a viewer, whether the Predict panel is open or not, and keeps what came out on show."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from qtpy.QtCore import QTimer, Signal

from napari_myelin.core.events import Failed, Noted, Progress, Saved, Skipped, Stopped
from napari_myelin.widgets.jobs import Job, Work
from napari_myelin.widgets.maps import ShownMap, add_layer, raise_masks, role_of, take_away
from napari_myelin.widgets.predict.prediction import ShownPrediction
from napari_myelin.widgets.predict.prediction_job import Request, Result, predicting
from napari_myelin.widgets.session import Session
from napari_myelin.widgets.worker import Worker

RESULTS = ("dvr-predicted", "dvr-sketch", "dvr-uncertainty", "error", "demyelinated", "agreement")
VISIBLE = ("dvr-predicted", "demyelinated")


def is_result(role: str | None) -> bool:
    """Return whether layers of a role are a prediction's."""
    return role is not None and (role in RESULTS or role.startswith("saliency-"))


class Predictor(Worker):
    """One prediction at a time; `predictor_of` gives the viewer's.

    Signals: a `Worker`'s, and ``done`` with a sentence that says how it ended well, or that it was cancelled.

    Attributes
    ----------
    notes
        What could not be done of the last prediction, or is to be known of it, in sentences.
    """

    done = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._writing: Job | None = None
        self.notes: list[str] = []
        self._first = 0.0
        self._waiting: list[ShownMap] = []
        self._result: Result | None = None
        self._follow = QTimer(self)
        self._follow.setSingleShot(True)
        self._follow.setInterval(0)  # several signals of one stroke are one update
        self._follow.timeout.connect(self._update)
        session.lesion_changed.connect(self._follow.start)
        session.subject_changed.connect(self._left)
        session.viewer.layers.events.inserted.connect(self._listen)
        for layer in session.viewer.layers:
            self._listen_to(layer)

    @property
    def running(self) -> bool:
        """Whether a prediction is under way, or its layers are being added."""
        return super().running or bool(self._waiting)

    @property
    def seconds_left(self) -> float | None:
        """Time left as the passes so far suggest; None before the first one is through."""
        if self.progress is None or self.progress.done < 1:
            return None
        passes = self.progress.done
        each = (self._first - self._began) / passes
        return max(0.0, each * self.progress.total - (time.monotonic() - self._began))

    def run(self, request: Request) -> None:
        """Predict; an earlier prediction stays on show until this one is there, and goes if this one fails."""
        self.notes = []
        self._begin("prediction", lambda stop: predicting(request, stop))

    def clear(self, keep: Collection[str] = ()) -> None:
        """Take the last prediction and its layers away, but for the layers of some roles."""
        self._waiting.clear()
        layers = self.session.viewer.layers
        going = [layer for layer in layers if is_result(role_of(layer)) and role_of(layer) not in keep]
        take_away(self.session.viewer, going)
        if self.session.prediction is not None:
            self.session.prediction = None
            self.session.prediction_changed.emit()

    def write(self, work: Work) -> None:
        """Run work that writes files; what it wrote, or why it could not, is said like a prediction's end."""
        self._writing = Job("saving", work, self.session).start(self._wrote, self._tell, self._written)
        self.changed.emit()

    @property
    def writing(self) -> str:
        """``files are being written`` while they are, else empty."""
        return "" if self._writing is None else "files are being written"

    def _wrote(self, event: Saved | Progress) -> None:
        if isinstance(event, Saved):
            self.done.emit(f"Saved the {event.what}: {event.path}")

    def _written(self) -> None:
        self._writing = None
        self.changed.emit()

    # --- what the job says --------------------------------------------------------------------------

    def _take(self, event: Progress | Result | Stopped | Skipped | Noted) -> None:
        if isinstance(event, Progress):
            if event.done:
                self._first = time.monotonic()
            else:
                self._began = time.monotonic()
            super()._take(event)
        elif isinstance(event, Skipped | Noted):
            self.notes.append(event.reason if isinstance(event, Skipped) else event.text)
        elif isinstance(event, Stopped):
            self.done.emit("Cancelled: nothing was changed.")
        elif event.request.subject.key == getattr(self.session.subject, "key", None):
            self.clear(keep=event.shown)  # napari takes long to remove a layer: those that are filled again stay
            self._result = event
            self._waiting = list(event.shown.values())
            self._add_next()

    def _fail(self, failed: Failed) -> None:
        self.clear()  # nobody shall take the layers before for what was to come
        super()._fail(failed)

    def _left(self) -> None:
        if self.job is not None:
            self.job.stop()
        self._waiting.clear()
        self._result = None

    def _add_next(self) -> None:
        """Add one layer and give the window its turn; after the last one, say so."""
        result = self._result
        if result is None or self.session.subject is None or not self._waiting:
            return
        viewer, shown = self.session.viewer, self._waiting.pop(0)
        selected = set(viewer.layers.selection)
        layer = add_layer(viewer, shown, self.session.subject, visible=shown.role in VISIBLE)
        if "contrast_limits" in shown.style:  # of a layer that was there with other values
            layer.contrast_limits = shown.style["contrast_limits"]
        if selected:  # whoever draws goes on drawing
            viewer.layers.selection = selected & set(viewer.layers)
        if self._waiting:
            QTimer.singleShot(0, self._add_next)
            return
        self._result = None
        raise_masks(viewer)
        self._cover_lesions()
        shown_prediction = ShownPrediction(self.session, result)
        self.session.prediction = shown_prediction
        shown_prediction.update()
        self.session.prediction_changed.emit()
        self.done.emit(_done(result))
        self.changed.emit()

    def _cover_lesions(self) -> None:
        # above the lesions, whose colour would mix with theirs; the lesion layer stays the one that is drawn in
        layers = self.session.viewer.layers
        for role in ("demyelinated", "agreement"):
            layer = self.session.layer(role)
            if layer is not None:
                layer.opacity = 0.9
                layers.move(layers.index(layer), len(layers))

    # --- the lesion mask as it is drawn -------------------------------------------------------------

    def _listen(self, event: Any) -> None:
        self._listen_to(event.value)

    def _listen_to(self, layer: Any) -> None:
        if role_of(layer) == "lesion":
            layer.events.paint.connect(self._changed)
            layer.events.data.connect(self._changed)

    def _changed(self, event: Any = None) -> None:
        if self.session.prediction is not None:
            self._follow.start()

    def _update(self) -> None:
        if self.session.prediction is not None:
            self.session.prediction.update()


def _done(result: Result) -> str:
    covered = result.prediction.covered
    part = "" if covered > 0.999 else f" The grid covered {covered:.0%} of the brain's box; the rest is 0."
    of = " (phantom)" if result.card.training.phantom else ""
    return f"{result.request.subject.key} predicted with model {result.card.uid}{of}.{part}"


def predictor_of(session: Session) -> Predictor:
    """Return the predictor of a session, made at the first call."""
    return session.findChild(Predictor) or Predictor(session)
