"""Train: what is set is what is trained, live, in the background; it pauses, resumes, fails and ends in words."""

from __future__ import annotations

import gc
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qtpy.QtWidgets import QFileDialog
from runs import assert_same_weights, weights
from widgets.heartbeat import Heartbeat
from widgets.trainings import opened, options_for, press, run_of, until

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Epoch, Finished, Started, Step, Stopped, read_events
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.options_file import options_from, read_options
from napari_myelin.core.training import trainer
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.memory import training_bytes
from napari_myelin.core.training.trainer import Trainer
from napari_myelin.widgets.jobs import running_jobs
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.settings import threads
from napari_myelin.widgets.train.panel import TrainPanel
from napari_myelin.widgets.train.preview import MARK, TITLE, Previews


def trainings() -> list[Any]:
    return [job for job in running_jobs() if job.name == "training"]


def test_pause_resume_finish_and_the_weights_are_those_of_a_run_never_paused(
    viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    options, folder = options_for(epochs=2), tmp_path / "run"
    panel = opened(viewer, qtbot, phantom_cohort, folder, options)

    # before: who trains, what it takes
    seen = panel.setup.outlook.forecast
    assert "4 train (2 controls among them), 1 held out" in panel.setup.cohort.text()
    assert seen.need == training_bytes(options, seen.grid.shape, 4)
    assert panel.setup.needs.text().startswith(f"about {seen.need / 2**30:.2f} GiB of ")
    assert not panel.pause.isEnabled()
    assert "Not now: nothing is training here." in panel.pause.toolTip()

    # live: steps arrive while it trains, pause says what it does
    press(qtbot, panel.start)
    until(qtbot, lambda: run_of(panel).course.step >= 1)
    assert "Not now: a training is under way here." in panel.start.toolTip()
    assert panel.run.previews.shown  # no subject is on show that they could disturb
    press(qtbot, panel.pause)
    assert run_of(panel).sentence() == "Stopping after this step, saving..."
    until(qtbot, lambda: not run_of(panel).running)
    assert run_of(panel).sentence().startswith("Paused and saved: sketcher, epoch 1, step ")
    assert list((folder / "state").glob("*.pt"))
    until(qtbot, lambda: panel.start.isEnabled() and panel.start.text() == "Resume")

    # and on to the end
    press(qtbot, panel.start)
    until(qtbot, lambda: not run_of(panel).running)
    assert run_of(panel).sentence().startswith("Finished in ")
    assert run_of(panel).model == folder / "model.safetensors"
    list(fit(phantom_cohort, options, tmp_path / "never paused"))
    assert_same_weights(weights(folder), weights(tmp_path / "never paused"))
    assert read_options(folder / "options.toml") == options

    # every term of both stages is a curve, with as many points as the run has epochs and steps
    epochs = [event for event in read_events(folder / "events.jsonl") if isinstance(event, Epoch)]
    curves = run_of(panel).course.curves
    assert set(panel.view.curves.terms()) == {
        *("l1", "generator", "adversarial", "discriminator", "balance", "held-out mse", "held-out loss")
    }
    assert curves["l1"].epochs == [(n + 1, event.losses["l1"]) for n, event in enumerate(epochs)]
    assert curves["held-out mse"].epochs[-1] == (4, epochs[-1].validation["mse"])
    assert [when for when, _ in curves["l1"].steps] == [n / 4 for n in range(1, 17)]
    until(qtbot, lambda: panel.view.bar.value() == 1000)
    assert "phantom" in panel.view.research.text()

    # the preview lies where its subject lies, and holds what was predicted
    until(qtbot, lambda: "preview" not in [job.name for job in running_jobs()])
    _preview_lies_right(viewer, folder)

    # the model is offered to Predict
    with qtbot.waitSignal(session_of(viewer).model_offered) as offered:
        panel.view.use_model.disconnect()
        panel.view.use_model.connect(lambda: panel.session.model_offered.emit(panel.run.model))
        press(qtbot, panel.view.use)
    assert offered.args == [folder / "model.safetensors"]


def _preview_lies_right(viewer: Any, folder: Path) -> None:
    names = [layer.name for layer in viewer.layers]
    assert names == [TITLE + name for name in ("MTR", "FA", "RD", "AD", "sketch", "refined", "true", "error")]
    assert [layer.name for layer in viewer.layers if layer.visible] == [TITLE + "refined"]
    with np.load(folder / "preview.npz") as file:
        refined, affine = file["refined"], file["affine"]
    frame = Frame(Volume(refined, affine))
    voxel = (9, 21, 13)
    world = affine @ [*voxel, 1]
    for name in ("refined", "error"):
        layer = viewer.layers[TITLE + name]
        shown = tuple(int(each) for each in np.round(layer.world_to_data(frame.shown(world[:3]))))
        with np.load(folder / "preview.npz") as file:
            assert layer.data[shown] == np.float32(file[name][voxel])


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


def run_out(*_: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def bug(*_: Any) -> Any:
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    return said


def test_every_failure_is_a_sentence_here_and_in_a_notification_and_leaves_the_panel_ready(
    viewer: Any,
    qtbot: Any,
    phantom_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    notified: list[str],
) -> None:
    panel = opened(viewer, qtbot, phantom_cohort, tmp_path / "run", options_for())

    def fails(number: int, sentence: str, during: Callable[[], None] = lambda: None) -> None:
        panel.setup.folder.setText(str(tmp_path / f"run {number}"))
        press(qtbot, panel.start)
        during()
        until(qtbot, lambda: not run_of(panel).running)
        assert sentence in run_of(panel).sentence()
        assert notified[-1] == run_of(panel).sentence()
        assert panel.view.sentence.text() == run_of(panel).sentence()
        assert "--" not in run_of(panel).sentence()  # flags are the command line's
        assert not trainings()
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) is Trainer]  # and with it every tensor
        panel.setup.folder.setText(str(tmp_path / f"run {number + 1}"))
        assert panel.start.isEnabled(), panel.start.toolTip()

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", run_out)
        fails(1, "out of memory: about ")
        patch.setattr(trainer, "train_step", bug)
        fails(2, "RuntimeError: mat1 and mat2 shapes cannot be multiplied: this is a bug of napari-myelin")
        # trap: a RuntimeError that not even the engine catches
        patch.setattr("napari_myelin.core.training.fit.describe", bug)
        fails(3, "RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    full = Path.write_bytes

    def no_space(path: Path, data: bytes) -> int:
        if path.name.startswith(".model"):
            raise OSError(28, "No space left on device")
        return full(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", no_space)
        fails(4, "No space left on device")
    panel.setup.form.editors["loss.lambda_sketcher"].put(1e39)
    fails(5, 'the loss term "generator" became inf in stage sketcher, epoch 1, step 1')
    panel.setup.form.editors["loss.lambda_sketcher"].put(100.0)

    def vanish() -> None:
        until(qtbot, lambda: run_of(panel).course.step >= 1)
        shutil.rmtree(tmp_path / "run 6")

    panel.setup.form.editors["training.epochs"].put(50)
    fails(6, "run 6", vanish)

    panel.setup.form.editors["training.epochs"].put(1)
    press(qtbot, panel.start)
    until(qtbot, lambda: not run_of(panel).running)
    assert isinstance(run_of(panel).course.end, Finished)
    assert "is finished: take a new folder" in panel.start.toolTip()


def test_a_button_that_cannot_be_pressed_says_why(
    viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    panel = TrainPanel(viewer)
    qtbot.addWidget(panel)
    assert "Not now: open a cohort first" in panel.start.toolTip()
    assert not panel.start.isEnabled()
    assert panel.setup.form.options().runtime.threads == threads()
    panel = opened(viewer, qtbot, phantom_cohort, tmp_path / "run", options_for())
    editors = panel.setup.form.editors
    for name, value, reason in (
        ("training.sketcher_rate", "quick", "training.sketcher_rate must be a valid number"),
        ("runtime.devices", 2, "this window trains on one device"),
    ):
        good = editors[name].given()
        editors[name].put(value)
        assert reason in panel.start.toolTip()
        assert not panel.start.isEnabled()
        editors[name].put(good)
        assert panel.start.isEnabled()
    editors["data.modalities"].put(("MTR", "T1w"))
    until(qtbot, lambda: "no subject of" in panel.start.toolTip())
    assert "MTR, T1w and a measured DVR" in panel.setup.needs.text()
    panel.setup.folder.clear()
    assert "choose a run folder" in panel.start.toolTip()


def test_an_exported_job_is_the_training_that_is_set_up(
    viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_from({"runtime": {"threads": threads()}}, options_for(seed=5))
    panel = opened(viewer, qtbot, phantom_cohort, tmp_path / "run", options)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "job"))
    press(qtbot, panel.export)
    assert "Written to" in panel.message.text()
    # the threads that leave this window a core are no business of the other machine
    expected = options_from({"runtime": {"threads": 0}}, options)
    assert read_options(tmp_path / "job" / "options.toml") == expected
    words = shlex.split((tmp_path / "job" / "train.sh").read_text().splitlines()[-1])
    assert words[1:4] == ["napari-myelin-train", "fit", str(phantom_cohort.root)]
    assert words[words.index("--out") + 1] == str(tmp_path / "run")
    assert "sbatch" in (tmp_path / "job" / "train.slurm").read_text()


def test_a_run_that_was_killed_goes_on_by_its_folder(
    viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    options = options_from({"network": {"refiners": 0}}, options_for(epochs=2))
    folder = tmp_path / "run"
    for event in fit(phantom_cohort, options, folder):
        if isinstance(event, Step) and event.epoch == 2 and event.step == 2:
            break  # as a kill would: nothing is saved after the epoch's end
    panel = opened(viewer, qtbot, phantom_cohort, folder, options)
    panel.setup.form.editors["training.seed"].put(77)  # the folder's own options win
    assert "Resume goes on with its own options" in panel.setup.holds.text()
    press(qtbot, panel.start)
    until(qtbot, lambda: not run_of(panel).running)
    assert panel.setup.form.options().training.seed == options.training.seed
    assert isinstance(run_of(panel).course.end, Finished), run_of(panel).sentence()
    list(fit(phantom_cohort, options, tmp_path / "never killed"))
    assert_same_weights(weights(folder), weights(tmp_path / "never killed"))
    # the steps that were done twice are there once
    assert [when for when, _ in run_of(panel).course.curves["l1"].steps] == [n / 4 for n in range(1, 9)]
    started = [event for event in read_events(folder / "events.jsonl") if isinstance(event, Started)]
    assert [event.resumed for event in started] == [False, True]
    assert load_model(folder / "model.safetensors").card.training.finished


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
