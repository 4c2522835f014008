"""Predict: flags before Run, layers after it, masks that follow the lesions, failures that leave the app ready."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heartbeat import Heartbeat
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.evaluation.demyelination import agreement, certainty, classify, lesion_table
from napari_myelin.core.inference import predict as engine
from napari_myelin.core.inference.model import Model, load_model, save_model
from napari_myelin.core.options import PredictionOptions
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.predict.panel import PredictPanel
from napari_myelin.widgets.predict.prediction_job import Request, Result, predicting
from napari_myelin.widgets.session import Session

SECONDS = 60_000


@pytest.fixture
def model_file(trained_run: Path) -> Path:
    return trained_run / "model.safetensors"


@pytest.fixture
def panel(show: Callable[..., Session], viewer: Any, qtbot: Any, model_file: Path) -> PredictPanel:
    """The panel with sub-01 of the phantom cohort on show and the small trained model chosen."""
    show()
    return opened(viewer, qtbot, model_file)


def opened(viewer: Any, qtbot: Any, path: Path) -> PredictPanel:
    _, panel = viewer.window.add_plugin_dock_widget("napari-myelin", "Predict")
    qtbot.waitUntil(lambda: panel.model.card is not None, timeout=SECONDS)
    panel.model.choose(path)
    qtbot.waitUntil(lambda: ready(panel), timeout=SECONDS)
    return panel


def ready(panel: PredictPanel) -> bool:
    return panel.model.card is not None and panel.suitability.flags is not None and panel.device.isEnabled()


def press(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(panel: PredictPanel, qtbot: Any, **options: Any) -> Any:
    for name, value in options.items():
        panel.editors[name].put(value)
    press(qtbot, panel.run_button)
    qtbot.waitUntil(lambda: panel.session.prediction is not None and not panel.predictor.running, timeout=SECONDS)
    return panel.session.prediction


def shown(session: Session, role: str) -> Volume:
    """Return a layer's values on the subject's own grid."""
    return session.frame.volume(np.asarray(session.layer(role).data))


def test_a_subject_is_predicted_and_everything_follows_the_lesions_and_the_threshold(
    panel: PredictPanel, qtbot: Any, model_file: Path, viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = panel.session
    assert panel.run_button.isEnabled(), panel.run_button.toolTip()
    assert "looks like the training subjects" in panel.suitability.text()
    assert not panel.files.save.isEnabled()
    assert "predict first" in panel.files.save.toolTip()
    prediction = run(panel, qtbot, uncertainty=3, saliency=True)
    subject = session.subject
    expected = engine.predict([load_model(model_file)], subject, draws=3)
    # every layer holds what the engine returns, at its place
    for role, volume in (
        ("dvr-predicted", expected.dvr),
        ("dvr-sketch", expected.sketch),
        ("dvr-uncertainty", expected.uncertainty),
        ("error", Volume(expected.dvr.array - subject.volume("dvr").array, expected.dvr.affine)),
    ):
        np.testing.assert_array_equal(shown(session, role).array, volume.array)
        layer = session.layer(role)
        assert (layer.scale == session.frame.spacing).all()
        assert (layer.translate == session.frame.origin).all()
    assert session.layer("dvr-predicted").colormap.name == "DVR"
    assert session.layer("dvr-predicted").colorbar.visible
    for name in ("MTR", "FA", "RD", "AD", "Max"):
        assert session.layer(f"saliency-loss-{name}") is not None
    check_masks(session)
    assert "phantom" in panel.message.text()

    # a stroke is followed at once, without the network
    passes = []
    monkeypatch.setattr(engine, "predict_in_steps", lambda *_, **__: passes.append(1))
    lesion = session.layer("lesion")
    brain = np.argwhere(session.layer("brain").data)
    lesion.mode = "paint"
    lesion.brush_size = 5
    before = prediction.shares
    with qtbot.waitSignal(prediction.updated, timeout=SECONDS):
        lesion.paint(tuple(brain[len(brain) // 2]), 1)
    assert prediction.shares.volume > before.volume
    check_masks(session)
    assert panel.view.values["below"].text() == f"{prediction.shares.below:.1%}"

    # so is the threshold, by the arrow keys
    heard = []
    session.prediction_changed.connect(lambda: heard.append(prediction.threshold_on_grid))
    value = panel.threshold.spin.value()
    panel.threshold.spin.setFocus()
    qtbot.keyClick(panel.threshold.spin, Qt.Key.Key_Up)
    assert heard == [pytest.approx(value + 0.01, abs=1e-3)]
    check_masks(session)
    press(qtbot, panel.threshold.reset)
    assert prediction.own_threshold is None
    check_masks(session)

    # an empty mask is nothing special
    lesion.data[:] = 0
    with qtbot.waitSignal(prediction.updated, timeout=SECONDS):
        session.lesion_changed.emit()
    assert not session.layer("demyelinated").data.any()
    assert "No lesion voxel is drawn" in panel.view.title.text()
    assert passes == []


def check_masks(session: Session) -> None:
    """Compare masks and shares with the engine's on the whole grid."""
    prediction, lesion = session.prediction, session.lesion.array
    dvr, true = prediction.dvr.array, session.subject.volume("dvr").array
    threshold = prediction.threshold_on_grid
    spread = prediction.uncertainty.array
    np.testing.assert_array_equal(shown(session, "demyelinated").array, certainty(dvr, lesion, threshold, spread))
    below, measured = classify(dvr, lesion, threshold), classify(true, lesion, threshold)
    np.testing.assert_array_equal(shown(session, "agreement").array, agreement(measured, below, lesion))
    shares = prediction.shares
    assert shares.volume == pytest.approx(lesion.sum() * prediction.dvr.voxel_volume / 1000)
    assert shares.below == pytest.approx(below.sum() / lesion.sum())
    assert shares.true_below == pytest.approx(measured.sum() / lesion.sum())
    assert shares.mean == pytest.approx(dvr[lesion].mean(), rel=1e-5)
    assert shares.sure == pytest.approx(
        (lesion & (dvr < threshold - spread)).sum() / lesion.sum(), abs=2 / lesion.sum()
    )


def test_the_saved_files_are_the_prediction_with_the_mask_as_drawn(
    panel: PredictPanel, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = panel.session
    prediction = run(panel, qtbot, uncertainty=2)
    session.layer("lesion").data[:2] = 1  # a slab that is in no file
    session.lesion_changed.emit()
    panel.threshold.spin.setValue(1.0)
    folder = tmp_path / "made"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    with qtbot.waitSignal(panel.predictor.done, timeout=SECONDS):
        press(qtbot, panel.files.save)
    anat = folder / "sub-01" / "anat"
    mask = read_volume(anat / "sub-01_space-pet_desc-demyelinated_mask.nii.gz", mask=True)
    np.testing.assert_array_equal(mask.array, session.lesion.array & (prediction.dvr.array < 1.0))
    np.testing.assert_array_equal(mask.affine, session.frame.reference.affine)
    sidecar = json.loads((anat / "sub-01_space-pet_desc-demyelinated_mask.json").read_text())
    assert sidecar["Threshold"]["value"] == 1.0
    (maps,) = (folder / "sub-01" / "pet").glob("*desc-predicted*.nii.gz")
    np.testing.assert_array_equal(read_volume(maps).array, prediction.dvr.array)
    assert str(folder / "sub-01") in panel.message.text()

    # files that are there are asked for, and kept if the answer is no
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *given: asked.append(given[2]) or QMessageBox.StandardButton.No)
    at = maps.stat().st_mtime_ns
    press(qtbot, panel.files.save)
    assert "6 files are there already" in asked[0]
    assert maps.stat().st_mtime_ns == at

    table = tmp_path / "lesions"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(table), ""))
    with qtbot.waitSignal(panel.predictor.done, timeout=SECONDS):
        press(qtbot, panel.files.export)
    rows = [line.split("\t") for line in table.with_suffix(".tsv").read_text().splitlines()]
    expected = lesion_table(prediction.dvr, session.lesion.array, 1.0)
    assert len(rows) == 1 + len(expected)
    assert float(rows[1][rows[0].index("demyelinated")]) == pytest.approx(expected[0].demyelinated, abs=1e-4)

    # a full disk, and a folder of something else
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "other"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with qtbot.waitSignal(panel.predictor.failed, timeout=SECONDS):
            press(qtbot, panel.files.save)
        qtbot.waitUntil(lambda: not panel.predictor.writing, timeout=SECONDS)
    assert "No space left on device; choose another folder or free some space" in panel.message.text()
    assert panel.files.save.isEnabled()
    with qtbot.waitSignal(panel.predictor.done, timeout=SECONDS):
        press(qtbot, panel.files.save)


def test_cancel_is_visible_and_ends_between_draws_and_the_window_answers_meanwhile(
    panel: PredictPanel, qtbot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    panel.editors["uncertainty"].put(10_000)
    predictor = panel.predictor
    with Heartbeat() as heartbeat:
        press(qtbot, panel.run_button)
        qtbot.waitUntil(lambda: predictor.progress is not None and predictor.progress.done >= 3, timeout=SECONDS)
    with capsys.disabled():
        heartbeat.tell("predicting")
    assert heartbeat.busy < 0.1
    assert panel.bar.maximum() == 10_001
    assert panel.bar.value() >= 3
    assert " left" in panel.state.text()
    assert not panel.run_button.isEnabled()
    # the panel may be closed meanwhile: a new one picks the run up
    other = PredictPanel(panel.viewer)
    qtbot.addWidget(other)
    assert other.predictor is predictor
    assert other.editors["uncertainty"].given() == 10_000
    assert other.cancel_button.isEnabled()
    with qtbot.waitSignal(predictor.done, timeout=SECONDS) as done:
        press(qtbot, other.cancel_button)
        assert other.state.text() == panel.state.text() == "Cancelling..."
        assert not other.cancel_button.isEnabled()
    assert done.args == ["Cancelled: nothing was changed."]
    qtbot.waitUntil(lambda: panel.run_button.isEnabled() and other.run_button.isEnabled(), timeout=SECONDS)
    assert panel.session.prediction is None
    assert panel.session.layer("dvr-predicted") is None
    # leaving the subject ends a run as well, and its result is not shown with another subject
    press(qtbot, panel.run_button)
    with qtbot.waitSignal(panel.session.subject_shown, timeout=SECONDS):
        panel.session.choose("sub-04")
    qtbot.waitUntil(lambda: not predictor.running, timeout=SECONDS)
    assert panel.session.prediction is None


def test_failures_are_sentences_and_leave_the_app_ready(
    panel: PredictPanel, qtbot: Any, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: BaseException) -> str:
        def forward(*_: Any) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("napari_myelin.core.networks.cascade.Cascade.forward", forward)
            with qtbot.waitSignal(panel.predictor.failed, timeout=SECONDS):
                press(qtbot, panel.run_button)
            qtbot.waitUntil(lambda: panel.run_button.isEnabled(), timeout=SECONDS)
        assert panel.session.prediction is None
        return panel.message.text()

    assert fails(RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")) == (
        "out of memory on cpu: choose another device, or close other programs"
    )
    assert fails(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")).startswith("out of memory on")
    assert fails(MemoryError()).startswith("out of memory on cpu")
    assert fails(RuntimeError("shape mismatch")).startswith("RuntimeError: shape mismatch")
    # a model file that is deleted after its card was read
    gone = tmp_path / "gone.safetensors"
    gone.write_bytes(model_file.read_bytes())
    panel.model.choose(gone)
    qtbot.waitUntil(lambda: ready(panel) and panel.run_button.isEnabled(), timeout=SECONDS)
    gone.unlink()
    with qtbot.waitSignal(panel.predictor.failed, timeout=SECONDS):
        press(qtbot, panel.run_button)
    assert "cannot read the model" in panel.message.text()
    # one that is no model is told when it is chosen
    pickled = tmp_path / "old.safetensors"
    pickled.write_bytes(b"\x80\x04pickled")
    with qtbot.waitSignal(panel.model.failed, timeout=SECONDS):
        panel.model.choose(pickled)
    assert "pickled file" in panel.message.text()
    assert "choose a model whose card can be read" in panel.run_button.toolTip()
    # and after all of that a prediction works
    panel.model.choose(model_file)
    qtbot.waitUntil(lambda: ready(panel) and panel.run_button.isEnabled(), timeout=SECONDS)
    assert run(panel, qtbot).uncertainty is None


def test_run_is_refused_in_words_where_the_subject_cannot_be_predicted(
    show: Callable[..., Session],
    viewer: Any,
    qtbot: Any,
    model: Model,
    model_file: Path,
    phantom_cohort: Cohort,
    tmp_path: Path,
) -> None:
    one = phantom_cohort.subjects[0]
    rd, fa = one.volume("RD"), one.volume("FA")
    holed = fa.array.copy()
    holed[4, 5, 6] = np.nan
    cases = {
        "unit": one.with_files(RD=Volume(rd.array / 1000, rd.affine)),
        "nan": one.with_files(FA=Volume(holed, fa.affine)),
        "dim": one.with_files(FA=Volume(fa.array * 0.3, fa.affine)),
    }
    subjects = tuple(Subject(name, group="MS", files=each.files) for name, each in cases.items())
    session = show("sub-unit", Cohort(tmp_path, subjects, phantom=False))
    panel = opened(viewer, qtbot, model_file)
    assert "multiply it by 1000" in panel.run_button.toolTip()
    assert panel.state.text().startswith("Cannot run: the RD map has a median of")
    assert not panel.run_button.isEnabled()
    assert "trained on simulated subjects" in panel.suitability.text()
    session.replace_subject(subjects[1])  # as after a repair of its files: nothing is read or shown again
    qtbot.waitUntil(lambda: ready(panel) and "1 voxels of NaN" in panel.run_button.toolTip(), timeout=SECONDS)
    # a warning is said, and does not forbid
    session.replace_subject(subjects[2])
    qtbot.waitUntil(lambda: ready(panel) and panel.run_button.isEnabled(), timeout=SECONDS)
    assert "is it another protocol or unit?" in panel.suitability.text()
    # a model for other modalities
    other = tmp_path / "other.safetensors"
    card = model.card.model_copy(update={"modalities": ("MTR", "FA", "RD", "T1rho")})
    save_model(Model(model.network, card), other)
    panel.model.choose(other)
    qtbot.waitUntil(lambda: ready(panel) and "no T1rho map" in panel.run_button.toolTip(), timeout=SECONDS)
    # one draw is no standard deviation
    panel.model.choose(model_file)
    qtbot.waitUntil(lambda: ready(panel) and panel.run_button.isEnabled(), timeout=SECONDS)
    panel.editors["uncertainty"].put(1)
    assert not panel.run_button.isEnabled()
    assert "a standard deviation needs 2 draws or more" in panel.state.text()


def test_masks_follow_an_edit_within_100_ms_at_full_size(
    viewer: Any, qtbot: Any, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (128, 160, 128)
    random = np.random.default_rng(0)
    affine = np.diag([1.22, 1.22, 1.22, 1.0])
    brain = np.zeros(shape, dtype=bool)
    brain[12:116, 12:148, 12:116] = True
    dvr = Volume(np.where(brain, random.normal(1.1, 0.2, shape), 0).astype(np.float32), affine)
    predicted = Volume(np.where(brain, random.normal(1.1, 0.1, shape), 0).astype(np.float32), affine)
    spread = Volume(np.full(shape, 0.05, dtype=np.float32), affine)
    lesion = np.zeros(shape, dtype=bool)
    for corner in random.integers(20, 90, (60, 3)):
        lesion[tuple(slice(edge, edge + 5) for edge in corner)] = True
    subject = Subject("big", group="MS", files={"MTR": dvr, "dvr": dvr, "lesion": Volume(lesion, affine)})
    from napari_myelin.widgets.session import session_of

    session = session_of(viewer)
    with qtbot.waitSignal(session.subject_shown, timeout=SECONDS):
        session.show(subject)
    from napari_myelin.widgets.predict.prediction_job import _result
    from napari_myelin.widgets.predict.predictor import predictor_of

    request = Request(Path("x"), subject, Frame(session.frame.reference), PredictionOptions(), "cpu")
    predictor = predictor_of(session)
    result = _result(request, model, engine.Prediction(predicted, predicted, spread, 1.0), None)
    voxelwise = random.uniform(1.0, 1.1, shape).astype(np.float32)
    predictor._take(replace(result, on_grid=voxelwise))
    qtbot.waitUntil(lambda: session.prediction is not None, timeout=SECONDS)
    check_masks(session)
    layer = session.layer("lesion")
    times = []
    for place in random.integers(20, 90, (12, 3)):
        layer.data[tuple(slice(edge, edge + 3) for edge in place)] = 1
        began = time.perf_counter()
        session.prediction.update()
        times.append(1000 * (time.perf_counter() - began))
    check_masks(session)
    with capsys.disabled():
        sys.stdout.write(f"\n128 x 160 x 128, masks and shares after an edit: median {np.median(times):.1f} ms\n")
    assert np.median(times) < 100


def test_a_stop_before_the_first_pass_runs_nothing(model_file: Path, phantom_cohort: Cohort) -> None:
    from napari_myelin.core.events import Stopped, StopRequest

    subject = phantom_cohort.subjects[0]
    stop = StopRequest()
    stop.request()
    frame = Frame(subject.reference())
    events = list(predicting(Request(model_file, subject, frame, PredictionOptions(uncertainty=5), "cpu"), stop))
    assert events[-1] == Stopped("prediction", 0, 0)
    assert not any(isinstance(event, Result) for event in events)
