"""The gates: style, types, layers, docstrings, sizes, and files that must agree."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted([*(ROOT / "napari_myelin").rglob("*.py"), *(ROOT / "training_cli").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 250, 50


def tool(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    tool("ruff", "check", ".")


def test_every_file_is_formatted() -> None:
    tool("ruff", "format", "--check", ".")


def test_types_are_strict_and_right() -> None:
    tool("mypy")


def test_imports_point_down() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def public(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    def walk(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield prefix + node.name, node
                if isinstance(node, ast.ClassDef):
                    yield from walk(node.body, f"{prefix}{node.name}.")

    yield from walk(tree.body, "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_short_and_everything_public_is_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module has no docstring"
    assert len(text.splitlines()) <= LONGEST_MODULE
    for name, node in public(tree):
        assert ast.get_docstring(node), f"{name} has no docstring"  # type: ignore[arg-type]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            length = (node.end_lineno or 0) - node.lineno + 1 - len(docstring.splitlines())
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_of_tests_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_the_manifest_at_the_root_is_the_packages() -> None:
    root = (ROOT / "napari.yaml").read_text(encoding="utf-8")
    # git on Windows may check a symlink out as a file that holds the name of its target
    linked = sys.platform == "win32" and root == "napari_myelin/napari.yaml"
    assert linked or root == (ROOT / "napari_myelin" / "napari.yaml").read_text(encoding="utf-8")


def test_napari_accepts_the_manifest() -> None:
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(ROOT / "napari_myelin" / "napari.yaml")
    assert manifest.name == "napari-myelin"
    assert manifest.display_name == "Myelin from MRI"


def test_make_test_is_what_ci_and_the_readme_run() -> None:
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    assert "not a medical device" in readme.lower()


def test_constraints_pin_the_tested_torch() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert "torch==2.13.0" in lines
    assert all(line.startswith("#") or "==" in line for line in lines)
