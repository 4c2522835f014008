"""Saving a lesion mask: nothing is replaced unasked, and a full disk loses nothing."""

from __future__ import annotations

import resource
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from masking import AFFINE, LESION_PATH, SHAPE, put
from mouse import answer, press
from qtpy.QtWidgets import QFileDialog

from napari_myelin.core.data.cohort import Cohort, open_cohort
from napari_myelin.core.data.volume import Volume
from napari_myelin.widgets.lesions.panel import LesionsPanel
from napari_myelin.widgets.settings import autosave_folder


def test_a_file_that_is_there_is_replaced_only_when_agreed_and_the_old_one_can_be_kept(
    qtbot: Any, lesions: LesionsPanel, unmasked_cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unmasked_cohort.root / LESION_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"the work of another")
    put(lesions, np.s_[2:4, 3:6, 2:3])
    seen: list[str] = []
    answer("Cancel", seen)
    press(qtbot, lesions.buttons["save"])
    assert seen == [f"{path.name} is there already."]
    assert path.read_bytes() == b"the work of another"
    assert lesions.work.unsaved
    # another name
    elsewhere = unmasked_cohort.root.parent / "elsewhere"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(elsewhere), ""))
    answer("Other name...", seen)
    with qtbot.waitSignal(lesions.work.saved, timeout=10_000) as saved:
        press(qtbot, lesions.buttons["save"])
    assert saved.args == [elsewhere.with_name("elsewhere.nii.gz")]
    assert path.read_bytes() == b"the work of another"
    # replaced, twice: each old one is kept
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    for count in (1, 2):
        answer("Replace it", seen)
        with qtbot.waitSignal(lesions.work.saved, timeout=10_000):
            press(qtbot, lesions.buttons["save_as"])
        assert nib.load(path).get_fdata().sum() == 6
        assert len(list(path.parent.glob("*.bak*"))) == count
    assert path.with_name(path.name + ".bak").read_bytes() == b"the work of another"
    assert open_cohort(unmasked_cohort.root).subjects[0].raw("lesion").array.sum() == 6


def test_a_full_disk_is_one_sentence_and_mask_and_journal_stay(
    qtbot: Any, lesions: LesionsPanel, unmasked_cohort: Cohort
) -> None:
    mask = np.random.default_rng(1).random(SHAPE) < 0.5  # does not compress
    lesions.put(Volume(mask, AFFINE))
    assert lesions.work.wait()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limit[1]))
    try:
        with qtbot.waitSignal(lesions.work.failed, timeout=10_000):
            press(qtbot, lesions.buttons["save"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert lesions.message.text() == (
        f"cannot write {unmasked_cohort.root / LESION_PATH}: File too large; choose another folder or free some space"
    )
    assert not list((unmasked_cohort.root / "sub-01/anat").glob("*label-L*"))
    assert not list((unmasked_cohort.root / "sub-01/anat").glob(".*"))
    assert lesions.work.unsaved
    assert (lesions.work.mask == mask).all()
    assert len(list(autosave_folder().iterdir())) == 1
    with qtbot.waitSignal(lesions.work.saved, timeout=10_000):
        press(qtbot, lesions.buttons["save"])
    assert (nib.load(unmasked_cohort.root / LESION_PATH).get_fdata() == mask).all()
