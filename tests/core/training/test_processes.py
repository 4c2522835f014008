"""Real processes: killed at any instant and resumed; two that share a batch."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from napari_myelin.core.inference.model import load_model

FLAGS = "--preset demo --device cpu --threads 1 --maps 2 --discriminator-maps 2 --epochs 3 --validate-every 1 --quiet"
# torch's wheels for Windows have no libuv
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", **({"USE_LIBUV": "0"} if sys.platform == "win32" else {})}


def command(cohort: Path, run: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "training_cli.main", "fit", str(cohort), "--out", str(run), *FLAGS.split(), *more]


def steps(run: Path) -> int:
    path = run / "events.jsonl"
    return path.read_text().count('"kind": "step"') if path.exists() else 0


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_model(run / "model.safetensors").network.state_dict()


@pytest.mark.slow
def test_killed_three_times_and_resumed_ends_bit_identical(phantom_folder: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(phantom_folder, whole), env=ENVIRONMENT, check=True, timeout=300)
    total = steps(whole)
    assert total == 4 * 3 * 2  # four training subjects, three epochs, two stages
    chance = random.Random(17)
    moments = sorted(chance.sample(range(2, total - 1), 3))
    for number, moment in enumerate(moments):
        resume = ["--resume"] if number else []
        process = subprocess.Popen(command(phantom_folder, killed, *resume), env=ENVIRONMENT)
        while steps(killed) < moment and process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.2))  # anywhere inside what follows: a step, a validation, a save
        assert process.poll() is None, "the run ended before it was killed"
        process.kill()
        assert process.wait() != 0
    subprocess.run(command(phantom_folder, killed, "--resume"), env=ENVIRONMENT, check=True, timeout=300)
    assert steps(killed) == total
    expected = weights(whole)
    for name, value in weights(killed).items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one_with_the_same_batch(phantom_folder: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    starts = {"one": [sys.executable], "two": [sys.executable], "torchrun": torchrun}
    for name, start in starts.items():
        devices = ["--devices", "2"] if name == "two" else []  # torchrun says itself how many it started
        words = command(phantom_folder, tmp_path / name, "--batch", "2", "--epochs", "2", *devices)
        subprocess.run([*start, *words[1:]], env=ENVIRONMENT, check=True, timeout=300)
    one = weights(tmp_path / "one")
    for name in ("two", "torchrun"):
        several = weights(tmp_path / name)
        for layer, value in one.items():
            torch.testing.assert_close(several[layer], value, rtol=0, atol=1e-6, msg=f"{name} {layer}")
        assert steps(tmp_path / name) == steps(tmp_path / "one") == 2 * 2 * 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process alone")
@pytest.mark.slow
def test_interrupted_run_exits_with_130_and_resumes(phantom_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(command(phantom_folder, run), env=ENVIRONMENT)
    while steps(run) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert list((run / "state").glob("*.pt"))
    subprocess.run(command(phantom_folder, run, "--resume"), env=ENVIRONMENT, check=True, timeout=300)
    assert load_model(run / "model.safetensors").card.training.finished


@pytest.mark.slow
def test_two_processes_predict_every_subject_once(phantom_folder: Path, trained_run: Path, tmp_path: Path) -> None:
    model = str(trained_run / "model.safetensors")
    base = [sys.executable, "-m", "training_cli.main", "predict", model, str(phantom_folder), "--device", "cpu"]
    for devices in ("1", "2"):
        out = ["--out", str(tmp_path / devices), "--devices", devices, "--threads", "1", "--quiet"]
        subprocess.run([*base, *out], env=ENVIRONMENT, check=True, timeout=300)
    one, two = (sorted(path.relative_to(tmp_path / d) for path in (tmp_path / d).rglob("*.*")) for d in "12")
    assert one == two
    assert len([path for path in one if "desc-predicted" in path.name and path.suffix == ".gz"]) == 5
