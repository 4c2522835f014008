"""One raw phantom, prepared once, for every test that looks at what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_scans import OPTIONS, PHANTOM, write_raw

from napari_myelin.core.events import Event
from napari_myelin.core.phantom.cohort import PhantomSubject, make_subject
from napari_myelin.core.prepare.cohort import prepare_cohort

Prepared = tuple[Path, list[Event]]


@pytest.fixture(scope="session")
def phantom() -> PhantomSubject:
    """The patient that is scanned. Read only."""
    return make_subject(0, PHANTOM)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory, phantom: PhantomSubject) -> Path:
    """A patient, and sub-02, whose T1w is all that was copied, cut in half. Read only."""
    return write_raw(tmp_path_factory.mktemp("raw") / "bids", phantom)


@pytest.fixture(scope="session")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The cohort made of it, and what was said meanwhile. Read only."""
    out = tmp_path_factory.mktemp("prepared") / "cohort"
    return out, list(prepare_cohort(raw, out, OPTIONS))
