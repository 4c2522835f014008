"""The files of a prediction: what is on show is what is saved, nothing is replaced unasked, a full disk is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouse import press
from predictions import SECONDS, run
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_myelin.core.data.volume import read_volume
from napari_myelin.core.evaluation.demyelination import lesion_table
from napari_myelin.widgets.predict.panel import PredictPanel


def test_the_saved_files_are_the_prediction_with_the_mask_as_drawn(
    predict: PredictPanel, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = predict.session
    prediction = run(predict, qtbot, uncertainty=2)
    session.layer("lesion").data[:2] = 1  # a slab that is in no file
    session.lesion_changed.emit()
    predict.threshold.spin.setValue(1.0)
    folder = tmp_path / "made"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    with qtbot.waitSignal(predict.predictor.done, timeout=SECONDS):
        press(qtbot, predict.files.save)
    anat = folder / "sub-01" / "anat"
    mask = read_volume(anat / "sub-01_space-pet_desc-demyelinated_mask.nii.gz", mask=True)
    np.testing.assert_array_equal(mask.array, session.lesion.array & (prediction.dvr.array < 1.0))
    np.testing.assert_array_equal(mask.affine, session.frame.reference.affine)
    sidecar = json.loads((anat / "sub-01_space-pet_desc-demyelinated_mask.json").read_text())
    assert sidecar["Threshold"]["value"] == 1.0
    (maps,) = (folder / "sub-01" / "pet").glob("*desc-predicted*.nii.gz")
    np.testing.assert_array_equal(read_volume(maps).array, prediction.dvr.array)
    assert str(folder / "sub-01") in predict.message.text()

    # files that are there are asked for, and kept if the answer is no
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *given: asked.append(given[2]) or QMessageBox.StandardButton.No)
    at = maps.stat().st_mtime_ns
    press(qtbot, predict.files.save)
    assert "6 files are there already" in asked[0]
    assert maps.stat().st_mtime_ns == at

    table = tmp_path / "lesions"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(table), ""))
    with qtbot.waitSignal(predict.predictor.done, timeout=SECONDS):
        press(qtbot, predict.files.export)
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
        with qtbot.waitSignal(predict.predictor.failed, timeout=SECONDS):
            press(qtbot, predict.files.save)
        qtbot.waitUntil(lambda: not predict.predictor.writing, timeout=SECONDS)
    assert "No space left on device; choose another folder or free some space" in predict.message.text()
    assert predict.files.save.isEnabled()
    with qtbot.waitSignal(predict.predictor.done, timeout=SECONDS):
        press(qtbot, predict.files.save)
