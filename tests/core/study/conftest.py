"""A study small enough for tests, and one that was never interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import call

STUDY = """
preset = "demo"
[study]
folds = 2
methods = ["linear", "boosting", "sketcher", "refiner"]
inputs = ["MTR"]
inputs_methods = ["linear"]
uncertainty = 2
ceiling_patients = 1
voxels = 300
[network]
maps = 2
discriminator_maps = 2
[training]
epochs = 2
validate_every = 1
[runtime]
device = "cpu"
threads = 1
"""


@pytest.fixture(scope="session")
def study_toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Options of a study of two folds."""
    path = tmp_path_factory.mktemp("study_options") / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="session")
def finished_study(phantom_folder: Path, study_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that ran from beginning to end, in this process. Read only."""
    out = tmp_path_factory.mktemp("study") / "out"
    words = ("--options", study_toml, "--out", out, "--markdown", out.parent / "results.md", "--quiet")
    assert call("study", phantom_folder, *words) == 0
    return out
