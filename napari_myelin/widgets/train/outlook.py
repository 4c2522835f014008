"""What a training would be, asked of the engine in the background while its form is filled in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Failed, StopRequest
from napari_myelin.core.options import Options
from napari_myelin.core.precision import in_precision
from napari_myelin.widgets.jobs import Job
from napari_myelin.widgets.words import in_panel_words

DELAY = 400  # ms that the form must rest before it is asked
GIB = 2**30


class Outlook(QObject):
    """The forecast of the training that a form asks for.

    Signal: ``known``, when there is an answer.

    Attributes
    ----------
    forecast
        The engine's `Forecast`; None before the answer, or where the engine refuses.
    problem
        Why it refuses; empty where it does not.
    """

    known = Signal()

    def __init__(self, session: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.session = session
        self.forecast: Any = None
        self.problem = ""
        self._grids: dict[Any, Any] = {}
        self._asked: tuple[Cohort, Options] | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self._look)

    def forget(self) -> None:
        """Know nothing any more: the cohort is another one."""
        self.forecast, self.problem = None, ""
        self._asked = None
        self._grids.clear()
        self._timer.stop()

    def ask(self, cohort: Cohort, options: Options) -> None:
        """Ask, soon; questions that come faster are asked once."""
        self._asked = cohort, options
        self._timer.start()

    def _look(self) -> None:
        if self._asked is None:
            return
        if self._job is not None and self._job.running:  # its answer is no longer wanted, but it must end
            self._timer.start()
            return
        asked = cohort, options = self._asked
        key = _grid_key(options)
        grid = self._grids.get(key)

        def work(stop: StopRequest) -> Iterator[Any]:
            from napari_myelin.core.training.forecast import forecast

            yield forecast(cohort, options, grid)

        def answered(forecast: Any) -> None:
            if self._asked is asked:
                self._grids[key] = forecast.grid
                self.forecast, self.problem = forecast, ""
                self.known.emit()

        def refused(failed: Failed) -> None:
            if self._asked is asked:
                self.forecast, self.problem = None, in_panel_words(failed.cause)
                self.known.emit()

        self._job = Job("forecast", work, self.session).start(answered, refused)

    def subjects(self) -> str:
        """Return who trains and who is left out, in words."""
        seen = self.forecast
        controls = f"{seen.controls} control{'' if seen.controls == 1 else 's'}" if seen.controls else "no controls"
        held = f"{seen.validation} held out" if seen.validation else "none held out"
        lines = [f"{seen.training} train ({controls} among them), {held}", *seen.notes[:3]]
        more = len(seen.notes) - 3
        return "\n".join([*lines, f"and {more} more left out"] if more > 0 else lines)

    def memory(self) -> str:
        """Return what it takes and what there is, in words."""
        seen = self.forecast
        free = f" of {seen.free / GIB:.1f} GiB free" if seen.free else ""
        edges = " x ".join(str(edge) for edge in seen.grid.shape)
        stays = f", {seen.resident / GIB:.2f} GiB of it the subjects" if seen.resident else ""
        place = in_precision(seen.device, seen.precision)
        text = f"about {seen.need / GIB:.2f} GiB{free} ({place}, {edges} voxels{stays})"
        return f"{text}\nMay not fit: {in_panel_words(seen.advice)}" if seen.advice else text


def _grid_key(options: Options) -> Any:
    """Return what of the options decides the network's grid."""
    return options.data, options.training.seed, options.network.patch, options.loss.adversarial
