"""Train: what is set up is what is trained or exported; it pauses, resumes and ends, and buttons say why not."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouse import press
from qtpy.QtWidgets import QFileDialog
from runs import assert_same_weights, weights
from trainings import opened, options_for, run_of, until

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Epoch, Finished, Started, Step, read_events
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.options_file import options_from, read_options, to_toml
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.memory import training_bytes
from napari_myelin.widgets.jobs import running_jobs
from napari_myelin.widgets.layers import Frame
from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.settings import threads
from napari_myelin.widgets.train.panel import TrainPanel
from napari_myelin.widgets.train.preview import TITLE
from napari_myelin.widgets.words import in_home


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
    assert not viewer.layers[TITLE + "MTR"].colorbar.visible
    for name in ("refined", "error"):
        layer = viewer.layers[TITLE + name]
        assert layer.colorbar.visible  # its colours are numbers to be read
        shown = tuple(int(each) for each in np.round(layer.world_to_data(frame.shown(world[:3]))))
        with np.load(folder / "preview.npz") as file:
            assert layer.data[shown] == np.float32(file[name][voxel])


def test_a_button_that_cannot_be_pressed_says_why(
    viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    panel = TrainPanel(viewer)
    qtbot.addWidget(panel)
    assert "Not now: open a cohort first" in panel.start.toolTip()
    assert not panel.start.isEnabled()
    assert panel.setup.form.options().runtime.threads == threads()
    # the first free folder in the home, short to read, and a folder all the same
    assert panel.setup.folder.text() == str(Path("~") / "napari-myelin" / "run-1")
    assert panel.setup.run_folder == Path.home() / "napari-myelin" / "run-1"
    assert in_home(tmp_path) == str(tmp_path)
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
    panel.setup.folder.setText("~nobody-of-that-name/run")  # a home that is not there is a name like any other
    assert panel.setup.run_folder == Path("~nobody-of-that-name/run")


def test_a_run_to_resume_keeps_its_options_and_its_arithmetic_and_takes_the_forms_threads(
    viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path
) -> None:
    run, given = tmp_path / "run", options_for(seed=6)
    panel = opened(viewer, qtbot, phantom_cohort, run, given)
    assert panel.setup.options() == given
    run.mkdir()
    begun = options_from({"runtime": {"precision": "bf16-mixed", "threads": 7}}, options_for(seed=5))
    (run / "options.toml").write_text(to_toml(begun))
    options = panel.setup.options()
    assert options.training.seed == 5
    assert options.runtime.precision == "bf16-mixed"
    assert options.runtime.threads == panel.setup.form.options().runtime.threads != 7


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
    # it was written to just now: another process may be at it
    assert "and has not ended: another process may be training it" in run_of(panel).sentence()
    minutes_ago = time.time() - 120
    os.utime(folder / "events.jsonl", (minutes_ago, minutes_ago))
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
