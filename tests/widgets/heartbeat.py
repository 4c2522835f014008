"""How long the main thread was held: a timer that should fire every 10 ms, and the longest time it did not."""

from __future__ import annotations

import gc
import sys
import time
from types import TracebackType

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QApplication

INTERVAL = 10  # ms


class Heartbeat:
    """Beats while it is entered; ``longest`` is the longest gap between two beats, in s.

    What the machine takes for other programs is in it: `busy` is the processor time of the main thread in that gap,
    which is the part that its own code took.
    """

    def __init__(self) -> None:
        self.longest = self.busy = 0.0
        self.beats = 0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(INTERVAL)
        self._timer.timeout.connect(self._beat)
        self._last = self._spent = 0.0

    def __enter__(self) -> Heartbeat:
        # what the tests before left behind (widgets to delete, garbage) would otherwise be done in one of the gaps
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
        gc.collect()
        gc.freeze()
        self._last, self._spent = time.perf_counter(), time.thread_time()
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._beat()
        self._timer.stop()
        gc.unfreeze()

    def _beat(self) -> None:
        now, spent = time.perf_counter(), time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self.busy = max(self.busy, spent - self._spent)
        self.beats += 1
        self._last, self._spent = now, spent

    def tell(self, what: str) -> None:
        """Print the gap, for whoever runs the tests with ``-s`` or looks at a failure."""
        sys.stdout.write(f"\n{what}: {self}\n")

    def __str__(self) -> str:
        return f"longest gap {self.longest * 1e3:.0f} ms, of it {self.busy * 1e3:.0f} ms of our own, {self.beats} beats"
