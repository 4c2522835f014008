"""Leaving a subject whose lesion mask is not saved: the user says what becomes of it."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
from masking import LESION_PATH, put
from mouse import answer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.widgets.lesions.panel import LesionsPanel
from napari_myelin.widgets.settings import autosave_folder


def test_leaving_with_unsaved_strokes_asks_and_does_what_was_said(
    qtbot: Any, lesions: LesionsPanel, unmasked_cohort: Cohort
) -> None:
    session, work, seen = lesions.session, lesions.work, []

    def shown(key: str) -> None:
        with qtbot.waitSignal(session.subject_shown, timeout=10_000):
            session.choose(key)

    mask = put(lesions, np.s_[2:4, 3:6, 2:3])
    windows: list[Any] = []
    answer("Stay", windows, lambda box: box.parent())
    session.choose("sub-02")
    assert session.subject.key == "sub-01"
    assert windows == [lesions.window()]  # asked in front of it, in its colours
    answer("Stay", seen)
    session.choose("sub-02")
    assert seen == ["The lesion mask of sub-01 is not saved."]
    answer("Keep for later", seen)
    shown("sub-02")
    assert work.mask is None
    assert lesions.offer.isHidden()  # it is another's
    shown("sub-01")
    qtbot.waitUntil(lambda: not lesions.offer.isHidden(), timeout=10_000)
    assert lesions.offer.text.text().startswith("An unsaved mask of sub-01 from ")
    assert lesions.offer.text.text().endswith(" (1 lesion) was found.")
    QTest.mouseClick(lesions.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert (work.mask == mask).all()
    answer("Discard", seen)
    shown("sub-02")
    qtbot.waitUntil(lambda: not list(autosave_folder().iterdir()))
    shown("sub-01")
    assert work.mask is None
    mask = put(lesions, np.s_[5:8, 3:6, 2:3])
    answer("Save", seen)
    shown("sub-02")
    assert nib.load(unmasked_cohort.root / LESION_PATH).get_fdata().sum() == 9
    shown("sub-01")
    assert (work.mask == mask).all()
    assert not work.unsaved
    # an unsaved mask is deleted only when agreed twice
    put(lesions, np.s_[5:8, 3:6, 2:3], np.s_[0:1, 0:1, 0:1])
    answer("Keep for later", seen)
    shown("sub-02")
    shown("sub-01")
    for label in ("Discard", "Keep it", "Discard", "Delete it for good"):
        qtbot.waitUntil(lambda: not lesions.offer.isHidden(), timeout=10_000)
        assert list(autosave_folder().iterdir())
        (button,) = [each for each in lesions.offer.buttons if each.text() == label]
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert list(autosave_folder().iterdir()) == []
    assert lesions.offer.isHidden()
    # the layer deleted by hand: what was not saved can be had back
    put(lesions, np.s_[5:8, 3:6, 2:3], np.s_[0:1, 0:1, 0:1])
    lesions.viewer.layers.remove(session.layer("lesion"))
    assert work.mask is None
    QTest.mouseClick(lesions.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert work.mask.sum() == 10
    assert work.mask[0, 0, 0]
