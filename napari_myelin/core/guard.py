"""Processes of one run that look after each other: where one ends badly the others end within seconds, and say why.

A process that waits for another in a collective may wait for ever: on a GPU nothing tells it that the other is gone.
torchrun, and srun with ``--kill-on-bad-exit``, end the others themselves; here is the same for processes that the
first of them started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOOK = 0.5  # s between two looks
GRACE = 10.0  # s for a process to notice by itself, and to end its own way
_WORDS = ("connection closed", "connection reset", "connection refused", "broken pipe", "gloo", "nccl", "timed out")


class _Others(threading.Thread):
    """Looks whether the other processes are there, and ends this one some time after one of them ended badly."""

    def __init__(self, children: list[subprocess.Popen[Any]]) -> None:
        super().__init__(daemon=True, name="other processes")
        self.children = children
        self.parent = os.getppid()

    def lost(self) -> str | None:
        """Return which process ended badly, and how; None where none did."""
        if not self.children:
            gone = os.getppid() != self.parent
            return FIRST_LOST if gone else None
        for number, child in enumerate(self.children, start=2):
            code = child.poll()
            if code:
                how = f"was ended by signal {-code} ({_name(-code)})" if code < 0 else f"ended with exit code {code}"
                return f"process {number} of {len(self.children) + 1} {how}"
        return None

    def run(self) -> None:
        while self.lost() is None:
            time.sleep(LOOK)
        time.sleep(GRACE)
        # this process hangs: nobody else can say it any more
        if self.children or os.environ.get("LOCAL_RANK") == "1":
            sys.stderr.write(f"error: {self.lost()}: {ADVICE}\n")
            sys.stderr.flush()
        for child in self.children:
            if child.poll() is None:
                child.kill()
        os._exit(1)


FIRST_LOST = "the first process of this run ended"
ADVICE = "nothing goes on without it; what is saved is kept, fit --resume and predict go on from there"
_others: list[_Others] = []


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


@contextmanager
def guarded() -> Iterator[None]:
    """Look after the processes that Fabric starts inside the block, or that started this one."""
    from lightning_fabric.strategies.launchers import subprocess_script  # takes longer to import than torch

    started: list[subprocess.Popen[Any]] = []
    # Fabric's own look after them kills this process without a word
    kept = subprocess_script._launch_process_observer
    subprocess_script._launch_process_observer = started.extend  # type: ignore[assignment]
    try:
        yield
    finally:
        subprocess_script._launch_process_observer = kept
    others = _Others(started)
    others.start()
    _others.append(others)


def lost_process(wait: float = 2.0) -> str | None:
    """Return which process of this run ended badly, and how, looking for ``wait`` seconds; None where all are there."""
    end = time.monotonic() + wait
    while _others:
        said = next((said for each in _others if (said := each.lost()) is not None), None)
        if said is not None or time.monotonic() > end:
            return said
        time.sleep(LOOK / 5)
    return None


def connection_lost(error: BaseException) -> bool:
    """Return whether ``error`` is another process that cannot be reached any more, however torch says it."""
    import torch.distributed

    if isinstance(error, torch.distributed.DistError):
        return True
    words = str(error).lower()
    # a kernel that timed out is this process's own
    own = words.startswith("cuda error")
    return isinstance(error, RuntimeError) and not own and any(word in words for word in _WORDS)
