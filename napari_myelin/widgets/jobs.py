"""A piece of engine work in a thread of its own: what it says arrives on the main thread, and it can be stopped.

The generator is run by a plain loop inside the thread, because napari's generator workers lose a ``RuntimeError``
(which torch's out-of-memory error is) without a word; and what it yields is fetched by a timer, in small portions,
so that no burst of events holds the window.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Failed, StopRequest

Work = Callable[[StopRequest], Iterator[Any]]
INTERVAL = 30  # ms between two looks for events
THREAD = "napari-myelin"  # how the names of the threads begin
PORTION = 0.02  # s for which one look hands out events before the window gets its turn

_running: set[Job] = set()


class _End:
    """Put into the queue when the thread is through."""


class Job(QObject):
    """Work that runs in a thread.

    Signals, all on the main thread: ``yielded`` for everything the generator yields but `Failed`; ``failed`` with a
    `Failed`, whether it was yielded or raised; ``finished``, always, once, last.

    Parameters
    ----------
    name
        What it does, for whoever asks what is running: ``training``, ``prediction``.
    work
        Called in the thread with the job's stop request; returns the generator (or any iterable) to run.
    session
        Of the viewer that it is for: closing that window stops it, closing another one does not.
    """

    yielded = Signal(object)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, name: str, work: Work, session: Any) -> None:
        super().__init__()
        self.name, self.session, self.stopping = name, session, StopRequest()
        self._work = work
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"{THREAD} {name}", daemon=True)
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL)
        self._timer.timeout.connect(self._hand_out)

    def start(
        self,
        yielded: Callable[[Any], Any] | None = None,
        failed: Callable[[Failed], Any] | None = None,
        finished: Callable[[], Any] | None = None,
    ) -> Job:
        """Connect whoever listens to the signals of the same names, begin, and return itself.

        Nothing is heard before the caller gives the main thread back, so the job can be kept first.
        """
        for signal, listener in ((self.yielded, yielded), (self.failed, failed), (self.finished, finished)):
            if listener is not None:
                signal.connect(listener)
        _keep_warnings_from_the_window()
        _running.add(self)
        self._timer.start()
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ask the work to stop at its next step; ``finished`` comes when it has."""
        self.stopping.request()

    @property
    def asked_to_stop(self) -> bool:
        """Whether `stop` was called, here or through the run folder."""
        return bool(self.stopping)

    @property
    def running(self) -> bool:
        """Whether ``finished`` is still to come."""
        return self in _running

    def wait(self, seconds: float) -> bool:
        """Wait for the thread, not for its events; return whether it is through."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for event in self._work(self.stopping):
                self._queue.put(event)
        except BaseException as error:  # a thread's exception would end in a console that nobody sees
            self._queue.put(failure(error))
        self._queue.put(_End())

    def _hand_out(self) -> None:
        until = time.monotonic() + PORTION
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                event = self._queue.get_nowait()
                if isinstance(event, _End):
                    self._timer.stop()
                    _running.discard(self)
                    self.finished.emit()
                    return
                (self.failed if isinstance(event, Failed) else self.yielded).emit(event)
                continue
            return


def _keep_warnings_from_the_window() -> None:
    """Let no warning of a job's thread into napari's notifications, one by one; those of other threads go on as before.

    ``warnings.catch_warnings`` does it to every thread at once, and puts back filters that others changed meanwhile.
    """
    shown = warnings.showwarning
    if getattr(shown, "of_napari_myelin", False):
        return

    def show(*args: Any, **kwargs: Any) -> None:
        if not threading.current_thread().name.startswith(THREAD):
            shown(*args, **kwargs)

    show.of_napari_myelin = True  # type: ignore[attr-defined]
    warnings.showwarning = show


def failure(error: BaseException) -> Failed:
    """Return what a user is told about an exception: the cause, and what to do."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, MyelinError):
        return Failed(str(error), "", trace)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return Failed("out of memory", "choose another device, or close other programs", trace)
    if isinstance(error, OSError) and error.strerror:
        return Failed(f"{error.filename or 'a file'}: {error.strerror}", "look whether it is still there", trace)
    return Failed(f"{type(error).__name__}: {error}", "this is a bug of napari-myelin: please report it", trace)


def running_jobs(session: Any = None) -> list[Job]:
    """Return the jobs whose work is under way: those of a viewer's session, or without one those of all."""
    jobs = (job for job in _running if session is None or job.session is session)
    return sorted(jobs, key=lambda job: job.name)
