"""A run as a viewer knows it, trained here or watched: it outlives the panel, which only shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Event, Failed, Finished, Saved, Stopped, StopRequest, duration, read_events
from napari_myelin.core.options import Options
from napari_myelin.core.training.names import EVENTS, MODEL
from napari_myelin.widgets.jobs import Job, Work
from napari_myelin.widgets.train.course import Course
from napari_myelin.widgets.train.preview import Previews
from napari_myelin.widgets.train.watch import Heard, Silent, ask_to_stop, follow, in_portions, patience, refuse_two
from napari_myelin.widgets.words import in_panel_words, notify

if TYPE_CHECKING:
    from napari_myelin.core.inference.model import TrainingSummary  # imports torch


class Run(QObject):
    """A training in this window, or one in another process that is watched.

    Signals: ``changed`` when anything is new (many times a second: look at leisure), ``ended`` once, last.

    Parameters
    ----------
    session
        Of the viewer that shows it.
    folder
        The run folder.
    """

    changed = Signal()
    ended = Signal()

    def __init__(self, session: Any, folder: Path) -> None:
        super().__init__()
        self.session, self.folder, self.course = session, folder, Course()
        self.previews = Previews(session, shown=session.subject is None)
        self.watched = self.pausing = self.asked = False
        self.cohort: Cohort | None = None
        self.options: Options | None = None
        self.problem = ""  # why it ended, or why it cannot be asked to stop
        self.job: Job | None = None
        self._silent = 0.0
        self._phantom = False  # of a watched run, once it has saved a model

    # --- what it does -------------------------------------------------------------------------------

    def train(self, cohort: Cohort, options: Options, resume: bool) -> None:
        """Train here, in a thread; ``resume`` goes on from what the folder holds."""
        self.cohort, self.options, self.watched, self.pausing = cohort, options, False, False
        folder = self.folder

        def work(stop: StopRequest) -> Iterator[Event | Heard]:
            if resume:
                done = read_events(folder / EVENTS)
                refuse_two(folder, done)
                if not self.course.curves:  # what an earlier session or another process did
                    yield from in_portions(Heard(done))
            from napari_myelin.core.training.fit import fit

            yield from fit(cohort, options, folder, stop=stop, resume=resume)

        self._start("training", work)

    def watch(self) -> None:
        """Follow what another process writes into the folder."""
        folder, self.watched = self.folder, True

        def work(stop: StopRequest) -> Iterator[Heard | Silent | TrainingSummary]:
            told = False
            for heard in follow(folder, stop):
                yield heard
                saved = isinstance(heard, Heard) and any(isinstance(each, Saved) for each in heard.events)
                if saved and not told and (folder / MODEL).exists():
                    from napari_myelin.core.inference.model import read_card

                    told = True
                    yield read_card(folder / MODEL).training

        self._start("watching", work)

    def pause(self) -> None:
        """Stop, save, and be ready to go on."""
        self.pausing = True
        self.stop()

    def stop(self) -> None:
        """Stop and save; a watched run is asked through its folder."""
        if self.watched:
            try:
                ask_to_stop(self.folder)
                self.asked = True
            except MyelinError as error:
                self._say_problem(Failed(str(error), ""))
        elif self.job is not None:
            self.job.stop()
            self.asked = True
        self.changed.emit()

    def leave(self) -> None:
        """End the watching; the run itself goes on."""
        if self.watched and self.job is not None:
            self.job.stop()

    # --- how it stands ------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the training or the watching is under way."""
        return self.job is not None and self.job.running

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        asked = self.asked or (not self.watched and self.job is not None and self.job.asked_to_stop)
        return self.running and self.course.end is None and asked

    @property
    def paused(self) -> bool:
        """Whether it was paused here and waits to go on."""
        return self.pausing and not self.running and isinstance(self.course.end, Stopped)

    def silence(self) -> str:
        """Return that nothing came for long, and what that may mean; empty where something did, or it has ended."""
        since = max(self._silent, 0.0)
        if not self.watched or self.course.end is not None or since < patience(self.course):
            return ""
        pace = f" (a step took {duration(self.course.pace)})" if self.course.pace else ""
        return f"Nothing came for {duration(since)}{pace}: its process may be gone. Resume goes on from its last state."

    def sentence(self) -> str:
        """Return how the run stands, in words."""
        end = self.course.end
        if self.stopping:
            return "Stopping after this step, saving..."
        if isinstance(end, Finished):
            return f"Finished in {duration(end.seconds)}."
        if isinstance(end, Stopped):
            word = "Paused" if self.paused else "Stopped"
            return f"{word} and saved: {end.stage}, epoch {end.epoch}, step {end.step}. Resume goes on from there."
        if self.problem:
            return self.problem
        return self.silence() or ("Watching." if self.watched else "Training.")

    @property
    def phantom(self) -> bool:
        """Whether it trains on simulated subjects."""
        return self.cohort.phantom if self.cohort is not None else self._phantom

    @property
    def model(self) -> Path | None:
        """The model of a finished run."""
        return Path(self.course.end.model) if isinstance(self.course.end, Finished) else None

    # --- what it hears ------------------------------------------------------------------------------

    def _start(self, name: str, work: Work) -> None:
        self.problem, self.asked = "", False
        self.job = Job(name, work, self.session).start(self._hear, self._fail, self._over)
        self.changed.emit()

    def _hear(self, heard: Event | Heard | Silent | TrainingSummary) -> None:
        if isinstance(heard, Silent):
            self._silent = heard.seconds
        elif not isinstance(heard, Event | Heard):
            self._phantom = heard.phantom
        elif isinstance(heard, Heard):
            self._catch_up(heard)
        else:
            self._take(heard)
        self.changed.emit()

    def _catch_up(self, heard: Heard) -> None:
        self._silent = 0.0
        if heard.again:
            self.course = Course()
        before = self.course.preview
        for event in heard.events:
            self.course.take(event)
        if self.course.preview is not before:
            self._preview()
        if heard.more or not self.watched:
            return
        if self.course.end is not None:
            self.asked = False  # should it be resumed, nobody has asked that one yet
        if isinstance(self.course.end, Failed):
            self._say_problem(self.course.end)
        elif self.course.end is None:
            self.problem = ""

    def _take(self, event: Event) -> None:
        before = self.course.preview
        self.course.take(event)
        if self.course.preview is not before:
            self._preview()

    def _preview(self) -> None:
        preview = self.course.preview
        if preview is not None:
            self.previews.update(self.folder / preview.path, preview.subject)

    def _fail(self, failed: Failed) -> None:
        if not self.watched:
            self.course.take(failed)
        self._say_problem(failed)

    def _say_problem(self, failed: Failed) -> None:
        self.problem = in_panel_words(failed.sentence)
        notify(failed)
        self.changed.emit()

    def _over(self) -> None:
        if self.model is not None and not self.watched:
            show_info(f"Training finished: {self.model}")
        self.changed.emit()
        self.ended.emit()
