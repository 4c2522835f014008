"""Two small runs that several tests look at. Read only."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import (
    Finished,
)
from napari_myelin.core.training.fit import fit


@pytest.fixture(scope="session")
def small(phantom_cohort: Cohort) -> Cohort:
    """Two patients and a control: two train, one is held out."""
    return phantom_cohort.select(["01", "02", "04"])


@pytest.fixture(scope="session")
def uninterrupted(small: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    events = list(fit(small, tiny_options(epochs=2), run))
    assert isinstance(events[-1], Finished), events[-1]
    return run
