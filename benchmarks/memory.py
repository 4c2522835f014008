"""Memory of ``fit`` over 28 and over 280 subjects: subjects stream from a cache and are not all held.

    python benchmarks/memory.py [--json FILE]

A simulated cohort of 28 subjects at 48 x 64 x 48, and a table that names each of its files ten times under other ids:
the same reading, ten times the subjects. Whole processes, with networks of 2 maps, so that held subjects would show:
all 280 on the network's grid are about 0.9 GB. Both take as many steps, ten epochs over the few and one over the many,
because the allocator's share grows over the first hundred steps or so whatever the subjects.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from table import COMMAND, Process, Row, arguments, machine, report, run

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions

PHANTOM = PhantomOptions(shape=(48, 64, 48), spacing=2.44)
TIMES = 10
TOLERANCE = 0.10
COLUMNS = ("MTR", "FA", "RD", "AD", "dvr", "lesion", "wm", "brain")
SMALL = ("--preset", "demo", "--maps", "2", "--discriminator-maps", "2", "--device", "cpu")


def write_table(cohort: Cohort, times: int, path: Path) -> None:
    """Write a ``cohort.tsv`` that names every subject of ``cohort`` so many times, each time under another id."""
    lines = ["\t".join(("subject", "group", *COLUMNS))]
    for time in range(times):
        for subject in cohort.subjects:
            files = [str(subject.files.get(role, "")) for role in COLUMNS]
            lines.append("\t".join((f"{subject.name}x{time}", subject.group or "", *files)))
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__).parse_args()
    where = machine()
    done: dict[int, Process] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for _ in write_cohort(folder / "cohort", PHANTOM):
            pass
        cohort = open_cohort(folder / "cohort")
        for times in (1, TIMES):
            table = folder / f"cohort{times}.tsv"
            write_table(cohort, times, table)
            count = times * len(cohort.subjects)
            words = ("fit", table, "--out", folder / f"run{times}", "--epochs", str(TIMES // times), *SMALL)
            done[count] = run(*COMMAND, *words)
            assert done[count].code == 0, done[count].output
    few, many = (process.peak for process in done.values())
    rows = [
        Row(f"fit over {count} subjects: peak memory", f"{process.peak / 1e6:.0f} MB, {process.seconds:.0f} s")
        for count, process in done.items()
    ]
    target = f"within {TOLERANCE:.0%} of each other"
    measured = f"{many / few - 1:+.1%}"
    values = {"peaks": [few, many]}
    rows.append(Row("ten times the subjects", measured, target, abs(many / few - 1) <= TOLERANCE, values))
    report("Memory of fit", rows, given.json, where)


if __name__ == "__main__":
    main()
