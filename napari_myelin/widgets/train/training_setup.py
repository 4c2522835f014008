"""What a training is asked for: cohort, preset, options, run folder; and what it would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import UsageError
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, preset, preset_names, read_options
from napari_myelin.core.training.names import OPTIONS
from napari_myelin.widgets.folder_field import FolderField
from napari_myelin.widgets.panel import tint, wrapping_label
from napari_myelin.widgets.settings import setting, threads
from napari_myelin.widgets.train.forms import OptionsForm
from napari_myelin.widgets.train.outlook import Outlook
from napari_myelin.widgets.words import in_home


class TrainingSetup(QWidget):
    """Cohort, preset, options and run folder of a training.

    Signal: ``changed``, when anything of it did.

    Parameters
    ----------
    session
        Of the viewer.
    memory
        Where the form's values outlive it.
    """

    changed = Signal()

    def __init__(self, session: Any, memory: dict[str, Any]) -> None:
        super().__init__()
        self.session, self.memory = session, memory
        self.outlook = Outlook(session, self)
        self.cohort = wrapping_label()
        self.preset = QComboBox()
        self.preset.addItems(preset_names())
        self.preset.setToolTip("Options to begin with: those of the paper, or small ones for a first look.")
        self.form = OptionsForm(self._starting(str(memory.get("preset", "demo"))), opened="training")
        self.folder = FolderField()
        self.folder.setToolTip("Folder that the run makes: its options, events, state, preview and model.")
        self.choose = QPushButton("Choose...")
        self.choose.setToolTip("Choose the folder of a run, to resume it, or a new one.")
        self.fresh = QPushButton("New")
        self.fresh.setToolTip("Take a new folder that holds no run yet.")
        self.holds = wrapping_label()
        self.needs = wrapping_label()
        self._lay_out()
        self._restore()
        self._connect()
        self._cohort_changed()

    def _lay_out(self) -> None:
        rows = QGridLayout(self)  # a form layout gives lines that wrap the room of others
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setColumnStretch(1, 1)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.addWidget(self.choose)
        buttons.addWidget(self.fresh)
        choosing = QWidget()
        choosing.setLayout(buttons)
        parts = (("Cohort", self.cohort), ("Preset", self.preset), ("", self.form), ("Run folder", self.folder))
        for row, (name, part) in enumerate((*parts, (" ", choosing), ("", self.holds), ("Memory", self.needs))):
            if name:
                rows.addWidget(QLabel(name), row, 0)
            rows.addWidget(part, row, 1 if name else 0, 1, 1 if name else 2)

    def _restore(self) -> None:
        self.preset.setCurrentText(self.form.preset)
        self.form.put_given(self.memory.get("form", {}))
        self.folder.setText(str(self.memory.get("folder") or in_home(free_folder())))

    def _connect(self) -> None:
        self.preset.textActivated.connect(lambda name: self.form.put(self._starting(name)))
        self.form.changed.connect(self._edited)
        self.folder.textChanged.connect(self._edited)
        self.choose.clicked.connect(lambda: self.folder.choose("Run folder"))
        self.fresh.clicked.connect(lambda: self.folder.setText(in_home(free_folder())))
        self.outlook.known.connect(self._show_outlook)
        self.session.cohort_changed.connect(self._cohort_changed)

    # --- what is asked for --------------------------------------------------------------------------

    @property
    def run_folder(self) -> Path | None:
        """The folder that is given, None where none is."""
        return self.folder.path

    @property
    def holds_run(self) -> bool:
        """Whether the folder holds a run, which can only be resumed."""
        folder = self.run_folder
        return folder is not None and (folder / OPTIONS).exists()

    def options(self) -> Options:
        """Return the options to train with: the form's; of a run to resume, its own, but for the devices.

        Raises
        ------
        UsageError
            If the form, or the run's file, holds what cannot be.
        """
        given = self.form.options()
        if self.holds_run and self.run_folder is not None:
            own = read_options(self.run_folder / OPTIONS)
            runtime = given.runtime.model_copy(update={"precision": own.runtime.precision})
            return own.model_copy(update={"runtime": runtime})
        return given

    def objection(self) -> str:
        """Return why it cannot start so; empty where it can."""
        if self.session.cohort is None:
            return "open a cohort first (Subject panel, or drop its folder on the viewer)"
        if self.run_folder is None:
            return "choose a run folder"
        try:
            options = self.options()
        except UsageError as error:
            return str(error)
        if options.runtime.devices * options.runtime.num_nodes > 1:
            return "this window trains on one device: set devices and nodes to 1, or export a job for several"
        return self.outlook.problem

    def put(self, options: Options) -> None:
        """Show options."""
        self.preset.setCurrentText(options.preset)
        self.form.put(options)

    def _starting(self, name: str) -> Options:
        own = {"runtime": {"device": setting("device"), "threads": threads()}}
        base = preset(name)
        return options_from({**own, "data": {"resample": base.data.resample or self.session.resample}}, base)

    # --- when it changes ----------------------------------------------------------------------------

    def _edited(self) -> None:
        self.form.complaint()
        self.memory["preset"] = self.form.preset
        self.memory["form"] = self.form.given()
        self.memory["folder"] = self.folder.text()
        self.holds.setText("The folder holds a run: Resume goes on with its own options." if self.holds_run else "")
        self.holds.setVisible(self.holds_run)
        self._ask()
        self.changed.emit()

    def _cohort_changed(self) -> None:
        cohort = self.session.cohort
        self.outlook.forget()
        if cohort is None:
            self.cohort.setText("none is open yet")
            self.needs.setText("known when a cohort is open")
        else:
            self.cohort.setText(f"{_name(cohort)}: {len(cohort.subjects)} subjects")
            self.needs.setText("...")
        self._edited()

    def _ask(self) -> None:
        cohort: Cohort | None = self.session.cohort
        run = self.memory.get("run")
        if cohort is None or (run is not None and run.running and not run.watched):
            return
        try:
            self.outlook.ask(cohort, self.options())
        except UsageError:
            return

    def _show_outlook(self) -> None:
        cohort, outlook = self.session.cohort, self.outlook
        if outlook.forecast is not None and cohort is not None:
            self.cohort.setText(f"{_name(cohort)}: {outlook.subjects()}")
            self.needs.setText(outlook.memory())
        else:
            self.needs.setText(outlook.problem)
        good = outlook.forecast is not None and not outlook.forecast.advice
        tint(self.needs, "note" if good else "problem")
        self.changed.emit()


def free_folder() -> Path:
    """Return a run folder in the user's home that is not there yet."""
    home = Path.home() / "napari-myelin"
    number = 1
    while (home / f"run-{number}").exists():
        number += 1
    return home / f"run-{number}"


def _name(cohort: Cohort) -> str:
    return (cohort.name or cohort.root.name) + (" (phantom)" if cohort.phantom else "")
