"""Rows, their summary, and the tables on disk."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.score import MEASURES, Score, Truth, score
from napari_myelin.core.evaluation.table import Evaluation, read_evaluation, summarise, write_evaluation


def row(name: str, method: str, mse: float, lesion: float = math.nan) -> Score:
    values = dict.fromkeys(MEASURES, math.nan) | {"mse": mse, "lesion_dvr_true": lesion, "lesion_dvr_predicted": lesion}
    return Score(name, "MS", method, values, [(lesion, 2 * lesion)] if math.isfinite(lesion) else [])


def test_a_score_by_hand(memory_subject: Subject) -> None:
    truth = Truth.of(memory_subject, 1.0)
    predicted = truth.dvr + np.where(truth.lesion, np.float32(0.1), np.float32(0))
    result = score(truth, predicted, "predicted")
    values = result.values
    voxels = truth.lesion.sum()
    assert values["mse"] == pytest.approx(0.01 * voxels / truth.dvr.size, rel=1e-5)
    assert values["mse_brain"] == pytest.approx(0.01 * voxels / truth.brain.sum(), rel=1e-5)
    assert values["discrepancy_lesion"] == pytest.approx(0.1, rel=1e-5)
    assert values["lesion_voxel_error"] == pytest.approx(0.1, rel=1e-5)
    assert values["discrepancy_nawm"] == 0  # NAWM is outside the lesion, where nothing differs
    assert math.isnan(values["discrepancy_wm"])  # of controls only
    assert values["share_true"] == pytest.approx((truth.dvr[truth.lesion] < 1.0).mean())
    assert values["lesion_dvr_predicted"] == pytest.approx(values["lesion_dvr_true"] + 0.1, rel=1e-5)
    # one lesion of 27 voxels of about 8 mm3: above 106 mm3
    assert result.lesions == [(pytest.approx(values["lesion_dvr_true"]), pytest.approx(values["lesion_dvr_predicted"]))]


def test_lesions_below_106_mm3_are_left_out_of_the_correlation(memory_subject: Subject) -> None:
    volume = memory_subject.volume("lesion")
    small = volume.array.copy()
    small[8:10] = False  # nine voxels of about 8 mm3
    subject = memory_subject.with_files(lesion=type(volume)(small, volume.affine))
    truth = Truth.of(subject, None)
    result = score(truth, truth.dvr, "predicted")
    assert result.lesions == []
    assert math.isnan(result.values["dice"])  # no threshold


def test_summary_is_mean_and_sample_sd_over_subjects_and_correlations() -> None:
    scores = [row("sub-1", "predicted", 1.0, 0.9), row("sub-2", "predicted", 3.0, 1.1), row("sub-3", "predicted", 2.0)]
    scores += [row("sub-4", "predicted", 2.0, 1.3), row("sub-1", "linear", 5.0)]
    evaluation = Evaluation(scores, summarise(scores), ["m"], None, phantom=False)
    cell = evaluation.of("predicted", "mse")
    assert cell is not None
    assert (cell.mean, cell.count) == (2.0, 4)
    assert cell.sd == pytest.approx(np.std([1, 3, 2, 2], ddof=1))
    lesions = evaluation.of("predicted", "correlation_lesions")
    assert lesions is not None
    assert lesions.mean == pytest.approx(1.0)
    assert lesions.count == 3
    assert evaluation.of("linear", "correlation_lesions") is None
    assert evaluation.of("predicted", "dice") is None
    assert evaluation.methods == ["predicted", "linear"]


def test_tables_round_trip_with_n_a_and_null_in_place_of_nan(tmp_path: Path) -> None:
    scores = [row("sub-1", "predicted", 0.5, 0.9)]
    threshold = {"kind": "value", "value": 1.0}
    evaluation = Evaluation(scores, summarise(scores), ["abc"], threshold, phantom=True, warnings=["w"])
    write_evaluation(evaluation, tmp_path)
    with (tmp_path / "metrics.tsv").open() as file:
        (line,) = csv.DictReader(file, delimiter="\t")
    assert (line["subject"], line["group"], line["method"]) == ("sub-1", "MS", "predicted")
    assert (line["mse"], line["dice"]) == ("0.5", "n/a")
    text = (tmp_path / "evaluation.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["scores"][0]["values"]["dice"] is None
    again = read_evaluation(tmp_path)
    assert again.scores[0].values["mse"] == 0.5
    assert math.isnan(again.scores[0].values["dice"])
    assert again.scores[0].lesions == [(0.9, 1.8)]
    assert (again.phantom, again.warnings, again.threshold) == (True, ["w"], threshold)


def test_reading_an_evaluation_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(MyelinError, match="holds no evaluation"):
        read_evaluation(tmp_path)
