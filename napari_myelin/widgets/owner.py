"""Which process something belongs to, and whether it is still there."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Owner:
    """A process: its id, and when it started, since ids are given again."""

    pid: int
    started: float

    @classmethod
    def me(cls) -> Owner:
        """Return this process."""
        return cls(os.getpid(), psutil.Process().create_time())

    @property
    def alive(self) -> bool:
        """Whether it is another process than this one, and running."""
        if self.pid == os.getpid():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1
        except psutil.Error:
            return False
