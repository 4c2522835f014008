"""Memory that ``fit --dry-run`` tells before the start against what the run then takes.

    python benchmarks/memory_told.py [--device cuda] [--large] [--only WORDS] [--json FILE]

A case first trains a tiny model, so that libraries and kernels are loaded, and then the case through ``fit`` for a few
steps. On the CPU each is a process of its own, and measured is the highest resident memory less that before the case
began (Linux). On a GPU it is the most that torch had allocated, one case after the other in one process, the ones in
bfloat16 first, because that is how one trains there. Rows are in the JSON file as soon as they are measured. Without
``--large`` nothing takes more than 4 GB. The shares of what lies idle on a CPU were fitted to these very cases
(`core/training/memory.py`); on a GPU nothing is fitted.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from simulated import add_folder, kept_in, simulated
from table import Row, arguments, failure, machine, report, resident, run, save

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.device_memory import free_memory
from napari_myelin.core.events import Failed, Step, StopRequest
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.memory import resident_bytes, training_bytes

TOLERANCE = 0.15
SUBJECTS = 2
CHECKPOINTING = {"training": {"checkpointing": True}}
HALF, SINGLE = ({"runtime": {"precision": precision}} for precision in ("bf16-mixed", "32-true"))
WHOLE = {"training": {"crop": 0, "crops": 1}}


@dataclass(frozen=True)
class Case:
    """A training by its preset, what differs from it, the grid, the steps to do."""

    name: str
    preset: str
    shape: tuple[int, int, int]
    changes: dict[str, Any] = field(default_factory=dict)
    steps: int = 6
    large: bool = False

    @property
    def title(self) -> str:
        """What its row says."""
        return f"{self.name}, {' x '.join(map(str, self.shape))}"

    def options(self, device: str) -> Options:
        """Return its options."""
        own = {
            "data": {"shape": self.shape, "spacing": 2.44, "validation": 0.0},
            "runtime": {"device": device, "threads": 1},
        }
        return options_from(self.changes, options_from(own, preset(self.preset)))


CASES = (
    Case("demo", "demo", (48, 64, 48)),
    Case("demo", "demo", (64, 80, 64)),
    Case("demo", "demo", (96, 96, 96), steps=4),
    Case("demo, checkpointing", "demo", (48, 64, 48), CHECKPOINTING),
    Case("demo, checkpointing", "demo", (80, 96, 80), CHECKPOINTING, steps=4),
    Case("demo, 16 maps", "demo", (64, 64, 64), {"network": {"maps": 16, "discriminator_maps": 16}}),
    Case("demo, batch 2", "demo", (64, 64, 64), {"training": {"batch": 2}}, steps=4),
    Case("accurate, float32, whole volumes", "accurate", (48, 64, 48), WHOLE | SINGLE),
    Case("accurate, float32, whole volumes", "accurate", (80, 80, 80), WHOLE | SINGLE, steps=4),
    Case("accurate, float32", "accurate", (48, 64, 48), SINGLE),
    Case("accurate, float32", "accurate", (96, 112, 96), SINGLE),
    Case("accurate, float32", "accurate", (128, 160, 128), SINGLE),
    Case("accurate, whole volumes", "accurate", (48, 64, 48), WHOLE | HALF),
    Case("accurate, whole volumes", "accurate", (80, 80, 80), WHOLE | HALF, steps=4),
    Case("accurate", "accurate", (48, 64, 48), HALF),
    Case("accurate", "accurate", (96, 112, 96), HALF),
    Case("accurate", "accurate", (128, 160, 128), HALF),
    Case("paper", "paper", (32, 64, 32)),
    Case("paper", "paper", (64, 64, 64), steps=4),
    Case("paper, checkpointing", "paper", (64, 64, 64), CHECKPOINTING, steps=3),
    Case("paper, cubes of 32", "paper", (64, 96, 64), {"training": {"crop": 32, "window": 32}}),
    Case("demo, bfloat16", "demo", (96, 96, 96), HALF, steps=4),
    Case("paper, bfloat16", "paper", (64, 64, 64), HALF, steps=4),
    Case("paper, cubes of 32, bfloat16", "paper", (64, 96, 64), {"training": {"crop": 32, "window": 32}, **HALF}),
    Case("paper", "paper", (96, 96, 96), steps=3),
    Case("paper", "paper", (128, 160, 128), steps=2, large=True),
    Case("paper, checkpointing", "paper", (128, 160, 128), CHECKPOINTING, steps=2, large=True),
)
ON_GPU = (
    Case("paper, bfloat16", "paper", (128, 160, 128), HALF, steps=3, large=True),
    Case("paper, checkpointing, bfloat16", "paper", (128, 160, 128), CHECKPOINTING | HALF, steps=3, large=True),
    *CASES,
)


def train(cohort: Cohort, options: Options, folder: Path, steps: int) -> None:
    """Train so many steps."""
    stop, done = StopRequest(), 0
    for event in fit(cohort, options, folder, stop=stop):
        assert not isinstance(event, Failed), event.sentence
        done += isinstance(event, Step)
        if done == steps:
            stop.request()


def phantom(folder: Path, shape: tuple[int, int, int], device: str) -> Cohort:
    """Write, if it is not there, and open a cohort of two patients on a grid."""
    if device == "cuda":
        return open_cohort(simulated(folder, SUBJECTS, shape, 2.44))
    # what this leaves in the memory of the process was there when the shares were fitted
    for _ in write_cohort(folder, PhantomOptions(patients=SUBJECTS, controls=0, shape=shape, spacing=2.44)):
        pass
    return open_cohort(folder)


def measured(case: Case, device: str, cohorts: Path | None = None) -> int:
    """Return the bytes that a case adds, in this process; a GPU's simulated subjects are kept in ``cohorts``."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tiny_there, there = (folder / "tiny", folder / "cohort") if cohorts is None else (cohorts, cohorts)
        tiny = Case("", case.preset, (32, 32, 32), {**case.changes, "network": {"maps": 2, "discriminator_maps": 2}})
        train(phantom(tiny_there, tiny.shape, device), tiny.options(device), folder / "run-tiny", 2)
        cohort = phantom(there, case.shape, device)
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        else:
            before = resident("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")  # the highest value begins anew
        train(cohort, case.options(device), folder / "run", case.steps)
        return (torch.cuda.max_memory_allocated() if device == "cuda" else resident("VmHWM")) - before


def in_words(size: float) -> str:
    """Return bytes in MB or GB."""
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


def row(case: Case, device: str, cohorts: Path) -> Row:
    """Measure a case and put it beside what is told."""
    if device == "cuda":
        took = measured(case, device, cohorts)
    else:
        child = run(sys.executable, __file__, "--device", device, "--case", str(CASES.index(case)), threads=1)
        if child.code:
            raise RuntimeError(child.output)
        took = json.loads(child.output.splitlines()[-1])
    given = (case.options(device), case.shape, 4)
    told = training_bytes(*given)
    if device == "cuda":
        told += resident_bytes(*given, SUBJECTS, free_memory(torch.device(device)))
    ratio = told / took
    words = f"told {in_words(told)}, measured {in_words(took)}: {ratio - 1:+.0%}"
    values = {"told": told, "measured": took}
    return Row(case.title, words, f"within {TOLERANCE:.0%}", abs(ratio - 1) <= TOLERANCE, values)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--large", action="store_true", help="the paper's full size, too: 9 GB")
    parser.add_argument("--only", default="", help="cases whose line begins so")
    add_folder(parser)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case is not None:
        print(measured(CASES[given.case], given.device))
        return
    where = machine()
    if given.device == "cuda":
        where["device"] = torch.cuda.get_device_name()
    cases = ON_GPU if given.device == "cuda" else CASES
    title, rows = f"Memory told before the start, {given.device}", []
    with kept_in(given.cohorts) as cohorts:
        for case in cases:
            if not case.name.startswith(given.only) or (case.large and not given.large):
                continue
            try:
                rows.append(row(case, given.device, cohorts))
            except Exception as error:  # the other cases are worth as much
                rows.append(Row(case.title, failure(error), f"within {TOLERANCE:.0%}", False))
            print(rows[-1].what, rows[-1].measured, flush=True)
            save(title, rows, given.json, where)
    report(title, rows, given.json, where)


if __name__ == "__main__":
    main()
