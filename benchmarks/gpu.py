"""Everything that only a GPU can show, in one command: a table and a JSON file for each benchmark.

    python benchmarks/gpu.py OUT          # about ten minutes on an H100 or H200 (estimated, not tried)
    python benchmarks/gpu.py OUT --try    # the same on a CPU, small, to see that all of it runs

Side by side at full size with the schedule of 400 + 400 epochs, what each thing inside a step is worth, memory told
against memory taken, and prediction. One that fails is said and the others go on. MONAI takes part where it is
installed (the extra ``bench``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
FULL = ("--shape", "128", "160", "128", "--maps", "32")
SMALL = ("--shape", "32", "32", "32", "--maps", "2")
ON_GPU = ("--device", "cuda")
HALF = (*ON_GPU, "--precision", "bf16-mixed")


def commands(trying: bool) -> dict[str, tuple[str, ...]]:
    """Return the arguments of each benchmark, the most wanted first."""
    rivals = ("plain", "UNet") if find_spec("monai") else ("plain",)
    if trying:
        return {
            "compare": (*SMALL, "--turns", "1", "--rivals", *rivals, "--schedule", "--minutes", "0.05"),
            "predict": ("--runs", "1"),
            "memory_told": ("--only", "demo, batch"),
            "inside": (*SMALL, "--turns", "1"),
        }
    return {
        "compare": (*FULL, *HALF, "--turns", "3", "--rivals", *rivals, "--schedule", "--minutes", "3"),
        "predict": (*ON_GPU, "--batch", "40", "--runs", "3"),
        "memory_told": (*ON_GPU, "--large"),
        "inside": (*FULL, *HALF, "--turns", "3", "--compile"),
    }


def main() -> int:
    """Run them one after the other; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the JSON files")
    parser.add_argument("--try", dest="trying", action="store_true", help="on a CPU, small")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, words in commands(given.trying).items():
        path = given.out.absolute() / f"{name}.json"
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *words, "--json", str(path)], cwd=HERE.parent)
        if done.returncode:
            failed.append(name)
            print(f"{name}.py failed with exit code {done.returncode}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
