"""An exported job does the training that was set up, wherever it runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import shellcheck
from runs import assert_same_weights, weights
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training.job import ExportedJob, export_job
from training_cli.arguments import checked_options, parse, starting_options, with_options
from training_cli.fit import FitArguments

AWKWARD = "it's a $HOME folder"


def exported(tmp_path: Path, cohort: Cohort, options: Options) -> ExportedJob:
    return export_job(tmp_path / AWKWARD, cohort, options, tmp_path / AWKWARD / "run")


def shell(script: Path, *words: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    program = "bash" if script.suffix == ".slurm" else "sh"
    command = [program, str(script), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_the_command_reads_back_every_option_that_was_set(tmp_path: Path, phantom_cohort: Cohort) -> None:
    table = {
        "data": {"modalities": ["MTR", "FA"], "spacing": None, "shape": [64, 80, 64], "resample": True},
        "network": {"patch": 16, "norm": "none", "refiners": 2},
        "loss": {"adversarial_form": "minimax", "lambda_sketcher": 12.5},
        "training": {"sketcher_rate": 3e-5, "seed": 7, "select": "last"},
        "runtime": {"device": "cpu", "threads": 3, "devices": 2, "num_nodes": 2},
        "demyelination": {"threshold": "value", "threshold_value": 0.9},
    }
    options = options_from(table)
    job = exported(tmp_path, phantom_cohort, options)
    program, name, *words = shlex.split(job.command)
    assert (program, name) == ("napari-myelin-train", "fit")
    arguments = parse(with_options(FitArguments, settings=starting_options(words)), "fit", words)
    assert checked_options(arguments.settings) == options  # type: ignore[attr-defined]
    assert arguments.cohort == phantom_cohort.root
    assert arguments.out == tmp_path / AWKWARD / "run"


def test_the_script_trains_what_the_engine_trains(tmp_path: Path, phantom_cohort: Cohort, trained_run: Path) -> None:
    job = exported(tmp_path, phantom_cohort, tiny_options())
    done = shell(job.script, "--quiet", path=Path(sys.executable).parent)
    assert done.returncode == 0, done.stderr
    assert_same_weights(weights(tmp_path / AWKWARD / "run"), weights(trained_run))


def test_the_slurm_script_asks_for_the_devices_and_resumes_a_run_that_is_there(
    tmp_path: Path, phantom_cohort: Cohort
) -> None:
    options = options_from({"runtime": {"devices": 4, "num_nodes": 2, "device": "cuda"}}, tiny_options())
    job = exported(tmp_path, phantom_cohort, options)
    text = job.slurm.read_text()
    for line in ("--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4", "--signal=TERM@120"):
        assert f"#SBATCH {line}\n" in text
    # srun starts the command once a task; this one says what it was given
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin" / "srun"
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    words = ["--kill-on-bad-exit=1", *shlex.split(job.command)]
    srun.chmod(0o755)
    assert shell(job.slurm, path=srun.parent).stdout.splitlines() == words
    (tmp_path / AWKWARD / "run").mkdir()
    (tmp_path / AWKWARD / "run" / "options.toml").touch()
    assert shell(job.slurm, path=srun.parent).stdout.splitlines() == [*words, "--resume"]


def test_a_job_for_the_cpu_asks_for_no_gpu(tmp_path: Path, phantom_cohort: Cohort) -> None:
    assert "gpus" not in exported(tmp_path, phantom_cohort, tiny_options()).slurm.read_text()


def test_shellcheck_finds_nothing(tmp_path: Path, phantom_cohort: Cohort) -> None:
    job = exported(tmp_path, phantom_cohort, tiny_options())
    # SC2016 is about the $ in the folder's name, which is meant to stay one
    shellcheck(job.script, job.slurm, leave_out="SC2016")


def test_what_no_other_process_could_read_is_refused(tmp_path: Path, phantom_cohort: Cohort) -> None:
    with pytest.raises(MyelinError, match="needs one on disk"):
        export_job(tmp_path / "job", replace(phantom_cohort, root=tmp_path / "gone"), tiny_options(), tmp_path / "run")
    with pytest.raises(MyelinError, match="export to another folder"):
        export_job(tmp_path / "run", phantom_cohort, tiny_options(), tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(MyelinError, match="cannot write"):
        export_job(tmp_path / "file" / "job", phantom_cohort, tiny_options(), tmp_path / "run")
