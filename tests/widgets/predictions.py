"""A Predict panel with the small trained model: opening, running, and what it must then show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouse import press

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.demyelination import agreement, certainty, classify
from napari_myelin.widgets.predict.panel import PredictPanel
from napari_myelin.widgets.session import Session

SECONDS = 60_000


def opened(viewer: Any, qtbot: Any, path: Path) -> PredictPanel:
    """Open the panel as the menu does, choose a model, and wait until its subject was looked at."""
    _, panel = viewer.window.add_plugin_dock_widget("napari-myelin", "Predict")
    qtbot.waitUntil(lambda: panel.model.card is not None, timeout=SECONDS)
    panel.model.choose(path)
    qtbot.waitUntil(lambda: ready(panel), timeout=SECONDS)
    return panel


def ready(panel: PredictPanel) -> bool:
    """Return whether card, flags and devices are known."""
    return panel.model.card is not None and panel.suitability.flags is not None and panel.device.isEnabled()


def run(panel: PredictPanel, qtbot: Any, **options: Any) -> Any:
    """Set options, press Run, and return the prediction."""
    for name, value in options.items():
        panel.editors[name].put(value)
    press(qtbot, panel.run_button)
    qtbot.waitUntil(lambda: panel.session.prediction is not None and not panel.predictor.running, timeout=SECONDS)
    return panel.session.prediction


def shown(session: Session, role: str) -> Volume:
    """Return a layer's values on the subject's own grid."""
    return session.frame.volume(np.asarray(session.layer(role).data))


def check_masks(session: Session) -> None:
    """Compare masks and shares with the engine's on the whole grid."""
    prediction, lesion = session.prediction, session.lesion.array
    dvr, true = prediction.dvr.array, session.subject.volume("dvr").array
    threshold = prediction.threshold_on_grid
    spread = prediction.uncertainty.array
    np.testing.assert_array_equal(shown(session, "demyelinated").array, certainty(dvr, lesion, threshold, spread))
    below, measured = classify(dvr, lesion, threshold), classify(true, lesion, threshold)
    np.testing.assert_array_equal(shown(session, "agreement").array, agreement(measured, below, lesion))
    shares = prediction.shares
    assert shares.volume == pytest.approx(lesion.sum() * prediction.dvr.voxel_volume / 1000)
    assert shares.below == pytest.approx(below.sum() / lesion.sum())
    assert shares.true_below == pytest.approx(measured.sum() / lesion.sum())
    assert shares.mean == pytest.approx(dvr[lesion].mean(), rel=1e-5)
    assert shares.sure == pytest.approx(
        (lesion & (dvr < threshold - spread)).sum() / lesion.sum(), abs=2 / lesion.sum()
    )
