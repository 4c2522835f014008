"""One morning in the app, as a user has it: a viewer, the engine, mouse and keys; only dialogs are answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from mouse import answer, look_at, press, stroke
from qtpy.QtWidgets import QApplication, QFileDialog
from scipy.ndimage import binary_erosion, label
from scipy.stats import norm
from trainings import options_for, run_of, until

from napari_myelin.core.data.samples import sample_folder
from napari_myelin.core.events import Epoch, Finished, Started, Stopped, read_events
from napari_myelin.core.inference.model import read_card
from napari_myelin.widgets.session import session_of

PLUGIN = "napari-myelin"


def panel(viewer: Any, name: str) -> Any:
    """Open a panel as the Plugins menu does."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    QApplication.processEvents()
    return widget


def deep_in_white_matter(session: Any) -> tuple[int, ...]:
    """Return a voxel that is white matter, and no lesion, within four voxels in its axial slice."""
    free = session.subject.volume("wm").array & ~session.lesion.array
    free = binary_erosion(free, np.ones((9, 9, 1)))
    return tuple(int(index) for index in np.argwhere(free)[np.count_nonzero(free) // 2])


def test_open_draw_predict_edit_train_stop_resume_save_reopen(
    viewer: Any, qtbot: Any, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.window.show()  # a canvas that was never shown does not know its size
    session = session_of(viewer)
    before = _open_the_sample(viewer, qtbot, session)
    drawn = _draw(viewer, qtbot, session, before)
    _predict(viewer, qtbot, session)
    edited = _edit(viewer, qtbot, session, drawn)
    saved = tmp_path / "sub-01_space-pet_label-L_mask.nii.gz"
    affine = session.frame.reference.affine.copy()
    _save_on_leaving(viewer, qtbot, session, phantom_folder, saved, monkeypatch)
    _lies_right(saved, edited, affine)
    _train_stop_resume(viewer, qtbot, session, tmp_path / "run")
    _reopen(viewer, qtbot, session, saved, edited, monkeypatch)


def _open_the_sample(viewer: Any, qtbot: Any, session: Any) -> np.ndarray:
    with qtbot.waitSignal(session.subject_shown, timeout=120_000):
        viewer.open_sample(PLUGIN, "patient")
    assert [subject.key for subject in session.cohort.subjects] == ["sub-01"]
    file = nib.load(sample_folder() / "sub-01/anat/sub-01_space-pet_label-L_mask.nii.gz")
    there = np.asarray(file.dataobj) != 0
    assert there.sum() > 100
    np.testing.assert_array_equal(session.lesion.array, there)
    np.testing.assert_array_equal(session.frame.reference.affine, file.affine)
    return there


def _draw(viewer: Any, qtbot: Any, session: Any, before: np.ndarray) -> np.ndarray:
    lesions = panel(viewer, "Lesions")
    count = label(before, np.ones((3, 3, 3)))[1]
    until(qtbot, lambda: len(lesions.lesions.rows) == count)
    viewer.layers.selection.active = session.layer("lesion")
    press(qtbot, lesions.brush.tools.buttons()[1])
    press(qtbot, lesions.brush.sizes.buttons()[1])
    voxel = deep_in_white_matter(session)
    look_at(viewer, session.frame, voxel, zoom=8)
    stroke(by=16)
    until(qtbot, lambda: session.mask_work.unsaved)
    drawn: np.ndarray = session.lesion.array
    added = drawn & ~before
    assert added[voxel]
    assert not (before & ~drawn).any()
    assert set(np.argwhere(added)[:, 2]) == {voxel[2]}  # a disc in this slice
    assert np.abs(np.argwhere(added) - voxel).max() <= 4
    until(qtbot, lambda: len(lesions.lesions.rows) == count + 1)
    rows = lesions.lesions.rows
    assert sum(row.voxels for row in rows) == drawn.sum()
    assert added.sum() in [row.voxels for row in rows]
    return drawn


def _predict(viewer: Any, qtbot: Any, session: Any) -> None:
    predict = panel(viewer, "Predict")
    until(qtbot, predict.run_button.isEnabled)
    press(qtbot, predict.run_button)
    until(qtbot, lambda: session.prediction is not None and not predict.predictor.running)
    dvr, true = session.frame.volume(np.asarray(session.layer("dvr-predicted").data)), session.subject.volume("dvr")
    np.testing.assert_array_equal(dvr.array, session.prediction.dvr.array)
    wm, lesion = session.subject.volume("wm").array, session.subject.volume("lesion").array
    # the model has learnt something: lesions lie below white matter, as they do in the measured map
    assert dvr.array[lesion].mean() < 0.95 * dvr.array[wm & ~lesion].mean()
    assert abs(dvr.array[wm].mean() - true.array[wm].mean()) < 0.05 * true.array[wm].mean()
    error = session.frame.volume(np.asarray(session.layer("error").data))
    np.testing.assert_allclose(error.array, dvr.array - true.array, atol=1e-6)
    assert "phantom" in predict.message.text()
    _masks_follow(session, predict)


def _masks_follow(session: Any, predict: Any) -> None:
    """Hold masks, shares and what the panel writes against numpy on the whole grid."""
    threshold = read_card(sample_folder() / "model.safetensors").threshold["value"]
    lesion, dvr = session.lesion.array, session.prediction.dvr.array
    true = session.subject.volume("dvr").array
    # the model says its variance: a voxel is below where it is with a probability above .3
    sd = session.prediction.uncertainty.array
    limit = threshold + 0.5244 * sd
    below, measured = lesion & (dvr < limit), lesion & (true < threshold)
    sure = lesion & (threshold - dvr >= sd)
    masks = {role: session.frame.volume(np.asarray(session.layer(role).data)).array for role in MASKS}
    np.testing.assert_array_equal(masks["demyelinated"] == 1, sure)
    np.testing.assert_array_equal(masks["agreement"] == 2, below & measured)
    np.testing.assert_array_equal(masks["agreement"] == 3, measured & ~below)
    np.testing.assert_array_equal(masks["agreement"] == 4, below & ~measured)
    assert predict.view.values["below"].text() == f"{norm.cdf((threshold - dvr[lesion]) / sd[lesion]).mean():.1%}"
    assert predict.view.values["true_below"].text() == f"{measured.sum() / lesion.sum():.1%}"


MASKS = ("demyelinated", "agreement")


def _edit(viewer: Any, qtbot: Any, session: Any, drawn: np.ndarray) -> np.ndarray:
    predict, lesions = panel(viewer, "Predict"), panel(viewer, "Lesions")
    assert lesions.head.text().startswith("Phantom: simulated, no person. Predicted DVR, threshold ")
    prediction, dvr = session.prediction, session.prediction.dvr.array.copy()
    until(qtbot, lambda: sum(row.voxels for row in lesions.lesions.rows) == drawn.sum())
    viewer.layers.selection.active = session.layer("lesion")
    largest = np.argwhere(lesions.lesions.parts.mask([1], drawn.shape))
    voxel = tuple(int(index) for index in largest[len(largest) // 2])
    press(qtbot, lesions.brush.tools.buttons()[2])  # the eraser
    with qtbot.waitSignal(prediction.updated, timeout=30_000):
        look_at(viewer, session.frame, voxel, zoom=8)
        stroke(by=12)
    edited: np.ndarray = session.lesion.array
    assert edited.sum() < drawn.sum()
    assert not edited[voxel]
    assert not (edited & ~drawn).any()
    # all follows, and the network has not run: it is the same prediction with the same values
    assert session.prediction is prediction
    assert not predict.predictor.running
    np.testing.assert_array_equal(prediction.dvr.array, dvr)
    _masks_follow(session, predict)
    until(qtbot, lambda: sum(row.voxels for row in lesions.lesions.rows) == edited.sum())
    share = sum(row.demyelinated * row.voxels for row in lesions.lesions.rows) / edited.sum()
    assert share == pytest.approx(prediction.shares.below)
    return edited


def _save_on_leaving(
    viewer: Any, qtbot: Any, session: Any, cohort: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(saved), ""))
    answer("Save", asked)
    with qtbot.waitSignal(session.cohort_changed, timeout=60_000):
        viewer.open(str(cohort), plugin=PLUGIN)  # dropped on the viewer
    until(qtbot, lambda: session.cohort.root == cohort)
    assert asked == ["The lesion mask of sub-01 is not saved."]
    assert not list(viewer.layers)


def _lies_right(saved: Path, mask: np.ndarray, affine: np.ndarray) -> None:
    """Hold a saved mask against what was drawn, with a second program."""
    image = nib.load(saved)
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask.astype(np.uint8))
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)


def _train_stop_resume(viewer: Any, qtbot: Any, session: Any, folder: Path) -> None:
    train, options = panel(viewer, "Train"), options_for(epochs=2)
    train.setup.put(options)
    train.setup.folder.setText(str(folder))
    until(qtbot, lambda: train.setup.outlook.forecast is not None)
    press(qtbot, train.start)
    until(qtbot, lambda: run_of(train).course.step >= 1)
    press(qtbot, train.stop)
    until(qtbot, lambda: not run_of(train).running)
    assert run_of(train).sentence().startswith("Stopped and saved: sketcher, epoch 1, step ")
    assert isinstance(read_events(folder / "events.jsonl")[-1], Stopped)
    assert not (folder / "model.safetensors").exists()
    until(qtbot, lambda: train.start.isEnabled() and train.start.text() == "Resume")
    press(qtbot, train.start)
    until(qtbot, lambda: not run_of(train).running)
    events = read_events(folder / "events.jsonl")
    assert isinstance(events[-1], Finished)
    epochs = [(event.stage, event.epoch) for event in events if isinstance(event, Epoch)]
    assert epochs == [("sketcher", 1), ("sketcher", 2), ("refiner", 1), ("refiner", 2)]
    (started, *_) = [event for event in events if isinstance(event, Started)]
    assert len(started.training) == 4
    assert len(started.validation) == 1
    curve = run_of(train).course.curves["l1"].epochs
    assert [value for _, value in curve] == [event.losses["l1"] for event in events if isinstance(event, Epoch)]
    until(qtbot, lambda: any(layer.name.endswith("refined") for layer in viewer.layers))
    card = read_card(folder / "model.safetensors")
    assert sorted(card.training.subjects) == sorted(started.training)
    press(qtbot, train.view.use)
    predict = panel(viewer, "Predict")
    until(qtbot, lambda: predict.model.card is not None and predict.model.card.uid == card.uid)


def _reopen(
    viewer: Any, qtbot: Any, session: Any, saved: Path, mask: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesions = panel(viewer, "Lesions")
    with qtbot.waitSignal(session.subject_shown, timeout=120_000):
        viewer.open_sample(PLUGIN, "patient")
    assert not np.array_equal(session.lesion.array, mask)  # the sample itself was not written to
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(saved), ""))
    press(qtbot, lesions.buttons["import"])
    until(qtbot, lambda: np.array_equal(session.lesion.array, mask))
    # saved once more, over itself: asked, the old one kept, the same again
    asked: list[str] = []
    old = saved.read_bytes()
    answer("Replace it", asked)
    with qtbot.waitSignal(session.mask_work.saved, timeout=60_000):
        press(qtbot, lesions.buttons["save"])
    assert asked == [f"{saved.name} is there already."]
    _lies_right(saved, mask, session.frame.reference.affine)
    assert saved.with_name(saved.name + ".bak").read_bytes() == old
    assert not session.mask_work.unsaved
