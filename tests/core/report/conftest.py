"""Results of a study made by hand."""

from __future__ import annotations

import pytest
from study_rows import made_by_hand

from napari_myelin.core.evaluation.results import Results


@pytest.fixture
def results() -> Results:
    """Three methods on all inputs and one on MTR, of six patients and two controls."""
    return made_by_hand()
