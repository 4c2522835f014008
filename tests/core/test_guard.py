"""A process that hangs while another one of its run is gone is ended, with one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_myelin.core import guard

HANGS = """
import subprocess, sys, time
from napari_myelin.core import guard
guard.LOOK = guard.GRACE = 0.2
ended = {how}
guard._Others([subprocess.Popen([sys.executable, "-c", "pass"]), ended]).start()
time.sleep(3 if {ends_well} else 60)
"""
KILLED = 'subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])'
WRONG = 'subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])'
WELL = 'subprocess.Popen([sys.executable, "-c", "pass"])'


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            KILLED,
            "error: process 3 of 3 was ended by signal 9 (SIGKILL): nothing goes on without it; what is saved is kept",
        ),
        (WRONG, "error: process 3 of 3 ended with exit code 3: nothing goes on without it; what is saved is kept"),
    ],
)
def test_a_process_that_hangs_is_ended_when_another_ended_badly(how: str, words: str) -> None:
    script = HANGS.format(how=how, ends_well=False)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1


def test_a_process_stays_while_the_others_end_well() -> None:
    script = HANGS.format(how=WELL, ends_well=True)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")


def test_nobody_is_lost_where_nobody_else_is() -> None:
    assert guard.lost_process(wait=0.0) is None
