"""Everything that only a GPU can show, in one command: a table and a JSON file for each part.

    python benchmarks/gpu.py OUT                      # a quarter of an hour on a large GPU (estimated, not tried)
    python benchmarks/gpu.py OUT --minutes 9          # what fits into nine minutes
    python benchmarks/gpu.py OUT --only inside memory_told
    python benchmarks/gpu.py OUT --try                # the same on a CPU, small, to see that all of it runs

Side by side at full size, prediction, the schedule of 400 + 400 epochs, what each thing inside a step is worth, memory
told against memory taken; the most wanted first. Simulated subjects are written once for all. A part that fails is said
and the others go on. With ``--minutes`` a part that no longer fits, by an estimate, is skipped, and one that takes
longer than what is left is stopped. What is printed goes to ``OUT/output.txt`` as well, line by line, and a part's JSON
file is there as soon as it is done; those of `predict`, `inside` and `memory_told` earlier, with the rows so far. MONAI
takes part where it is installed (the extra ``bench``). Of this project a checkout is enough; README.md says what else a
bare machine needs.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).parent
FULL = ("--shape", "128", "160", "128", "--maps", "32")
SMALL = ("--shape", "32", "32", "32", "--maps", "2")
ON_GPU = ("--device", "cuda")
HALF = (*ON_GPU, "--precision", "bf16-mixed")
GRACE = 20.0  # seconds for a part to end by itself when its time is over
NEEDED = f"import sys; sys.path.insert(0, {str(HERE)!r}); import torch, compare, schedule, predict, inside, memory_told"
A_GPU = "; assert torch.cuda.is_available(), 'torch sees no GPU here: --try runs on a CPU'"


@dataclass(frozen=True)
class Part:
    """A script's arguments, and the minutes that it may take on a GPU, estimated."""

    words: tuple[str, ...]
    minutes: float = 0.0


def parts(trying: bool) -> dict[str, Part]:
    """Return the parts by the name of their script, the most wanted first."""
    rivals = ("plain", "UNet") if find_spec("monai") else ("plain",)
    if trying:
        return {
            "compare": Part((*SMALL, "--turns", "1", "--rivals", *rivals)),
            "predict": Part((*SMALL, "--runs", "1")),
            "schedule": Part((*SMALL, "--minutes", "0.01")),
            "inside": Part((*SMALL, "--turns", "1")),
            "memory_told": Part(("--only", "demo, batch")),
        }
    return {
        "compare": Part((*FULL, *HALF, "--turns", "3", "--rivals", *rivals), 2.5),
        "predict": Part((*ON_GPU, "--batch", "20", "--runs", "3"), 1.5),
        "schedule": Part((*FULL, *HALF, "--minutes", "1.5"), 4.0),
        "inside": Part((*FULL, *HALF, "--turns", "3", "--compile"), 3.0),
        "memory_told": Part((*ON_GPU, "--large"), 3.0),
    }


def environment() -> dict[str, str]:
    """Return that of a part: this checkout is found, installed or not, and what is printed is there at once."""
    others = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    path = os.pathsep.join([str(HERE.parent), *others])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def say(line: str, log: TextIO) -> None:
    """Print a line, and write it to the log at once."""
    print(line, flush=True)
    print(line, file=log, flush=True)


def carry_out(words: Sequence[str], log: TextIO, seconds: float) -> str:
    """Run a script for so many seconds at most; return what went wrong, empty where nothing did."""
    # in the background it is ignored, and a child would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(
        [sys.executable, *words],
        cwd=HERE.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    over = threading.Event()

    def stop() -> None:
        over.set()
        child.send_signal(signal.SIGINT)  # it ends its own processes and deletes what it has written on the way
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()

    clock = threading.Timer(min(seconds, threading.TIMEOUT_MAX), stop)
    clock.daemon = True
    clock.start()
    assert child.stdout is not None
    with child.stdout as lines:
        for line in lines:
            say(line.rstrip("\n"), log)
    code = child.wait()
    clock.cancel()
    if over.is_set():
        return "stopped, its time was over"
    return f"failed with exit code {code}" if code else ""


def run_all(given: argparse.Namespace, log: TextIO) -> dict[str, str]:
    """Run the parts; return by name what became of those that are not done."""
    began, undone = time.monotonic(), dict[str, str]()
    with tempfile.TemporaryDirectory() as cohorts:
        for name, part in parts(given.trying).items():
            if given.only and name not in given.only:
                continue
            left = given.minutes - (time.monotonic() - began) / 60
            if part.minutes > left or left <= 0:
                undone[name] = f"skipped: it may take {part.minutes:g} min, and {max(0.0, left):.1f} min are left"
                say(f"\n{name} is {undone[name]}", log)
                continue
            say(f"\n{name}, {(time.monotonic() - began) / 60:.1f} min after the start", log)
            words = [str(HERE / f"{name}.py"), *part.words, "--json", str(given.out.absolute() / f"{name}.json")]
            words += [] if name == "inside" else ["--cohorts", cohorts]
            if problem := carry_out(words, log, 60 * left):
                undone[name] = problem
                say(f"{name} {problem}", log)
        say(f"\nall in {(time.monotonic() - began) / 60:.1f} min; not done: {', '.join(undone) or 'nothing'}", log)
    return undone


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the JSON files and output.txt")
    parser.add_argument("--only", nargs="+", choices=list(parts(False)), metavar="NAME", help="these parts alone")
    parser.add_argument("--minutes", type=float, default=math.inf, help="for all of it")
    parser.add_argument("--try", dest="trying", action="store_true", help="on a CPU, small")
    return parser.parse_args()


def main() -> int:
    """Run them one after the other; return 1 if one failed, 2 if none can run here."""
    given = parsed()
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "output.txt").open("a", encoding="utf-8") as log:
        if carry_out(["-c", NEEDED if given.trying else NEEDED + A_GPU], log, math.inf):
            say("this machine lacks something, see above; benchmarks/README.md says what is needed", log)
            return 2
        undone = run_all(given, log)
    return 1 if any(not words.startswith("skipped") for words in undone.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
