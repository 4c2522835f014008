"""The Subject panel: open a cohort, see what each subject has and how its maps lie, and show one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QGroupBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout

from napari_myelin.core.data.check import SubjectReport
from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.samples import SAMPLE
from napari_myelin.core.data.subject import FREE, in_words
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.jobs import failure
from napari_myelin.widgets.opening import open_later
from napari_myelin.widgets.panel import RESEARCH, Panel, allow
from napari_myelin.widgets.subject.cohort_table import LEGEND, CohortTable, summary
from napari_myelin.widgets.subject.companions import toggle_companions
from napari_myelin.widgets.subject.geometry_table import GeometryTable, stands
from napari_myelin.widgets.subject.inspector import inspector_of
from napari_myelin.widgets.subject.raw_scans import RawSection
from napari_myelin.widgets.words import in_panel_words

WIDTH = 440  # px that the tables need
FOLDER = "Open a folder of BIDS derivatives, or one that holds a cohort.tsv."
TABLE = "Open a table: a row a subject, a column a map (cohort.tsv)."
SAMPLE_TIP = "Open the phantom cohort that comes with the package: 4 patients, 2 controls."
SHOW = "Show the selected subject's maps as layers; a double click does the same."
CHECK = "Read every map of every subject: units, ranges, NaN, overlap."
RESAMPLE = "Bring these maps to the grid of the subject's measured DVR (else first map); masks to the nearest voxel."
VIEWS = "Coronal and sagittal slices through the point of the main view; a click there moves it."


class SubjectPanel(Panel):
    """Open a cohort, look at it, and choose who is on show."""

    name = "subject"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.setMinimumWidth(WIDTH)
        self.inspector = inspector_of(self.session)
        self._make()
        self._connect()
        row = self.memory.get("row", "")
        self._refill()
        self.table.choose(row)

    def _make(self) -> None:
        self.folder_button, self.table_button = QPushButton("Folder\N{HORIZONTAL ELLIPSIS}"), QPushButton()
        self.table_button.setText("Table\N{HORIZONTAL ELLIPSIS}")
        self.sample_button = QPushButton("Sample")
        self.cohort_line, self.legend = QLabel(), QLabel(LEGEND)
        self.table = CohortTable()
        self.show_button, self.check_button = QPushButton("Show"), QPushButton("Check values")
        self.views_button = QPushButton("Orthogonal views")
        self.group = QGroupBox("Maps")
        self.group.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.geometry, self.findings = GeometryTable(), QLabel()
        self.resample_button, self.resampled = QPushButton("Resample"), QLabel()
        for label in (self.cohort_line, self.legend, self.findings, self.resampled):
            label.setWordWrap(True)
        inside = QVBoxLayout(self.group)
        inside.setContentsMargins(4, 4, 4, 4)
        for part in (self.geometry, self.findings, self.resample_button, self.resampled):
            inside.addWidget(part)
        self.column.addLayout(_row(self.folder_button, self.table_button, self.sample_button))
        self.raw_section = RawSection(self.session, self.session.memory.setdefault("prepare", {}))
        self.raw_scans = self.raw_section.scans
        self.column.addWidget(self.raw_section)
        for part in (self.cohort_line, self.table, self.legend):
            self.column.addWidget(part)
        self.column.addLayout(_row(self.show_button, self.check_button, self.views_button))
        self.column.addWidget(self.group)
        self.column.addWidget(QLabel(RESEARCH))
        self.column.addStretch(1)  # else lines that may wrap share what room is left

    def _connect(self) -> None:
        for button, tooltip in (
            (self.folder_button, FOLDER),
            (self.table_button, TABLE),
            (self.sample_button, SAMPLE_TIP),
        ):
            allow(button, "", tooltip)
        self.folder_button.clicked.connect(self._ask_folder)
        self.table_button.clicked.connect(self._ask_table)
        self.sample_button.clicked.connect(lambda: self.open(Path(SAMPLE)))
        self.show_button.clicked.connect(lambda: self._show(self.table.key))
        self.table.wanted.connect(self._show)
        self.table.chosen.connect(self._chosen)
        self.check_button.clicked.connect(self._check)
        self.views_button.clicked.connect(lambda: toggle_companions(self.viewer))
        self.resample_button.clicked.connect(self._resample)
        self.inspector.found.connect(self._found)
        self.inspector.done.connect(self._looked)
        self.inspector.failed.connect(self.fail)
        self.session.subject_changed.connect(lambda: self.say(""))  # what was said is about the one before
        for changed in (self.session.cohort_changed, self.session.subject_changed, self.session.subject_shown):
            changed.connect(self._refill)
        self.session.said.connect(self._hear)
        self.raw_scans.prepared.connect(self._prepared)
        self.raw_scans.failed.connect(self.fail)
        # the row that is looked at, a moment after the selection rests: arrow keys run over rows
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(250)
        self._rest.timeout.connect(lambda: self.inspector.look([self.table.key]))

    # --- opening ------------------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Open a cohort in a thread."""
        self.say(f"opening {path.name} \N{HORIZONTAL ELLIPSIS}")
        open_later(self.session, path).yielded.connect(self._opened)

    def _opened(self, cohort: Cohort) -> None:
        self.say("")

    def _prepared(self) -> None:
        wanted = self.raw_scans.preparer.wanted
        if wanted is not None and not self.session.mask_work.unsaved:  # else it is opened when its owner likes
            self.open(wanted.out)

    def _hear(self, text: str, problem: bool) -> None:
        self.say(text, "problem" if problem else "note")

    def _ask_folder(self) -> None:
        start = self.memory.get("folder", str(Path.home()))
        if chosen := QFileDialog.getExistingDirectory(self, "Folder of BIDS derivatives", start):
            self.memory["folder"] = chosen
            self.open(Path(chosen))

    def _ask_table(self) -> None:
        start = self.memory.get("folder", str(Path.home()))
        chosen, _ = QFileDialog.getOpenFileName(self, "Table of a cohort", start, "Tables (*.tsv *.csv *.txt)")
        if chosen:
            self.memory["folder"] = str(Path(chosen).parent)
            self.open(Path(chosen))

    def _show(self, key: str) -> None:
        self.say("")
        try:
            self.session.choose(key)
        except MyelinError as error:
            self.fail(failure(error))

    # --- looking ------------------------------------------------------------------------------------

    def _refill(self) -> None:
        """Show the cohort and the subject as the session has them now."""
        cohort, subject = self.session.cohort, self.session.subject
        self.cohort_line.setText(summary(cohort) if cohort is not None else "No cohort is open: open or drop one.")
        for part in (self.table, self.legend, self.group):
            part.setVisible(cohort is not None)
        self.table.fill(cohort, subject.key if subject is not None else "")
        for key in self.inspector.problems:
            self._mark(key)
        self._chosen(self.table.key)

    def _chosen(self, key: str) -> None:
        self.memory["row"] = key
        if key:
            self._rest.start()
        self._show_report()
        self._allow()

    def _found(self, key: str) -> None:
        self._mark(key)
        if key == self.table.key:
            self._show_report()
        self._allow()

    def _looked(self) -> None:
        self._rest.start()  # the selection may have gone on meanwhile
        self._allow()

    def _mark(self, key: str) -> None:
        report = self.inspector.reports.get(key)
        headers = self.inspector.problems.get(key, {}).items()
        problems, warnings = {role: text for role, text in headers if self._stands(text)}, {}
        for finding in report.findings if report is not None else ():
            if finding.role and self._stands(finding.text):
                (problems if finding.level == "error" else warnings)[finding.role] = in_panel_words(finding.text)
        self.table.mark(key, problems, warnings)

    def _stands(self, text: str) -> bool:
        return stands(text, self.session.resample)

    def _show_report(self) -> None:
        key = self.table.key
        report = self.inspector.reports.get(key)
        self.group.setTitle(f"Maps of {key}" if key else "Maps")
        self.geometry.fill(report, self.session.resample)
        self.geometry.setVisible(report is not None)
        if report is None:
            self.findings.setText("reading its maps \N{HORIZONTAL ELLIPSIS}" if key else "Select a subject.")
        else:
            found = [in_panel_words(finding.text) for finding in report.findings if self._stands(finding.text)]
            self.findings.setText("\n".join(f"\N{BULLET} {text}" for text in found) or "Nothing speaks against it.")
        self._show_resampling(key, report)

    def _show_resampling(self, key: str, report: SubjectReport | None) -> None:
        other = [each.role for each in report.maps if not each.on_grid and each.role not in FREE] if report else []
        self.resample_button.setVisible(bool(other) and not self.session.resample)
        names = ", ".join(in_words(role) for role in other)
        self.resample_button.setText(f"Resample {len(other)} map{'s' * (len(other) > 1)} onto the subject's grid")
        self.resample_button.setToolTip(f"{RESAMPLE}\n\n{names}")
        lines = []
        if self.session.resample:
            lines.append("Maps on another grid are resampled in this window, for predictions and trainings too.")
        if self.session.subject is not None and key == self.session.subject.key:
            lines += [f"\N{BULLET} {in_words(role)}: was {grid}" for role, grid in self.session.resampled.items()]
        self.resampled.setText("\n".join(lines))
        self.resampled.setVisible(bool(lines))

    def _resample(self) -> None:
        self.session.use_resampling()
        self.say("Maps on another grid are resampled from now on; the files stay as they are.", "good")
        self._refill()

    def _check(self) -> None:
        if self.inspector.busy:
            self.inspector.stop()
        elif self.session.cohort is not None:
            self.inspector.look([subject.key for subject in self.session.cohort.subjects])
        self._allow()

    def _allow(self) -> None:
        cohort, key = self.session.cohort, self.table.key
        subject = self.session.subject
        why = "open a cohort first" if cohort is None else "" if key else "select a subject"
        if subject is not None and key == subject.key:
            why = f"{key} is on show"
        allow(self.show_button, why, SHOW)
        known = 0 if cohort is None else sum(each.key in self.inspector.reports for each in cohort.subjects)
        total = 0 if cohort is None else len(cohort.subjects)
        why = "open a cohort first" if cohort is None else "every subject was checked" if known == total else ""
        allow(self.check_button, why, CHECK)
        self.check_button.setText(f"Checked {known} of {total}" if known > 0 else "Check values")
        allow(self.views_button, "" if subject is not None else "show a subject first", VIEWS)


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button, 1)
    return row
