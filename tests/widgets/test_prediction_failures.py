"""Predictions that fail or cannot be made: a sentence says why, and the app is ready afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouse import press
from predictions import SECONDS, opened, ready, run

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.inference.model import Model, save_model
from napari_myelin.widgets.predict.panel import PredictPanel
from napari_myelin.widgets.session import Session


def test_failures_are_sentences_and_leave_the_app_ready(
    predict: PredictPanel, qtbot: Any, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: BaseException) -> str:
        def forward(*_: Any) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("napari_myelin.core.networks.cascade.Cascade.forward", forward)
            with qtbot.waitSignal(predict.predictor.failed, timeout=SECONDS):
                press(qtbot, predict.run_button)
            qtbot.waitUntil(lambda: predict.run_button.isEnabled(), timeout=SECONDS)
        assert predict.session.prediction is None
        return predict.message.text()

    assert fails(RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")) == (
        "out of memory on cpu: choose another device, or close other programs"
    )
    assert fails(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")).startswith("out of memory on")
    assert fails(MemoryError()).startswith("out of memory on cpu")
    assert fails(RuntimeError("shape mismatch")).startswith("RuntimeError: shape mismatch")
    # a model file that is deleted after its card was read
    gone = tmp_path / "gone.safetensors"
    gone.write_bytes(model_file.read_bytes())
    predict.model.choose(gone)
    qtbot.waitUntil(lambda: ready(predict) and predict.run_button.isEnabled(), timeout=SECONDS)
    gone.unlink()
    with qtbot.waitSignal(predict.predictor.failed, timeout=SECONDS):
        press(qtbot, predict.run_button)
    assert "cannot read the model" in predict.message.text()
    # one that is no model is told when it is chosen
    pickled = tmp_path / "old.safetensors"
    pickled.write_bytes(b"\x80\x04pickled")
    with qtbot.waitSignal(predict.model.failed, timeout=SECONDS):
        predict.model.choose(pickled)
    assert "pickled file" in predict.message.text()
    assert "choose a model whose card can be read" in predict.run_button.toolTip()
    # and after all of that a prediction works
    predict.model.choose(model_file)
    qtbot.waitUntil(lambda: ready(predict) and predict.run_button.isEnabled(), timeout=SECONDS)
    assert run(predict, qtbot).uncertainty is None


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
    assert "The RD map has a median of" in panel.suitability.text()
    assert panel.state.isHidden()  # it is not said twice
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
