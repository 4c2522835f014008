"""Commands called inside the tests' own process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from training_cli.main import main

TINY = "--preset demo --device cpu --maps 2 --discriminator-maps 2 --epochs 1 --validate-every 1".split()  # noqa: SIM905
SMALL = "--patients 3 --controls 2 --epochs 1 --shape 32 32 32 --spacing 5 --device cpu".split()  # noqa: SIM905


def call(*words: str | Path) -> int:
    try:
        return main([str(word) for word in words])
    except SystemExit as end:  # wrong usage, found while parsing
        return int(end.code or 0)


def only_error(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.count("error: ") == 1, err
    return err


def shellcheck(*scripts: Path, leave_out: str = "") -> None:
    """Fail on whatever shellcheck finds in scripts; skip the test where it is not installed."""
    # beside Python, where a virtual environment has it
    program = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        pytest.skip("shellcheck is not installed")
    flags = [f"--exclude={leave_out}"] if leave_out else []
    done = subprocess.run([program, *flags, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
