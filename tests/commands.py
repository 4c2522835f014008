"""Commands called inside the tests' own process."""

from __future__ import annotations

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
