"""Two real processes, one of which is gone: the other ends soon with one sentence, and the run can go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from napari_myelin.core.guard import connection_lost
from napari_myelin.core.inference.model import load_model

FLAGS = "--preset demo --device cpu --threads 1 --maps 2 --discriminator-maps 2 --batch 2 --epochs 3 --validate-every 3"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
MINUTE = 60  # s in which the others must be gone
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc for the second process")


def command(cohort: Path, run: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "training_cli.main", "fit", str(cohort), "--out", str(run), *FLAGS.split(), *more]


def steps(run: Path) -> int:
    path = run / "events.jsonl"
    return path.read_text().count('"kind": "step"') if path.exists() else 0


def two(cohort: Path, run: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a training in two processes; return the first and the number of the second, once it has done two steps."""
    first = subprocess.Popen(
        command(cohort, run, "--devices", "2"),
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while steps(run) < 2:
        assert first.poll() is None, first.stderr.read() if first.stderr else ""
        time.sleep(0.02)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    return first, int(children[0])


def alive(number: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


@linux
@pytest.mark.slow
def test_a_killed_process_ends_the_other_with_one_sentence_and_the_run_resumes_on_one_device(
    phantom_folder: Path, tmp_path: Path
) -> None:
    subprocess.run(command(phantom_folder, tmp_path / "whole", "--quiet"), env=ENVIRONMENT, check=True, timeout=300)
    first, second = two(phantom_folder, tmp_path / "run")
    os.kill(second, signal.SIGKILL)
    began = time.monotonic()
    _, said = first.communicate(timeout=MINUTE)
    assert time.monotonic() - began < MINUTE
    assert first.returncode == 1
    assert said.count("error: ") == 1, said
    assert "process 2 of 2 was ended by signal 9 (SIGKILL): the run cannot go on without it, --resume goes on" in said
    assert "Traceback" not in said
    # another number of devices, the same weights
    resumed = command(phantom_folder, tmp_path / "run", "--resume", "--devices", "1", "--quiet")
    subprocess.run(resumed, env=ENVIRONMENT, check=True, timeout=300)
    one, other = (load_model(tmp_path / name / "model.safetensors").network.state_dict() for name in ("whole", "run"))
    for layer, value in one.items():
        torch.testing.assert_close(other[layer], value, rtol=0, atol=1e-6, msg=layer)


@linux
@pytest.mark.slow
def test_when_the_first_process_is_killed_the_others_do_not_stay(phantom_folder: Path, tmp_path: Path) -> None:
    first, second = two(phantom_folder, tmp_path / "run")
    first.kill()
    began = time.monotonic()
    while alive(second):
        assert time.monotonic() - began < MINUTE, "the second process is left"
        time.sleep(0.1)
    _, said = first.communicate(timeout=MINUTE)
    assert said.count("error: the first process of this run ended: the run cannot go on without it") == 1, said
    assert said.count("error: ") == 1


SCRIPT = """
import os, sys
import torch
from napari_myelin.core.training import trainer
from training_cli.main import main

real, calls = trainer.train_step, []

def short(*given):
    calls.append(1)
    if len(calls) == 2 and os.environ.get("LOCAL_RANK") == "1" and "--resume" not in sys.argv:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return real(*given)

trainer.train_step = short
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_process_that_runs_out_of_memory_is_named_and_the_run_resumes_in_a_smaller_way(
    phantom_folder: Path, tmp_path: Path
) -> None:
    script = tmp_path / "fit.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), *command(phantom_folder, tmp_path / "run", "--devices", "2", "--quiet")[3:]]
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    environment = {**ENVIRONMENT, "PYTHONPATH": path}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=MINUTE)
    assert done.returncode == 1
    assert "error: process 2: out of memory: --resume goes on with --crop 32 --window 32" in done.stderr
    assert done.stderr.count("error: ") == 1, done.stderr
    subprocess.run([*words, "--resume"], env=environment, check=True, timeout=300)
    training = load_model(tmp_path / "run" / "model.safetensors").card.options.training
    assert (training.crop, training.window) == (32, 32)
    assert not (tmp_path / "run" / "smaller.json").exists()


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (torch.distributed.DistBackendError("x"), True),
        (RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1234"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("Connection closed by peer"), False),
        (RuntimeError("NCCL Error 1: unhandled cuda error"), True),
        (torch.AcceleratorError("CUDA error: the launch timed out and was terminated"), False),
    ],
)
def test_what_is_another_process_that_is_gone(error: Exception, lost: bool) -> None:
    assert connection_lost(error) == lost
