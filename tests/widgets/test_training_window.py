"""The window while it trains: the viewer is the user's, it answers, and previews lie where their subject lies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from heartbeat import Heartbeat
from mouse import press
from trainings import opened, options_for, run_of, until

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Stopped, read_events
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.inference.predict import predict
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.train.panel import TrainPanel
from napari_myelin.widgets.train.preview import MARK, TITLE, Previews


def test_the_viewer_is_the_users_while_it_trains(
    show: Callable[..., Any], viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    session = show("sub-01")
    panel = TrainPanel(viewer)
    qtbot.addWidget(panel)
    panel.setup.put(options_for(epochs=30))
    panel.setup.folder.setText(str(tmp_path / "run"))
    before = [layer.name for layer in viewer.layers]
    lesion = session.layer("lesion")
    viewer.layers.selection.active = lesion
    press(qtbot, panel.start)
    run = run_of(panel)
    assert not run.previews.shown
    until(qtbot, lambda: run.course.preview is not None)
    assert [layer.name for layer in viewer.layers] == before  # hidden ones are not even made
    panel.view.preview.setChecked(True)
    until(qtbot, lambda: TITLE + "error" in viewer.layers)
    assert viewer.layers.selection.active.name == lesion.name  # who paints goes on painting
    names = [layer.name for layer in viewer.layers]
    assert [name for name in names if not name.startswith(TITLE)] == before
    refined = viewer.layers[TITLE + "refined"]
    assert names.index(lesion.name) > names.index(refined.name)

    # it is renewed in place, at every validation
    first, epoch = refined.data.copy(), run.course.epoch
    until(qtbot, lambda: run.course.epoch > epoch + 1 and not np.array_equal(refined.data, first))
    assert names.count(refined.name) == 1
    assert len(viewer.layers) == len(names)
    assert refined.metadata[MARK]["subject"] == run.course.preview.subject

    # one that the user deletes stays away; leaving the subject leaves the preview; the box hides all
    viewer.layers.remove(TITLE + "AD")
    epoch = run.course.epoch
    until(qtbot, lambda: run.course.epoch > epoch + 1)
    assert TITLE + "AD" not in viewer.layers
    assert session.leave()
    assert TITLE + "refined" in viewer.layers
    panel.view.preview.setChecked(False)
    assert not refined.visible

    # the panel may be closed and opened again: it shows the run that goes on
    panel.close()
    again = TrainPanel(viewer)
    qtbot.addWidget(again)
    assert again.run is run
    assert run.running
    assert again.setup.options() == options_for(epochs=30)
    assert again.setup.run_folder == tmp_path / "run"
    assert not again.view.preview.isChecked()
    assert again.view.curves.terms()
    press(qtbot, again.stop)
    until(qtbot, lambda: not run.running)
    assert isinstance(read_events(tmp_path / "run" / "events.jsonl")[-1], Stopped)
    assert "Stopped and saved: " in run.sentence()
    assert again.start.text() == "Resume"


def test_the_window_answers_while_it_trains(
    show: Callable[..., Any], viewer: Any, qtbot: Any, phantom_cohort: Cohort, trained_run: Path, tmp_path: Path
) -> None:
    session = show("sub-01")
    panel = opened(viewer, qtbot, phantom_cohort, tmp_path / "run", options_for(epochs=200))
    session.choose("sub-01")
    until(qtbot, lambda: session.layer("lesion") is not None)
    lesion = session.layer("lesion")
    with Heartbeat() as before:
        qtbot.wait(1000)
    press(qtbot, panel.start)
    run = run_of(panel)
    until(qtbot, lambda: run.course.step >= 1)  # torch is imported and the cohort read
    first = run.course.curves["l1"].steps[-1]
    with Heartbeat() as beat:
        for number in range(40):  # scroll and paint, as a user would
            viewer.dims.set_current_step(0, number % lesion.data.shape[0])
            lesion.paint((number % lesion.data.shape[0], 10, 10), 1)
            qtbot.wait(50)
    assert run.course.curves["l1"].steps[-1] != first  # it did train meanwhile
    sys.stdout.write(
        f"longest pause of the main thread: idle {1e3 * before.longest:.0f} ms, "
        f"training, scrolling and painting {1e3 * beat.longest:.0f} ms\n"
    )
    assert beat.beats > 40
    assert beat.longest < 2  # loose: what else the machine does counts too
    predicted = predict([load_model(trained_run / "model.safetensors")], phantom_cohort.subjects[1], device="cpu")
    assert np.isfinite(predicted.dvr.array).all()  # another model predicts beside it
    assert run.running
    press(qtbot, panel.stop)
    until(qtbot, lambda: not run.running)


def test_the_preview_of_an_oblique_flipped_subject_lies_where_its_voxels_do(
    viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    affine = np.array([[-2.0, 0.3, 0, 40], [0.25, 2.4, -0.2, -30], [0, 0.25, 1.9, -12], [0, 0, 0, 1]])
    random = np.random.default_rng(0)
    stored = {name: random.normal(size=(7, 9, 5)).astype(np.float16) for name in ("input_MTR", "refined", "error")}
    np.savez(tmp_path / "preview.npz", affine=affine, **stored)
    previews = Previews(session_of(viewer), shown=True)
    previews.update(tmp_path / "preview.npz", "sub-09")
    until(qtbot, lambda: TITLE + "error" in viewer.layers)
    frame = Frame(Volume(stored["refined"], affine))
    for voxel in ((0, 0, 0), (6, 2, 4), (3, 8, 1)):
        place = frame.shown((affine @ [*voxel, 1])[:3])
        for name, array in stored.items():
            layer = viewer.layers[TITLE + name.removeprefix("input_")]
            at = tuple(np.round(layer.world_to_data(place)).astype(int))
            assert layer.data[at] == np.float32(array[voxel])
            assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    # another subject on another grid: the same layers move there
    other = {name: random.normal(size=(6, 6, 6)).astype(np.float16) for name in stored}
    np.savez(tmp_path / "preview.npz", affine=np.diag([3.0, 3, 3, 1]), **other)
    previews.update(tmp_path / "preview.npz", "sub-10")
    until(qtbot, lambda: viewer.layers[TITLE + "error"].metadata[MARK]["subject"] == "sub-10")
    layer = viewer.layers[TITLE + "error"]
    assert layer.data[5, 4, 3] == np.float32(other["error"][3, 4, 5])
    assert np.allclose(layer.data_to_world((5, 4, 3)), (15, 12, 9))
    assert len(viewer.layers) == 3
    # a file that cannot be read is a word, and the layers stay
    (tmp_path / "preview.npz").write_bytes(b"no zip")
    previews.update(tmp_path / "preview.npz", "sub-10")
    until(qtbot, lambda: bool(previews.problem))
    assert previews.problem.startswith("no preview: ")
    previews.remove()
    assert not viewer.layers
