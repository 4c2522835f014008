"""What the benchmarks share: rows of measured beside wanted, the machine they ran on, and both on screen or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "training_cli.main")  # napari-myelin-train of this checkout
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "nibabel", "nilearn", "lightning-fabric")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    ``what`` was measured; ``measured`` and ``target`` as a reader wants them; ``reached`` whether the target was,
    None where there is none; ``values`` the numbers behind it, for JSON.
    """

    what: str
    measured: str
    target: str = ""
    reached: bool | None = None
    values: dict[str, Any] = field(default_factory=dict)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser that describes a script by its docstring and knows ``--json FILE``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    return parser


def machine() -> dict[str, str]:
    """Return where and with what the numbers were measured."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if hasattr(os, "sysconf") else 0
    return {
        "machine": f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "",
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _version(name: str) -> str:
    # what a script needs it imports; that another package is not there is no reason to measure nothing
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    # a copy of the checkout may be without its history, or the machine without git
    try:
        git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return git.stdout.strip() or "unknown"


def failure(error: BaseException) -> str:
    """Return what a row says whose measurement has failed, the error in a line; all of it goes to standard error."""
    traceback.print_exception(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines[:1] == ["Traceback (most recent call last):"] else next(iter(lines), "")
    return f"failed: {type(error).__name__}: {last[:160]}"


def save(title: str, rows: Sequence[Row], path: Path | None, began_on: dict[str, str]) -> None:
    """Write rows to ``path`` if there is one, whole; also those so far, for the case that the rest never comes."""
    if path is not None:
        partly = path.with_name(f"{path.name}.tmp")
        partly.write_text(json.dumps({"title": title, **began_on, "rows": [asdict(row) for row in rows]}, indent=1))
        partly.replace(path)


def report(title: str, rows: Sequence[Row], path: Path | None, began_on: dict[str, str]) -> None:
    """Print a table, and write it to ``path`` if there is one.

    Parameters
    ----------
    title, rows
        The table.
    path
        Of the JSON file.
    began_on
        `machine`, asked before the measurement, so that the load is that of others.
    """
    print(f"\n{title}\n{', '.join(f'{name} {value}' for name, value in began_on.items())}\n")
    table = [("what", "target", "measured", "reached")]
    words = {None: "", True: "yes", False: "NO"}
    table += [(row.what, row.target, row.measured, words[row.reached]) for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True)
    save(title, rows, path, began_on)


def resident(name: str, process: int | str = "self") -> int:
    """Return ``VmRSS`` (now) or ``VmHWM`` (the most so far) of a process in bytes (Linux); 0 where it is gone."""
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


@dataclass(frozen=True)
class Process:
    """A finished child process: its exit ``code``, wall ``seconds``, ``peak`` resident memory in bytes, ``output``.

    On Linux ``peak`` is at least what the parent held when it started the child.
    """

    code: int
    seconds: float
    peak: int
    output: str


def run(*words: str | Path, threads: int | None = None) -> Process:
    """Run a command from the checkout to its end and measure the whole process.

    Parameters
    ----------
    words
        Of the command line.
    threads
        Of torch and numpy; by default they choose.
    """
    environment = dict(os.environ) if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout as out:
        output = out.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    # kilobytes on Linux, bytes on macOS
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Process(child.returncode, seconds, peak, output)
