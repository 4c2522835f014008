"""The engine and the command line need neither Qt nor napari, and help needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from training_cli.main import COMMANDS

BLOCK = """
import sys
from importlib.abc import MetaPathFinder
WANTED = ("napari", "qtpy", "PyQt6", "PyQt5", "PySide6", "PySide2", "magicgui", "superqt", "vispy")
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in WANTED:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_core_and_cli_imports_with_napari_and_qt_absent() -> None:
    code = BLOCK + (
        "import importlib, pkgutil, napari_myelin.core, training_cli\n"
        "names = [m.name for p in (napari_myelin.core, training_cli)\n"
        "         for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(len(names), [w for w in WANTED if w in sys.modules])\n"
    )
    count, loaded = python(code).split(" ", 1)
    assert int(count) > 50
    assert loaded.strip() == "[]"


def test_importing_the_package_costs_nothing() -> None:
    loaded = python("import sys; before = set(sys.modules); import napari_myelin; print(set(sys.modules) - before)")
    assert "numpy" not in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_needs_no_torch(command: str | None) -> None:
    words = ["--help"] if command is None else [command, "--help"]
    code = (
        "import sys\nfrom training_cli.main import main\n"
        f"try:\n    code = main({words!r})\nexcept SystemExit as end:\n    code = end.code\n"
        "heavy = [name for name in ('torch', 'nilearn', 'matplotlib', 'scipy') if name in sys.modules]\n"
        "print('END', code, heavy)"
    )
    out = python(code)
    assert out.splitlines()[-1] == "END 0 []"
    assert "usage: napari-myelin-train" in out
