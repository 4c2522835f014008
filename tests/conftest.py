"""One phantom cohort and one small trained model for every test that needs them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny import PHANTOM, tiny_options

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.events import Event, Finished
from napari_myelin.core.inference.model import Model, load_model
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.training.fit import fit

pytest_plugins = ["pytestqt.plugin"] if find_spec("PyQt6") else []


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom cohort on disk: sub-01 to sub-03 are patients, sub-04 and sub-05 controls. Read only."""
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    for _ in write_cohort(folder, PHANTOM):
        pass
    return folder


@pytest.fixture(scope="session")
def phantom_cohort(phantom_folder: Path) -> Cohort:
    """The same, opened."""
    return open_cohort(phantom_folder)


@pytest.fixture(scope="session")
def trained_run(phantom_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder. Read only."""
    run = tmp_path_factory.mktemp("run") / "run"
    events: list[Event] = list(fit(phantom_cohort, tiny_options(), run))
    assert isinstance(events[-1], Finished), events[-1]
    return run


@pytest.fixture
def model(trained_run: Path) -> Model:
    """A trained model of two stages, loaded anew."""
    return load_model(trained_run / "model.safetensors")


@pytest.fixture
def memory_subject() -> Subject:
    """A subject in memory on a small oblique grid: random maps inside a ball, a lesion, white matter."""
    random = np.random.default_rng(0)
    shape = (20, 22, 18)
    affine = np.array([[2.0, 0.1, 0, -20], [-0.1, 2.0, 0.2, -22], [0, -0.2, 2.0, -18], [0, 0, 0, 1]])
    centre = (np.asarray(shape) - 1) / 2
    ball = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - centre) / (np.asarray(shape) / 2), axis=-1) < 0.9

    def volume(low: float, high: float) -> Volume:
        return Volume(np.where(ball, random.uniform(low, high, shape), 0).astype(np.float32), affine)

    wm = np.zeros(shape, dtype=bool)
    wm[5:15, 5:17, 5:13] = True
    lesion = np.zeros(shape, dtype=bool)
    lesion[7:10, 7:10, 7:10] = True
    files = {"MTR": volume(30, 55), "FA": volume(0.1, 0.6), "RD": volume(0.4, 1.0), "AD": volume(1.0, 1.6)}
    files |= {"dvr": volume(0.9, 1.3), "wm": Volume(wm, affine), "lesion": Volume(lesion, affine)}
    return Subject("x1", None, "MS", 31.0, "F", {**files, "brain": Volume(ball, affine)})
