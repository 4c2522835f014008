"""How the cost of ``fit`` grows: processes that are watched line by line, powers fitted to what they took, a plot.

What `scale.py` measures with; it prints nothing by itself. All runs take one thread, so that a step's time is its work.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from memory import write_table
from table import COMMAND, ROOT, Row, resident

from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.report.study_canvas import BLUE, LOOK, ORANGE

WARM = 3  # steps left out: first kernels, first allocations
BRAIN = 156.0  # mm, edge of every grid: the same anatomy in more voxels or fewer
STOPPED = 130
PATCH = 8  # of the discriminator: every edge that the generator takes is a multiple of it
TIME, MEMORY = "time", "memory"
AXES = {"voxels": "voxels", "maps": "feature maps", "subjects": "subjects", "ranks": "processes"}
Line = dict[str, Any]


@dataclass(frozen=True)
class Watched:
    """A finished process: its exit ``code``, wall ``seconds``, ``peak`` resident memory in bytes, what it said.

    ``lines`` are its JSON lines, each with the seconds from the start to when it came; ``said`` is the rest.
    """

    code: int
    seconds: float
    peak: int
    lines: list[tuple[float, Line]]
    said: str

    def times(self, kind: str, **fields: Any) -> list[float]:
        """Return when the events of a kind came, those with these fields only."""
        return [at for at, line in self.of(kind) if all(line.get(name) == value for name, value in fields.items())]

    def of(self, kind: str) -> list[tuple[float, Line]]:
        """Return the events of a kind."""
        return [(at, line) for at, line in self.lines if line.get("kind") == kind]


def watch(*words: str | Path, hear: Callable[[Line, subprocess.Popen[str]], None] | None = None) -> Watched:
    """Run a command of ``napari-myelin-train`` with ``--json`` to its end.

    Parameters
    ----------
    words
        The command and its arguments.
    hear
        Called with each JSON line as it comes, and with the process, to stop it.
    """
    began, lines, said, peak = time.perf_counter(), [], [], 0
    child = subprocess.Popen(
        [*COMMAND, *map(str, words), "--json"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout is not None
    for text in child.stdout:
        at = time.perf_counter() - began
        try:
            line = json.loads(text)
        except ValueError:  # a warning, or the half line of a process that was killed
            said.append(text)
            continue
        lines.append((at, line))
        peak = max(peak, resident("VmHWM", child.pid))
        if hear is not None:
            hear(line, child)
    code = child.wait()
    return Watched(code, time.perf_counter() - began, peak, lines, "".join(said))


def grid(edge: int) -> tuple[str, ...]:
    """Return the words of a cubic grid over the phantom's brain."""
    return ("--shape", *(str(edge),) * 3, "--spacing", f"{BRAIN / edge:.4f}", "--patch", str(PATCH))


def phantom(folder: Path, edge: int, patients: int, controls: int = 0) -> Path:
    """Write a simulated cohort on a cubic grid."""
    shape, spacing = (edge,) * 3, BRAIN / edge
    for _ in write_cohort(folder, PhantomOptions(patients=patients, controls=controls, shape=shape, spacing=spacing)):
        pass
    return folder


def train(cohort: Path, run: Path, edge: int, steps: int, maps: int = 8, *words: str) -> Watched:
    """Train so many steps of the Sketcher and stop."""

    def stop(line: Line, _: subprocess.Popen[str]) -> None:
        if line.get("kind") == "step" and line["step"] == steps:
            (run / "stop").touch()

    size = ("--maps", str(maps), "--discriminator-maps", str(maps))
    kind = ("--preset", "demo", "--validation", "0", "--device", "cpu")
    done = watch("fit", cohort, "--out", run, *kind, *grid(edge), *size, *words, hear=stop)
    assert done.code == STOPPED, done.said
    return done


def step_seconds(done: Watched) -> float:
    """Return the median seconds of a step."""
    return statistics.median(float(line["seconds"]) for _, line in done.of("step")[WARM:])


@dataclass(frozen=True)
class Series:
    """What something took, ``y`` in s or MB, against how much of ``axis`` there was, ``x``."""

    axis: str
    kind: str
    what: str
    x: Sequence[float]
    y: Sequence[float]

    def power(self) -> tuple[float, float, float]:
        """Return a and b of y = a x^b, by least squares on logarithms, and the largest relative distance from it."""
        b, log_a = np.polyfit(np.log(self.x), np.log(self.y), 1)
        fitted = np.exp(log_a) * np.asarray(self.x, dtype=float) ** b
        return float(np.exp(log_a)), float(b), float(np.max(np.abs(np.asarray(self.y) / fitted - 1)))

    def row(self) -> Row:
        """Return it as a line of a table."""
        a, b, off = self.power()
        unit = "s" if self.kind == TIME else "MB"
        ends = f"{self.y[0]:.3g} {unit} at {self.x[0]:,.0f}, {self.y[-1]:.3g} {unit} at {self.x[-1]:,.0f}"
        fit = f"{len(self.x)} points, at most {off:.0%} off" if len(self.x) > 2 else "2 points, no more to fit"
        values = {"x": list(self.x), "y": list(self.y), "a": a, "b": b, "unit": unit, "off": off}
        return Row(
            f"{self.kind} of {self.what} against {AXES[self.axis]}: exponent", f"{b:.2f} ({ends}; {fit})", values=values
        )


def growth(folder: Path, edges: Sequence[int], maps: Sequence[int], steps: int) -> tuple[list[Series], float]:
    """Return how a step's time and memory grow with voxels, maps and processes, and a tiny run's peak in bytes."""
    subjects = 2 * (steps + 1)  # so that batches of two last for as many steps of one epoch
    tables = {}
    for edge in sorted({16, 32, *edges}):
        two = phantom(folder / f"two{edge}", edge, patients=2)
        tables[edge] = folder / f"two{edge}.tsv"
        write_table(open_cohort(two), subjects // 2, tables[edge])

    def measure(name: str, edge: int, maps: int, *words: str) -> Watched:
        done = train(tables[edge], folder / f"run-{name}", edge, steps, maps, *words)
        print(f"{name}: {step_seconds(done):.3f} s a step, {done.peak / 1e6:.0f} MB", flush=True)
        return done

    idle = measure("tiny", 16, 2).peak
    of_voxels = [measure(f"edge{edge}", edge, 8) for edge in edges]
    of_maps = [measure(f"maps{number}", 32, number) for number in maps]
    of_ranks = [measure(f"ranks{number}", 32, 8, "--batch", "2", "--devices", str(number)) for number in (1, 2)]
    series = []
    rows = (("voxels", [edge**3 for edge in edges], of_voxels), ("maps", maps, of_maps), ("ranks", (1, 2), of_ranks))
    for axis, x, done in rows:
        what = "a step of batch 2" if axis == "ranks" else "a step"
        series.append(Series(axis, TIME, what, x, [step_seconds(each) for each in done]))
        series.append(Series(axis, MEMORY, what, x, [(each.peak - idle) / 1e6 for each in done]))
    return series, idle


def draw(series: Sequence[Series], path: Path, note: str) -> None:
    """Draw every series on logarithmic axes, a column for what grows, time above and memory below.

    Parameters
    ----------
    series
        Two at most in a panel.
    path
        ``.svg`` or ``.png``.
    note
        What was measured, below the panels.
    """
    with mpl.rc_context({**LOOK, "svg.hashsalt": "growth", "svg.fonttype": "path", "xtick.labelsize": 8}):
        figure = Figure(figsize=(9, 4.6), layout="constrained", facecolor="white")
        panels = figure.subplots(2, len(AXES), sharex="col")
        for column, axis in enumerate(AXES):
            for panel, kind in zip(panels[:, column], (TIME, MEMORY), strict=True):
                _panel(panel, [each for each in series if (each.axis, each.kind) == (axis, kind)])
            panels[1, column].set_xlabel(AXES[axis])
        panels[0, 0].set_ylabel("time, s")
        panels[1, 0].set_ylabel("memory, MB")
        figure.supxlabel(note, fontsize=7, x=0.01, ha="left", multialignment="left")
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(panel: Axes, series: Sequence[Series]) -> None:
    panel.set(xscale="log", yscale="log")
    for number, each in enumerate(series):
        colour, marker = (BLUE, ORANGE)[number], "os"[number]
        a, b, _ = each.power()
        x = np.asarray(each.x, dtype=float)
        panel.plot(x, a * x**b, "-", lw=1, color=colour)
        panel.plot(x, each.y, marker, ms=4, color=colour, label=f"{each.what}: $x^{{{b:.2f}}}$")
        panel.xaxis.set_major_locator(FixedLocator(x.tolist()))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:.0f}k" if x >= 4096 else f"{x:g}"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    panel.yaxis.set_minor_locator(NullLocator())
    took = [y for each in series for y in each.y]
    low, high = min(took), max(took)
    # at least a decade, so that what does not grow looks it, and room for the words above
    middle, half = np.log10(low * high) / 2, max(0.5, np.log10(high / low) / 2 + 0.15)
    panel.set_ylim(10 ** (middle - half), 10 ** (middle + 1.5 * half))
    panel.legend(loc="upper left", frameon=False, fontsize=7, handletextpad=0.2, borderaxespad=0.1)
