"""What ``fit`` does without training: it tells what a run would take, or writes it as a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import TINY, call, only_error, shellcheck
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.options_file import options_from, read_options
from napari_myelin.core.training.forecast import forecast


def test_a_dry_run_says_what_a_run_would_take_and_writes_nothing(
    phantom_folder: Path,
    phantom_cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = forecast(phantom_cohort, tiny_options())
    assert call("fit", phantom_folder, *TINY, "--dry-run") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "subjects: 4 train (2 controls among them), 1 held out"
    assert lines[1].startswith("grid: " + " x ".join(map(str, seen.grid.shape)) + " voxels of ")
    assert lines[2] == "stages: sketcher, then refiner; epochs of each: 1, steps of an epoch: 4"
    judged = f"{seen.discriminator:,} in its discriminator"
    assert lines[3] == f"parameters: {seen.generator:,} in each generator and {judged}"
    assert lines[4].startswith(f"memory: about {seen.need / 2**20:.0f} MiB at the peak on cpu, ")
    assert lines[4].endswith(" are free")
    assert captured.err == ""
    assert call("fit", phantom_folder, *TINY, "--dry-run", "--out", tmp_path / "run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["need"], told["steps"], told["stages"]) == (seen.need, 4, ["sketcher", "refiner"])
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_what_would_fit_where_it_does_not(
    phantom_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("napari_myelin.core.training.forecast.free_memory", lambda device: 16 * 2**20)
    assert call("fit", phantom_folder, *TINY, "--dry-run") == 0
    err = capsys.readouterr().err
    assert err.startswith("warning: may not fit: --crop 16 --window 16")
    assert " would fit (about " in err
    assert "a run that runs out steps down by itself" in err


def test_a_run_needs_a_folder(phantom_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("fit", phantom_folder, *TINY) == 2
    assert "give a run folder: fit COHORT --out DIR" in only_error(capsys)


def test_a_job_for_slurm_is_written_and_nothing_trained(
    phantom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, run = tmp_path / "job", tmp_path / "run"
    words = ["fit", phantom_folder, "--out", run, *TINY, "--batch", "8", "--devices", "4", "--num-nodes", "2"]
    assert call(*words, "--export-slurm", job) == 0
    assert f"wrote {job / 'train.slurm'}: sbatch it" in capsys.readouterr().out.replace("\n", "")
    text = (job / "train.slurm").read_text()
    assert "#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=4\n" in text
    assert not run.exists()
    assert {path.name for path in job.iterdir()} == {"options.toml", "train.sh", "train.slurm"}


SRUN = """\
#!/bin/bash
# two tasks on this machine with what SLURM tells them, ended together where one ends badly
[[ $1 == --kill-on-bad-exit=1 ]] || exit 9
shift
export SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=2 SLURM_NNODES=1 SLURM_NODEID=0 SLURM_NODELIST=localhost
export SLURM_JOB_NAME=myelin SLURM_JOB_ID=$$
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" &
done
code=0
for task in 0 1; do
    wait -n || { code=$?; kill $(jobs -p); }
done
exit "$code"
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SLURM is for Linux")
def test_the_job_trains_in_two_tasks_of_a_stub_of_srun_and_goes_on_when_it_is_submitted_again(
    phantom_folder: Path, tmp_path: Path
) -> None:
    job, run = tmp_path / "job", tmp_path / "run"
    flags = ["--epochs", "2", "--batch", "2", "--devices", "2", "--threads", "1"]
    assert call("fit", phantom_folder, "--out", run, *TINY, *flags, "--export-slurm", job) == 0
    shellcheck(job / "train.slurm", job / "train.sh")
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin" / "srun"
    srun.write_text(SRUN)
    srun.chmod(0o755)
    path = os.pathsep.join([str(srun.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    for said in ("training on 4 subjects", "finished"):
        done = subprocess.run(["bash", job / "train.slurm"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(said) == 1  # by the first task alone
    assert (run / "model.safetensors").exists()


def test_options_read_back_from_a_job(phantom_folder: Path, tmp_path: Path) -> None:
    words = ["fit", phantom_folder, "--out", tmp_path / "run", *TINY, "--crop", "16", "--window", "16"]
    assert call(*words, "--checkpointing", "--export-slurm", tmp_path / "job") == 0
    wanted = options_from({"training": {"crop": 16, "window": 16, "checkpointing": True}}, tiny_options())
    assert read_options(tmp_path / "job" / "options.toml") == wanted
