"""A lesion mask that was not saved when the app was killed is offered at the next start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.widgets.lesions.panel import LesionsPanel
from napari_myelin.widgets.settings import autosave_folder

CRASHING = """
    import sys, time
    from pathlib import Path
    import napari
    import numpy as np
    from qtpy.QtWidgets import QApplication
    from napari_myelin.widgets.session import session_of
    viewer = napari.Viewer(show=False)
    session = session_of(viewer)
    shown = []
    session.subject_shown.connect(lambda: shown.append(1))
    session.open(Path(sys.argv[1]))
    session.choose("sub-01")
    while not shown:
        QApplication.processEvents()
    grid = session.frame.reference
    from napari_myelin.core.data.volume import Volume
    session.mask_work.put(Volume(np.zeros(grid.shape, dtype=bool), grid.affine))  # as New mask does
    layer = session.layer("lesion")
    layer.brush_size, layer.n_edit_dimensions = 5, 3
    for place in ((4, 8, 5), (5, 9, 5), (9, 20, 12)):
        layer.paint(place, 1)
        QApplication.processEvents()
    layer.undo()
    QApplication.processEvents()
    layer.paint((10, 18, 12), 1)
    while not (session.mask_work.mask.sum() and session.mask_work.wait()):
        QApplication.processEvents()
    print(np.packbits(session.lesion.array).tobytes().hex(), flush=True)
    time.sleep(600)
"""


def test_after_kill_9_the_next_start_offers_the_mask_back(viewer: Any, qtbot: Any, unmasked_cohort: Cohort) -> None:
    words = [sys.executable, "-c", textwrap.dedent(CRASHING), str(unmasked_cohort.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        drawn = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert drawn
    panel = LesionsPanel(viewer)
    viewer.window.add_dock_widget(panel)
    # nothing is open yet: its subject is opened from here
    qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=10_000)
    assert "(2 lesions) was found" in panel.offer.text.text()
    assert panel.offer.buttons[0].text() == "Open"
    said: list[str] = []
    panel.session.said.connect(lambda text, problem: said.append(text))
    with qtbot.waitSignal(panel.session.subject_shown, timeout=20_000):
        QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=10_000)
    assert "An unsaved lesion mask of sub-01 was found: see the Lesions panel." in said
    QTest.mouseClick(panel.offer.buttons[0], Qt.MouseButton.LeftButton)
    assert np.packbits(panel.session.lesion.array).tobytes().hex() == drawn
    assert panel.offer.isHidden()
    assert panel.work.unsaved
    assert len(list(autosave_folder().iterdir())) == 1  # the new one; the old one is done with
