"""Evaluate: tables and pictures hold the engine's numbers, a click opens the subject, failures leave the app ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouse import press
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.evaluation.statistics import limits_of_agreement
from napari_myelin.core.evaluation.table import read_evaluation
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.evaluate.panel import EvaluatePanel
from napari_myelin.widgets.session import Session, session_of

SECONDS = 60_000


@pytest.fixture(scope="module")
def predictions(trained_run: Path, phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of the phantom cohort, by the engine."""
    folder = tmp_path_factory.mktemp("predictions") / "made"
    options = PredictionOptions(threshold_value=1.1)
    models = [load_model(trained_run / "model.safetensors")]
    for _ in predict_cohort(models, phantom_cohort, folder, options, RuntimeOptions(device="cpu")):
        pass
    return folder


@pytest.fixture
def panel(viewer: Any, qtbot: Any, phantom_cohort: Cohort) -> EvaluatePanel:
    session_of(viewer).set_cohort(phantom_cohort)
    _, panel = viewer.window.add_plugin_dock_widget("napari-myelin", "Evaluate")
    return panel


def evaluated(panel: EvaluatePanel, qtbot: Any, folder: Path) -> Any:
    panel.use(folder)
    with qtbot.waitSignal(panel.evaluator.ended, timeout=SECONDS):
        press(qtbot, panel.evaluate_button)
    return panel.view


def test_tables_and_pictures_hold_the_engines_numbers_and_a_click_opens_the_subject(
    panel: EvaluatePanel, qtbot: Any, predictions: Path, phantom_cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not panel.evaluate_button.isEnabled()
    assert "choose a folder of predictions" in panel.evaluate_button.toolTip()
    view = evaluated(panel, qtbot, predictions)
    expected = read_evaluation(predictions / "evaluation")
    assert "Phantom: these subjects are simulated." in view.title.text()
    assert "5 subjects" in view.title.text()
    assert "the model was trained on" in view.warning.text().lower()
    # the summary: a row a measure, a column a method
    heads = [view.summary.horizontalHeaderItem(column).text() for column in range(view.summary.columnCount())]
    assert heads == ["Prediction", "Sketch", "Linear", "Noise-free"]
    assert view.summary.verticalHeaderItem(0).text() == "MSE, DVR²"
    mse = expected.of("predicted", "mse")
    assert view.summary.item(0, 0).text() == f"{mse.mean:.4f}\n({mse.sd:.4f})"
    assert view.summary.item(0, 0).toolTip() == "mean (SD) over 5 subjects"
    # every subject
    rows = [score for score in expected.scores if score.method == "predicted"]
    for row, score in enumerate(rows):
        assert view.subjects.verticalHeaderItem(row).text() == score.subject
        assert view.subjects.item(row, 0).text() == f"{score.values['mse']:.4f}"
    # boxes: a point for every subject and method, at its value
    (axes,) = view.boxes.figure.axes
    assert axes.get_title() == "n = 5 subjects, phantom"
    (points, *_) = view.boxes.keys
    assert view.boxes.keys[points] == [score.subject for score in rows]
    np.testing.assert_allclose(points.get_offsets()[:, 1], [score.values["mse"] for score in rows])
    assert len(view.boxes.keys) == 4
    # Bland and Altman, of each lesion
    (axes,) = view.agreement.figure.axes
    pairs = [(pair, score.subject) for score in rows for pair in score.lesions]
    limits = limits_of_agreement([pair[0] for pair, _ in pairs], [pair[1] for pair, _ in pairs])
    lines = [line.get_ydata()[0] for line in axes.lines]
    np.testing.assert_allclose(lines, [limits.bias, limits.low, limits.high])
    assert axes.get_title() == f"n = {len(pairs)} lesions of 3 patients, phantom\n(lesions above 106 mm³)"
    assert axes.texts[0].get_text() == f"{limits.bias:+.3f}"

    # a click on a point, at its pixel, opens its subject
    view.tabs.setCurrentIndex(3)
    panel.resize(420, 900)
    panel.show()
    qtbot.waitExposed(panel)
    view.agreement.canvas.draw()
    (points,) = view.agreement.keys
    number = next(index for index, (_, key) in enumerate(pairs) if key == "sub-02")
    with qtbot.waitSignal(panel.session.subject_shown, timeout=SECONDS):
        click(view.agreement, points.get_offsets()[number], qtbot)
    assert panel.session.subject.key == "sub-02"
    # and so does a row of the table
    with qtbot.waitSignal(panel.session.subject_shown, timeout=SECONDS):
        view.subjects.cellClicked.emit(3, 0)
    assert panel.session.subject.key == rows[3].subject

    # colours follow the theme
    dark = view.boxes.figure.get_facecolor()
    panel.viewer.theme = "light"
    assert view.boxes.figure.get_facecolor() != dark
    panel.viewer.theme = "dark"

    # the page
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    with qtbot.waitSignal(panel.evaluator.wrote, timeout=SECONDS):
        press(qtbot, panel.page_button)
    assert opened == [str(predictions / "evaluation" / "page.html")]
    assert "Phantom: these subjects are simulated" in Path(opened[0]).read_text(encoding="utf-8")

    # a panel that is opened again shows the same
    view.measure.setCurrentIndex(view.measure.findData("ssim"))
    view.measure.activated.emit(view.measure.currentIndex())
    qtbot.waitUntil(lambda: not panel.evaluator.running, timeout=SECONDS)
    other = EvaluatePanel(panel.viewer)
    qtbot.addWidget(other)
    assert other.view.measure.currentData() == "ssim"
    assert other.view.boxes.figure.axes[0].get_ylabel() == "SSIM"
    assert other.folder == predictions


def click(picture: Any, point: np.ndarray, qtbot: Any) -> None:
    """Click where a point of the data is drawn."""
    (axes,) = picture.figure.axes
    x, y = axes.transData.transform(point)
    ratio = picture.canvas.devicePixelRatio()
    from qtpy.QtCore import QPoint

    place = QPoint(round(x / ratio), round(picture.canvas.height() - y / ratio))
    qtbot.mouseClick(picture.canvas, Qt.MouseButton.LeftButton, pos=place)


def test_a_cohort_is_predicted_and_compared_from_here_and_can_be_cancelled(
    panel: EvaluatePanel,
    qtbot: Any,
    trained_run: Path,
    phantom_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluator, form = panel.evaluator, panel.prediction
    broken = phantom_cohort.subjects[1]
    files = {role: source for role, source in broken.files.items() if role != "FA"}
    subjects = (phantom_cohort.subjects[0], type(broken)(broken.name, group="MS", files=files))
    panel.session.set_cohort(Cohort(phantom_cohort.root, subjects, phantom=True))
    form.model.choose(trained_run / "model.safetensors")
    qtbot.waitUntil(lambda: form.button.isEnabled(), timeout=SECONDS)
    form.editors["uncertainty"].put(1)
    assert "a standard deviation needs 2 draws or more" in form.button.toolTip()
    form.editors["uncertainty"].put(0)
    folder = tmp_path / "made"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    with qtbot.waitSignal(evaluator.evaluated, timeout=SECONDS):
        press(qtbot, form.button)
        assert panel.state.text().startswith("Predicting")
        assert "predicting is under way" in panel.evaluate_button.toolTip()
    qtbot.waitUntil(lambda: not evaluator.running, timeout=SECONDS)
    assert {score.subject for score in evaluator.result.evaluation.scores} == {"sub-01"}
    assert "sub-02 has no FA map" in panel.message.text()
    assert not panel.section.header.isChecked()  # folded: there is room for what came

    # predictions that are there are asked for
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    press(qtbot, form.button)
    assert not evaluator.running
    # cancelled at the first subject, nothing is compared
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    before = evaluator.result
    press(qtbot, form.button)
    press(qtbot, panel.cancel_button)
    assert panel.state.text() == "Cancelling..."
    qtbot.waitUntil(lambda: not evaluator.running, timeout=SECONDS)
    assert evaluator.result is before
    assert panel.evaluate_button.isEnabled()


def test_failures_are_sentences_and_leave_the_panel_ready(
    panel: EvaluatePanel, qtbot: Any, predictions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.use(tmp_path)
    with qtbot.waitSignal(panel.evaluator.failed, timeout=SECONDS):
        press(qtbot, panel.evaluate_button)
    assert "holds no predictions" in panel.message.text()
    qtbot.waitUntil(lambda: panel.evaluate_button.isEnabled(), timeout=SECONDS)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        panel.use(predictions)
        with qtbot.waitSignal(panel.evaluator.failed, timeout=SECONDS):
            press(qtbot, panel.evaluate_button)
        qtbot.waitUntil(lambda: not panel.evaluator.running, timeout=SECONDS)
    assert "No space left on device" in panel.message.text()

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("napari_myelin.core.evaluation.metrics.ssim", fails)
        with qtbot.waitSignal(panel.evaluator.failed, timeout=SECONDS):
            press(qtbot, panel.evaluate_button)
        qtbot.waitUntil(lambda: not panel.evaluator.running, timeout=SECONDS)
    assert panel.message.text().startswith("out of memory")
    assert evaluated(panel, qtbot, predictions).done is not None


def test_without_a_cohort_the_buttons_say_so(viewer: Any, qtbot: Any, show: Callable[..., Session]) -> None:
    panel = EvaluatePanel(viewer)
    qtbot.addWidget(panel)
    assert "open a cohort in the Subject panel" in panel.evaluate_button.toolTip()
    assert "open a cohort in the Subject panel" in panel.prediction.button.toolTip()
    assert "evaluate first" in panel.page_button.toolTip()
