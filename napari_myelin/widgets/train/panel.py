"""The Train panel: set a training up, start it, follow it, stop it; or do all of that elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training.job import COMMAND, SLURM, export_job
from napari_myelin.core.training.names import EVENTS
from napari_myelin.widgets.docking import open_panel
from napari_myelin.widgets.panel import Panel, allow
from napari_myelin.widgets.settings import threads
from napari_myelin.widgets.train.forms import Section
from napari_myelin.widgets.train.run_view import RunView
from napari_myelin.widgets.train.running import Run
from napari_myelin.widgets.train.training_setup import TrainingSetup

WIDTH = 370  # px
START = "Train in this window, in the background."
RESUME = "Go on with the run in the folder, from where it was saved, with its own options."
PAUSE = "Save and stop after this step; Resume goes on."
STOP = "Save and stop after this step. The run can be resumed from its folder later."
EXPORT = "Write the command, the options and a SLURM script that do this training elsewhere."
WATCH = "Follow a run that another process or machine writes, by its folder."


class TrainPanel(Panel):
    """Sets up, starts, follows and stops a training.

    Parameters
    ----------
    napari_viewer
        napari's.
    """

    name = "train"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.setMinimumWidth(WIDTH)
        self.setup = TrainingSetup(self.session, self.memory)
        self.section = Section("Set up", self.setup, opened=self.run is None)
        self.start, self.pause, self.stop = QPushButton("Start"), QPushButton("Pause"), QPushButton("Stop")
        self.export, self.watch = QPushButton("Export job..."), QPushButton("Watch a run...")
        self.view = RunView()
        buttons = QGridLayout()
        for column, button in enumerate((self.start, self.pause, self.stop)):
            buttons.addWidget(button, 0, 2 * column, 1, 2)
        for column, button in enumerate((self.export, self.watch)):
            buttons.addWidget(button, 1, 3 * column, 1, 3)
        self.column.addWidget(self.section)
        self.column.addLayout(buttons)
        self.column.addWidget(self.view)
        self.start.clicked.connect(self._start)
        self.pause.clicked.connect(self._pause)
        self.stop.clicked.connect(self._stop)
        self.export.clicked.connect(self._export)
        self.watch.clicked.connect(self._watch)
        self.setup.changed.connect(self._show_buttons)
        self.view.looked.connect(self._show_buttons)
        self.view.use_model.connect(self._use_model)
        self.view.show_run(self.run)
        self._show_buttons()

    @property
    def run(self) -> Run | None:
        """The run on show; it outlives the panel."""
        run: Run | None = self.memory.get("run")
        return run

    # --- here ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        folder, resume = self.setup.run_folder, self.setup.holds_run
        cohort = self.session.cohort
        if folder is None or cohort is None:
            return
        try:
            options = self.setup.options()
        except MyelinError as error:
            self.fail(Failed(str(error), ""))
            return
        if resume:
            self.setup.put(options)  # what is shown is what is used
        self.say("")
        run = self.run
        if run is None or run.watched or run.folder != folder or not resume:
            run = self._show_new(folder)
        self.section.open(False)
        run.train(cohort, options, resume)
        self._show_buttons()  # at once: a second click must not start it twice

    def _pause(self) -> None:
        if self.run is not None:
            self.run.pause()

    def _stop(self) -> None:
        if self.run is not None:
            self.run.stop()

    def _show_new(self, folder: Path) -> Run:
        if self.run is not None:
            self.run.leave()
            self.run.previews.remove()
        run = self.memory["run"] = Run(self.session, folder)
        self.view.show_run(run)
        return run

    # --- elsewhere ----------------------------------------------------------------------------------

    def _export(self) -> None:
        folder, cohort = self.setup.run_folder, self.session.cohort
        start = str(self.memory.get("job folder", Path.home()))
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the job", start)
        if not chosen or folder is None or cohort is None:
            return
        self.memory["job folder"] = chosen
        try:
            job = export_job(Path(chosen), cohort, elsewhere(self.setup.options()), folder)
        except MyelinError as error:
            self.fail(Failed(str(error), ""))
            return
        self.say(f"Written to {job.script.parent}: run sh {COMMAND} there, or sbatch {SLURM}.", "good")

    def _watch(self) -> None:
        if self.run is not None and self.run.watched and self.run.running:
            self.run.leave()
            return
        folder = self.setup.run_folder
        start = folder if folder is not None and folder.exists() else Path.home()
        chosen = QFileDialog.getExistingDirectory(self, f"Run folder to watch (it holds {EVENTS})", str(start))
        if chosen:
            self.say("")
            self.setup.folder.setText(chosen)  # where Resume would go on, should its process be gone
            self.section.open(False)
            self._show_new(Path(chosen)).watch()

    # --- afterwards ---------------------------------------------------------------------------------

    def _use_model(self) -> None:
        if self.run is None or self.run.model is None:
            return
        self.session.memory.setdefault("predict", {})["model"] = self.run.model
        self.session.model_offered.emit(self.run.model)
        open_panel(self.viewer, "Predict")

    def _show_buttons(self) -> None:
        run = self.run
        here = run is not None and run.running and not run.watched
        watching = run is not None and run.running and run.watched
        stopping = "it is stopping and saving" if run is not None and run.stopping else ""
        idle = "" if here else "nothing is training here"
        training = "a training is under way here" if here else ""
        over = "its run has ended" if watching and run is not None and run.course.end is not None else ""
        finished = ""
        if run is not None and run.model is not None and run.folder == self.setup.run_folder:
            finished = "the run in this folder is finished: take a new folder"
        alive = "another process is training it: ask it to stop first" if watching and run is not None else ""
        if run is None or over or run.silence() or run.folder != self.setup.run_folder:
            alive = ""
        resume = self.setup.holds_run
        self.start.setText("Resume" if resume and not here else "Start")
        allow(self.start, training or finished or alive or self.setup.objection(), RESUME if resume else START)
        allow(self.pause, idle or stopping, PAUSE)
        self.stop.setText("Ask it to stop" if watching else "Stop")
        allow(self.stop, stopping or over or ("" if watching else idle), STOP)
        allow(self.export, self._no_export(), EXPORT)
        self.watch.setText("Stop watching" if watching else "Watch a run...")
        allow(self.watch, training, "Stop following; the run itself goes on." if watching else WATCH)

    def _no_export(self) -> str:
        if self.session.cohort is None:
            return "open a cohort first"
        return self.setup.form.complaint() or ("" if self.setup.run_folder else "choose a run folder")


def elsewhere(options: Options) -> Options:
    """Return options for another machine: threads that only leave this window a core are torch's choice there."""
    own = options.runtime.threads == threads()
    return options_from({"runtime": {"threads": 0 if own else options.runtime.threads}}, options)
