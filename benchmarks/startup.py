"""How long a user waits for ``napari-myelin-train --help``, and whether torch is loaded for it.

    python benchmarks/startup.py [--runs 15] [--json FILE]

Each command's own ``--help`` is timed too. Whole processes, medians; the first run of each warms the disk and is
left out.
"""

from __future__ import annotations

import statistics
import sys

from table import COMMAND, Row, arguments, machine, report, run

from training_cli.main import COMMANDS

LOADED = """
import sys
from training_cli.main import main
try:
    main({words!r})
except SystemExit:
    pass
print("loaded:", *sorted({{"torch", "napari", "scipy", "nibabel"}} & set(sys.modules)))
"""


def measure(words: list[str], runs: int) -> Row:
    """Return the row of one command line."""
    seconds = []
    for number in range(runs + 1):
        done = run(*COMMAND, *words)
        assert done.code == 0, done.output
        if number:
            seconds.append(done.seconds)
    loaded = run(sys.executable, "-c", LOADED.format(words=words)).output.rsplit("loaded:", 1)[1].split()
    median = statistics.median(seconds)
    heavy = "torch" in loaded or "napari" in loaded
    measured = f"{median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), torch {'' if heavy else 'not '}imported"
    target = "under 1 s, torch not imported"
    reached = median < 1 and not heavy
    values = {"seconds": seconds, "loaded": loaded}
    return Row(f"napari-myelin-train {' '.join(words)}", measured, target, reached, values)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    where = machine()
    rows = [measure(["--help"], given.runs)]
    rows += [measure([command, "--help"], given.runs) for command in COMMANDS]
    report("Start of the command line", rows, given.json, where)


if __name__ == "__main__":
    main()
