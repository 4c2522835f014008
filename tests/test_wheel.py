"""The wheel, installed away from the checkout, runs the demo and finds its manifest, samples and default model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: str | Path, cwd: Path, timeout: int = 300) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_holds_both_packages_manifest_presets_samples_and_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    for name in (
        "napari_myelin/napari.yaml",
        "napari_myelin/core/presets/paper.toml",
        "napari_myelin/core/report/page.css",
        "napari_myelin/sample_data/participants.tsv",
        "napari_myelin/sample_data/model.safetensors",
        "training_cli/main.py",
    ):
        assert name in names
    assert "napari-myelin-train = training_cli.main:main" in entry_points
    assert "[napari.manifest]" in entry_points
    assert wheel.stat().st_size < 25e6


@pytest.mark.slow
def test_wheel_runs_the_demo_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    # an environment of its own that borrows the dependencies, but not the project, from this one
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # appended at the end of the path: a .pth file of the borrowed folder (an editable install) is not read
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import napari_myelin, training_cli; print(napari_myelin.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(site)
    small = ("--patients 3 --controls 2 --epochs 1 --shape 32 32 32 --spacing 5 --quiet --threads 1").split()  # noqa: SIM905
    run(python, "-m", "training_cli.main", "demo", "--out", "out", *small, cwd=tmp_path)
    assert (tmp_path / "out" / "page.html").stat().st_size > 50_000
    code = (
        "import json, importlib.metadata as m\n"
        "from napari_myelin.core.data.samples import sample_folder, sample_model\n"
        "from napari_myelin.core.inference.model import load_model\n"
        "files = [str(e.value) for e in m.entry_points(group='napari.manifest') if e.name == 'napari-myelin']\n"
        "print(json.dumps([str(sample_folder()), load_model(sample_model()).card.uid, files]))"
    )
    folder, uid, manifest = json.loads(run(python, "-c", code, cwd=tmp_path))
    assert Path(folder).is_relative_to(site)
    assert len(uid) == 12
    assert manifest
    assert "sub-01" in run(python, "-m", "training_cli.main", "check", "sample_data", cwd=tmp_path)
