"""A thousand subjects, and how the cost of a training grows.

    python benchmarks/scale.py [--plot docs/growth.svg] [--json FILE]            # five minutes
    python benchmarks/scale.py --subjects 25 50 --edges 16 24 --maps 2 4 --steps 5   # a try of everything, a minute

First a cohort: 25 simulated subjects at 32 x 32 x 32, and tables that name their files again and again under other ids,
100, 300 and 1,000 subjects. Seconds of ``check``, and of ``fit`` until its cache is built and until its first step,
against the linear share, ten times what a hundred took; peak memory of ``fit`` for the same number of steps. Then a
prediction of all, with two files cut short in the middle, killed at a third, started again, and once more with the
files whole. The system holds the files of 25 subjects, so that the times are of unpacking and computing, not of a disk.

Then a step of ``fit``, and the memory that it takes above a tiny training, against voxels, maps and processes. All in
processes of their own, with one thread each; memory is resident, of the first process (Linux).
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from growth import MEMORY, TIME, Line, Series, Watched, draw, growth, phantom, train, watch
from memory import COLUMNS, TOLERANCE, write_table
from table import Row, arguments, machine, report

from napari_myelin.core.data.cohort import open_cohort

PATIENTS, CONTROLS, EDGE = 16, 9, 32
MINUTE = 60.0
SLOWER = 1.2  # a subject's time after a kill against before: nothing is done twice
CACHE = ("reading the cohort", "normalising the cohort")


@dataclass(frozen=True)
class Cohort:
    """What a cohort of so many subjects took: the whole ``check``, the ``fit`` that was stopped, its run folder."""

    subjects: int
    checked: Watched
    fitted: Watched
    run: Path

    @property
    def checking(self) -> float:
        """Seconds from the first subject to the last of ``check``."""
        return self.checked.lines[-1][0] - self.checked.lines[1][0]

    @property
    def cached(self) -> float:
        """Seconds to the cache that a step takes its subjects from."""
        return self.fitted.times("progress", task=CACHE[1])[-1]

    @property
    def started(self) -> float:
        """Seconds to the first step, when it begins."""
        return self.fitted.times("started")[0]

    @property
    def caching(self) -> float:
        """Seconds of these that grow with the cohort."""
        return self.started - self.fitted.times("progress", task=CACHE[0])[0]


def cohorts(folder: Path, counts: Sequence[int], steps: int) -> Iterator[Cohort]:
    """Check and begin to train cohorts of so many subjects, all of the same files."""
    distinct = open_cohort(phantom(folder / "cohort", EDGE, PATIENTS, CONTROLS))
    for count in counts:
        table, run = folder / f"cohort{count}.tsv", folder / f"run{count}"
        write_table(distinct, count // len(distinct.subjects), table)
        checked = watch("check", table)
        assert checked.code == 0, checked.said
        done = Cohort(count, checked, train(table, run, EDGE, steps), run)
        print(
            f"{count} subjects: checked in {checked.seconds:.1f} s, cached after {done.cached:.1f} s, "
            f"first step after {done.started:.1f} s, {done.fitted.peak / 1e6:.0f} MB",
            flush=True,
        )
        yield done


def share(what: str, few: Cohort, many: Cohort, whole: tuple[float, float], growing: tuple[float, float]) -> Row:
    """Return a row of seconds against the linear share; ``growing`` are those without the start of the process."""
    times = many.subjects / few.subjects
    over = whole[1] - times * whole[0]
    measured = (
        f"{whole[1]:.1f} s, {times:.3g} x {whole[0]:.1f} s {over:+.0f} s; "
        f"a subject takes {growing[1] / growing[0] / times:.2f} x the time"
    )
    target = f"{times:.3g} x at most {MINUTE:.0f} s over"
    values = {"seconds": whole, "growing": growing}
    return Row(f"{what}, {many.subjects:,} against {few.subjects:,} subjects", measured, target, over <= MINUTE, values)


def cohort_rows(few: Cohort, many: Cohort) -> list[Row]:
    """Return the rows of `check` and `fit`."""
    growing = few.caching, many.caching
    peaks = few.fitted.peak, many.fitted.peak
    grown = peaks[1] / peaks[0] - 1
    words = f"{grown:+.1%} ({peaks[0] / 1e6:.0f} MB, {peaks[1] / 1e6:.0f} MB)"
    return [
        share("check", few, many, (few.checked.seconds, many.checked.seconds), (few.checking, many.checking)),
        share("fit, until its cache is built", few, many, (few.cached, many.cached), growing),
        share("fit, until its first step begins", few, many, (few.started, many.started), growing),
        Row(
            "fit, peak memory, as many steps",
            words,
            f"within {TOLERANCE:.0%}",
            abs(grown) <= TOLERANCE,
            {"peaks": peaks},
        ),
    ]


def cohort_series(done: Sequence[Cohort], idle: float) -> list[Series]:
    """Return what grows with subjects; ``idle`` is a tiny training's memory in bytes."""
    x = [each.subjects for each in done]
    memory = [(each.fitted.peak - idle) / 1e6 for each in done]
    return [
        Series("subjects", TIME, "check", x, [each.checking for each in done]),
        Series("subjects", TIME, "fit, to its first step", x, [each.caching for each in done]),
        Series("subjects", MEMORY, "fit", x, memory),
    ]


def damage(table: Path, folder: Path) -> dict[Path, bytes]:
    """Let two subjects of a table, one before a third of it and one after, have an MTR map that is cut short.

    Returns
    -------
    dict
        The files, and what is in them when they are whole.
    """
    head, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    column, whole = head.index(COLUMNS[0]), {}
    for number in (len(rows) // 6, len(rows) // 2):
        path = folder / f"cut{number}.nii.gz"
        whole[path] = Path(rows[number][column]).read_bytes()
        path.write_bytes(whole[path][: len(whole[path]) // 2])
        rows[number][column] = str(path)
    table.write_text("\n".join("\t".join(row) for row in (head, *rows)) + "\n")
    return whole


def written(out: Path) -> dict[str, int]:
    """Return when each file of the subjects predicted so far was written last, in ns."""
    return {str(path): path.stat().st_mtime_ns for path in out.glob("sub-*/**/*") if path.is_file()}


def untouched(before: dict[str, int], after: dict[str, int], keys: Sequence[str]) -> bool:
    """Return whether no file of these subjects was written again."""
    return all(after.get(path) == at for path, at in before.items() if Path(path).name.split("_")[0] in set(keys))


def pace(done: Watched) -> float:
    """Return the seconds of a subject in a prediction."""
    times = done.times("progress")
    return (times[-1] - times[0]) / (len(times) - 1)


def at(line: Line, number: int) -> bool:
    """Return whether a prediction says that so many subjects are through."""
    return line.get("kind") == "progress" and line["done"] >= number


def prediction_rows(many: Cohort, folder: Path) -> list[Row]:
    """Predict all, killed on the way, started again, and again once two damaged files are whole."""
    table, out = folder / f"cohort{many.subjects}.tsv", folder / "predicted"
    whole = damage(table, folder)
    third, words = math.ceil(many.subjects / 3), ("predict", many.run / "last.safetensors", table, "--out", out)
    first = watch(*words, "--device", "cpu", hear=lambda line, child: child.kill() if at(line, third) else None)
    assert first.code < 0, first.said
    before = written(out)
    second = watch(*words, "--device", "cpu")
    between = written(out)
    for path, content in whole.items():
        path.write_bytes(content)
    last = watch(*words, "--device", "cpu")
    kept, kept_last = (each.of("kept")[0][1]["subjects"] for each in (second, last))
    named = [line["subject"] for _, line in second.of("skipped")]
    made, left, made_last = len(second.times("progress")), many.subjects - len(kept), len(last.times("progress"))
    finished, ratio = third - len(first.of("skipped")), pace(second) / pace(first)
    same, same_last = untouched(before, between, kept), untouched(between, written(out), kept_last)
    maps = sum("_desc-predicted_" in path and path.endswith(".nii.gz") for path in written(out))
    values = {"first": first.seconds, "second": second.seconds, "last": last.seconds, "kept": len(kept), "maps": maps}
    return [
        Row(
            f"predict, {many.subjects:,} subjects, killed at {third}, again: the finished are kept",
            f"{len(kept)} kept of {finished} finished, their files {'' if same else 'not '}as they were; {made} made",
            "all, untouched; the others made",
            same and len(kept) >= finished and made == left,
            values,
        ),
        Row(
            "the same: seconds of a subject after the kill against before",
            f"{ratio:.2f} x ({pace(second):.3f} s, {pace(first):.3f} s); {second.seconds:.0f} s for {left}",
            f"at most {SLOWER} x",
            ratio <= SLOWER,
        ),
        Row(
            "the same: two damaged files",
            f"{', '.join(named)} named, exit code {second.code}, {made - len(named)} others made",
            "both named, 1, the others made",
            len(named) == len(whole) and second.code == 1 and made == left,
        ),
        Row(
            "the same, the two files repaired: only those are made",
            f"{made_last} made in {last.seconds:.1f} s, exit code {last.code}, {maps} maps there",
            f"2 made, 0, {many.subjects} maps",
            same_last and made_last == len(whole) and last.code == 0 and maps == many.subjects,
        ),
    ]


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = arguments(__doc__)
    parser.add_argument("--subjects", type=int, nargs="+", default=[100, 300, 1000], help="multiples of 25")
    parser.add_argument("--edges", type=int, nargs="+", default=[24, 32, 40, 48, 64], help="of cubic grids, voxels")
    parser.add_argument("--maps", type=int, nargs="+", default=[4, 8, 16, 32], help="of the generator's first level")
    parser.add_argument("--steps", type=int, default=20, help="of each training by voxels, maps and processes")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw how it grows there, .svg or .png")
    given = parser.parse_args()
    if odd := [count for count in given.subjects if count % (PATIENTS + CONTROLS)]:
        parser.error(f"--subjects {odd[0]} is no multiple of {PATIENTS + CONTROLS}")
    return given


def main() -> None:
    """Measure and print."""
    given = parsed()
    where = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        done = list(cohorts(folder, given.subjects, min(60, min(given.subjects))))
        rows = cohort_rows(done[0], done[-1]) + prediction_rows(done[-1], folder)
        series, idle = growth(folder, given.edges, given.maps, given.steps)
    series += cohort_series(done, idle)
    rows += [each.row() for each in series]
    report("Scale, one thread", rows, given.json, where)
    if given.plot is not None:
        note = f"fit, demo preset, one thread; {where['machine']}, {where['date']}, {where['commit']}"
        draw(series, given.plot, f"{note}. Memory: above that of a tiny training, of the first process.")


if __name__ == "__main__":
    main()
