"""Predict: layers after a run, masks that follow the lesions at once, a run that can be cancelled."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heartbeat import Heartbeat
from mouse import press
from predictions import SECONDS, check_masks, run, shown
from qtpy.QtCore import Qt

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.inference import predict as engine
from napari_myelin.core.inference.model import Model, load_model
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.predict.panel import PredictPanel
from napari_myelin.widgets.predict.prediction_job import Request, Result, predicting


def test_a_subject_is_predicted_and_everything_follows_the_lesions_and_the_threshold(
    predict: PredictPanel, qtbot: Any, model_file: Path, viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = predict.session
    assert predict.run_button.isEnabled(), predict.run_button.toolTip()
    assert "looks like the training subjects" in predict.suitability.text()
    assert not predict.files.save.isEnabled()
    assert "predict first" in predict.files.save.toolTip()
    prediction = run(predict, qtbot, uncertainty=3, saliency=True)
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
    assert "phantom" in predict.message.text()

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
    assert predict.view.values["below"].text() == f"{prediction.shares.below:.1%}"

    # so is the threshold, by the arrow keys
    heard = []
    session.prediction_changed.connect(lambda: heard.append(prediction.threshold_on_grid))
    value = predict.threshold.spin.value()
    predict.threshold.spin.setFocus()
    qtbot.keyClick(predict.threshold.spin, Qt.Key.Key_Up)
    assert heard == [pytest.approx(value + 0.01, abs=1e-3)]
    check_masks(session)
    press(qtbot, predict.threshold.reset)
    assert prediction.own_threshold is None
    check_masks(session)

    # an empty mask is nothing special
    lesion.data[:] = 0
    with qtbot.waitSignal(prediction.updated, timeout=SECONDS):
        session.lesion_changed.emit()
    assert not session.layer("demyelinated").data.any()
    assert "No lesion voxel is drawn" in predict.view.title.text()
    assert passes == []


def test_cancel_is_visible_and_ends_between_draws_and_the_window_answers_meanwhile(
    predict: PredictPanel, qtbot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    predict.editors["uncertainty"].put(10_000)
    predictor = predict.predictor
    with Heartbeat() as heartbeat:
        press(qtbot, predict.run_button)
        qtbot.waitUntil(lambda: predictor.progress is not None and predictor.progress.done >= 3, timeout=SECONDS)
    with capsys.disabled():
        heartbeat.tell("predicting")
    assert heartbeat.busy < 0.1
    assert predict.bar.maximum() == 10_001
    assert predict.bar.value() >= 3
    assert " left" in predict.state.text()
    assert not predict.run_button.isEnabled()
    # the panel may be closed meanwhile: a new one picks the run up
    other = PredictPanel(predict.viewer)
    qtbot.addWidget(other)
    assert other.predictor is predictor
    assert other.editors["uncertainty"].given() == 10_000
    assert other.cancel_button.isEnabled()
    with qtbot.waitSignal(predictor.done, timeout=SECONDS) as done:
        press(qtbot, other.cancel_button)
        assert other.state.text() == predict.state.text() == "Cancelling..."
        assert not other.cancel_button.isEnabled()
    assert done.args == ["Cancelled: nothing was changed."]
    qtbot.waitUntil(lambda: predict.run_button.isEnabled() and other.run_button.isEnabled(), timeout=SECONDS)
    assert predict.session.prediction is None
    assert predict.session.layer("dvr-predicted") is None
    # leaving the subject ends a run as well, and its result is not shown with another subject
    press(qtbot, predict.run_button)
    with qtbot.waitSignal(predict.session.subject_shown, timeout=SECONDS):
        predict.session.choose("sub-04")
    qtbot.waitUntil(lambda: not predictor.running, timeout=SECONDS)
    assert predict.session.prediction is None


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
