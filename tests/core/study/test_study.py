"""A whole study on a tiny cohort: every part, the table, the page; killed, failed, and gone on with."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import call
from runs import assert_same_weights, weights

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.volume import read_volume
from napari_myelin.core.evaluation.results import read_results
from napari_myelin.core.events import Epoch, read_events
from napari_myelin.core.inference.model import load_model, read_card
from napari_myelin.core.options_file import read_options
from napari_myelin.core.study.folds import open_folds
from napari_myelin.core.study.options import read_study
from napari_myelin.core.study.parts import open_plan
from napari_myelin.core.study.run import run_study
from napari_myelin.core.study.work import stages
from napari_myelin.core.training.fit import fit

ALL = "MTR+FA+RD+AD"


def jobs(out: Path) -> dict[str, str]:
    lines = [line.split("\t") for line in (out / "jobs.tsv").read_text().splitlines()[1:]]
    return {cells[0]: cells[4] for cells in lines}


def test_every_subject_is_judged_once_by_every_method(finished_study: Path, phantom_cohort: Cohort) -> None:
    results = read_results(finished_study / "results.tsv")
    keys = sorted(subject.key for subject in phantom_cohort.subjects)
    for method in ("linear", "boosting", "sketcher", "refiner", "ceiling"):
        assert sorted(results.of(method, ALL, "image", "mse")) == keys
    assert sorted(results.of("noise-free", "none", "image", "mse")) == keys
    assert sorted(results.of("linear", "MTR", "image", "mse")) == keys
    named = [(row.method, row.inputs, row.subject, row.region, row.metric) for row in results.rows]
    assert len(named) == len(set(named))
    assert results.phantom


def test_the_rows_are_those_of_the_maps_on_disk(finished_study: Path, phantom_cohort: Cohort) -> None:
    results = read_results(finished_study / "results.tsv")
    for fold in open_folds(finished_study / "folds.json", phantom_cohort, 2, 0):
        for subject in phantom_cohort.select(fold.held_out).subjects:
            folder = finished_study / "parts" / f"cascade_{ALL}_{fold.name}" / "refiner" / subject.key
            predicted = read_volume(next(folder.glob("pet/*desc-predicted*.nii.gz"))).array.astype(np.float64)
            true = subject.volume("dvr").array
            assert results.of("refiner", ALL, "image", "mse")[subject.key] == pytest.approx(
                np.mean((predicted - true) ** 2), rel=1e-6
            )
            if subject.has("lesion"):
                lesion = subject.volume("lesion").array
                error = np.abs(predicted - true)[lesion]
                assert results.of("refiner", ALL, "lesion", "voxel_error")[subject.key] == pytest.approx(
                    error.mean(), rel=1e-6
                )
                sd = read_volume(next(folder.glob("pet/*desc-uncertainty*.nii.gz"))).array[lesion]
                assert results.of("refiner", ALL, "lesion", "inside_2sd")[subject.key] == pytest.approx(
                    (error <= 2 * sd).mean()
                )
                assert results.of("refiner", ALL, "lesion", "attention_common")[subject.key] > 0


def test_nobody_is_judged_by_a_model_that_saw_them(finished_study: Path, phantom_cohort: Cohort) -> None:
    for fold in open_folds(finished_study / "folds.json", phantom_cohort, 2, 0):
        card = read_card(finished_study / "parts" / f"cascade_{ALL}_{fold.name}" / "run" / "model.safetensors")
        seen = {*card.training.subjects, *card.training.validation}
        assert not seen & set(fold.held_out)
        assert len(seen) + len(fold.held_out) == len(phantom_cohort.subjects)
        # taken out of the training folds, where three persons or more are left to train on
        assert len(card.training.validation) == (1 if len(seen) >= 3 else 0)
        assert card.training.phantom


def test_a_part_is_a_fit_line_that_anyone_can_run_and_ends_the_same(finished_study: Path, tmp_path: Path) -> None:
    words = shlex.split(jobs(finished_study)[f"cascade_{ALL}_fold1"])
    assert words[:2] == ["napari-myelin-train", "fit"]
    run = Path(words[words.index("--out") + 1])
    words[words.index("--out") + 1] = str(tmp_path / "run")
    assert call(*words[1:], "--quiet") == 0
    assert_same_weights(weights(tmp_path / "run"), weights(run))


def test_the_first_stages_of_a_shared_run_are_what_a_shorter_run_trains(finished_study: Path, tmp_path: Path) -> None:
    part = f"cascade_{ALL}_fold2"
    options = read_options(finished_study / "options" / f"{part}.toml")
    assert options.network.refiners == 1
    network = options.network.model_copy(update={"refiners": 0})
    cohort = open_cohort(finished_study / "cohorts" / "fold2_training.tsv")
    for _ in fit(cohort, options.model_copy(update={"network": network}), tmp_path / "run"):
        pass
    shared = stages(load_model(finished_study / "parts" / part / "run" / "model.safetensors"), 1)
    assert_same_weights(shared.network.state_dict(), weights(tmp_path / "run"))


def test_the_time_of_every_methods_training_is_known(finished_study: Path) -> None:
    facts = read_results(finished_study / "results.tsv").facts
    part = f"cascade_{ALL}_fold1"
    events = read_events(finished_study / "parts" / part / "run" / "events.jsonl")
    ends = {event.stage: event.seconds for event in events if isinstance(event, Epoch)}
    about = facts["training"][part]
    assert about["seconds"] == {name: pytest.approx(ends[name], abs=0.06) for name in ("sketcher", "refiner")}
    assert about["device"] == "cpu (1 thread)"
    l1 = [event.losses["l1"] for event in events if isinstance(event, Epoch) and event.stage == "refiner"]
    assert about["curves"]["refiner"]["training"] == pytest.approx(l1, abs=6e-5)
    assert facts["training"][f"ceiling_{ALL}"]["seconds"]["ceiling"] > 0
    assert facts["simulation"].endswith("--patients 3 --controls 2 --shape 32 40 32 --spacing 4.88 --seed 3")
    assert facts["seeds"] == {"phantom": 3, "folds": 0, "training": 0}
    assert (finished_study / "figures" / "fig11.svg").exists()
    assert "| Refiner (Proposed) | MTR+DTI | 2 |" in (finished_study.parent / "results.md").read_text()


def test_the_page_and_the_markdown_are_there(finished_study: Path) -> None:
    page = (finished_study / "study.html").read_text()
    for title in ("Table 1.", "Table 2.", "Fig. 4.", "Fig. 6.", "Fig. 7.", "Fig. 8 A.", "Fig. 8 B.", "Fig. 9 B."):
        assert title in page
    assert "Nobody was scanned" in page
    assert "| Practical ceiling |" in (finished_study.parent / "results.md").read_text()


def test_a_second_call_does_nothing_again_and_changes_no_number(
    finished_study: Path, phantom_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished_study / "results.tsv").read_bytes()
    model = finished_study / "parts" / f"cascade_{ALL}_fold1" / "run" / "model.safetensors"
    written = model.stat().st_mtime_ns
    assert call("study", phantom_folder, "--out", finished_study, "--parts-only") == 0
    assert "10 of 10 parts are done already" in capsys.readouterr().out
    assert (finished_study / "results.tsv").read_bytes() == before
    assert model.stat().st_mtime_ns == written


@pytest.mark.slow
def test_killed_and_gone_on_with_in_two_processes_gives_the_same_table(
    finished_study: Path, phantom_folder: Path, study_toml: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["study", str(phantom_folder), "--options", str(study_toml), "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "training_cli.main", *words], stdout=subprocess.DEVNULL)
    events = out / "parts" / f"cascade_{ALL}_fold1" / "run" / "events.jsonl"
    began = time.monotonic()
    while not (events.exists() and '"epoch"' in events.read_text()):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() - began < 120
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (events.parents[1] / "results.tsv").exists()
    # the networks in two processes, the rest in this one
    assert call(*words, "--jobs", "2", "--subset", "refiner", "--parts-only", "--quiet") == 0
    for _ in run_study(open_plan(open_cohort(phantom_folder), read_study(study_toml), out)):
        pass
    assert (out / "results.tsv").read_bytes() == (finished_study / "results.tsv").read_bytes()


def test_a_failed_part_is_named_the_others_finish_and_the_next_call_repairs_it(
    phantom_folder: Path, study_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "out", ("study", phantom_folder, "--options", study_toml, "--quiet")
    assert call(*words, "--out", out, "--export-slurm") == 0
    (out / "parts").mkdir()
    blocked = out / "parts" / "linear_MTR_fold2"
    blocked.write_text("in the way of its folder")
    capsys.readouterr()
    assert call(*words, "--out", out, "--subset", "linear") == 1
    error = capsys.readouterr().err
    assert "linear_MTR_fold2 is skipped: cannot write" in error
    assert "failed: linear_MTR_fold2; the others are done" in error
    done = sorted(path.parent.name for path in out.glob("parts/*/results.tsv"))
    assert done == [f"linear_{ALL}_fold1", f"linear_{ALL}_fold2", "linear_MTR_fold1"]
    blocked.unlink()
    assert call(*words, "--out", out, "--subset", "linear", "MTR", "fold2") == 0
    assert len(read_results(out / "results.tsv").of("linear", "MTR", "image", "mse")) == 5
