"""The commands as a person types them: what they print, write, and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import SMALL, TINY, call

from napari_myelin.core.evaluation.table import read_evaluation
from napari_myelin.core.events import Stopped
from training_cli.output import stopped_line


def test_phantom_check_fit_predict_evaluate_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort, run, maps, tables = (tmp_path / name for name in ("cohort", "run", "maps", "tables"))
    flags = ["--patients", "2", "--controls", "2", "--shape", "32", "32", "32", "--spacing", "5", "--seed", "1"]
    assert call("phantom", cohort, *flags) == 0
    assert call("check", cohort) == 0
    assert "every subject can be used" in capsys.readouterr().out
    assert call("fit", cohort, "--out", run, *TINY) == 0
    out = capsys.readouterr().out
    assert "training on 3 subjects (1 held out), sketcher then refiner, 1 epoch each, on cpu" in out
    assert "refiner 1/1: " in out
    assert call("info", run / "model.safetensors") == 0
    out = capsys.readouterr().out
    assert "MTR (%), FA (none), RD (10^-3 mm2/s), AD (10^-3 mm2/s)" in out
    assert "simulated (phantom)" in out
    assert "Not a medical device" in out
    assert call("predict", run / "model.safetensors", cohort, "--out", maps, "--subjects", "01", "03") == 0
    assert "2 of 2 subjects predicted" in capsys.readouterr().out
    assert call("evaluate", maps, cohort, "--out", tables, "--run", run) == 0
    captured = capsys.readouterr()
    assert "linear" in captured.out
    table = captured.out[captured.out.index("predicted") : captured.out.index("mean (SD)")]
    assert "…" not in table  # every number is whole at 80 columns
    assert "not a medical device" in captured.out
    assert "warning: the model was trained on" in captured.err
    assert (tables / "page.html").exists()
    assert {score.subject for score in read_evaluation(tables).scores} == {"sub-01", "sub-03"}


def test_two_models_give_a_mean_and_a_spread(phantom_folder: Path, trained_run: Path, tmp_path: Path) -> None:
    model = trained_run / "model.safetensors"
    words = ["predict", model, trained_run / "last.safetensors", phantom_folder, "--out", tmp_path / "p"]
    assert call(*words, "--subjects", "04", "--quiet") == 0
    assert len(list((tmp_path / "p").rglob("*desc-uncertainty*nii.gz"))) == 1


def test_json_lines_can_be_parsed(phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", phantom_folder, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["modalities"] == ["MTR", "FA", "RD", "AD"]
    assert [line["subject"] for line in lines[1:]] == [f"sub-0{n}" for n in range(1, 6)]
    assert call("fit", phantom_folder, "--out", tmp_path / "r", *TINY, "--json") == 0
    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert kinds[-1] == "finished"


def test_quiet_says_nothing(
    phantom_folder: Path, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained_run / "model.safetensors"
    assert call("predict", model, phantom_folder, "--out", tmp_path / "p", "--subjects", "05", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_demo_leaves_a_page_that_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("demo", "--out", tmp_path / "d", *SMALL) == 0
    page = (tmp_path / "d" / "page.html").read_text(encoding="utf-8")
    for words in ("Research software, not a medical device", "Phantom: these subjects are simulated", "linear model"):
        assert words in page
    for heading in ("MR maps", "Myelin (DVR)", "Demyelinated lesion voxels", "Saliency", "Training and lesions"):
        assert heading in page
    assert "http://" not in page.replace("http://www.w3.org", "")  # self-contained
    assert 'src="data:image/png;base64,' in page
    assert str(tmp_path / "d" / "page.html") in capsys.readouterr().out.replace("\n", "")
    assert len(list((tmp_path / "d" / "predictions").rglob("*desc-predicted*.nii.gz"))) >= 1
    assert call("demo", "--out", tmp_path / "d", *SMALL) == 1  # a demo is not written over


def test_a_stopped_prediction_says_how_to_go_on_and_a_stopped_run_too() -> None:
    assert stopped_line(Stopped("prediction", 0, 3)) == (
        "stopped after 3 subjects; the same command goes on with the others"
    )
    assert stopped_line(Stopped("refiner", 2, 5)) == "stopped in refiner, epoch 2, after step 5; --resume goes on"
