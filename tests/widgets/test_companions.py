"""Orthogonal views: they follow the point and lead it, show strokes, and have the colours that napari gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from places import awkward_subject, spot_in_world
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent

from napari_myelin.widgets.session import session_of
from napari_myelin.widgets.subject.companions import Companions, toggle_companions
from napari_myelin.widgets.subject.slices import paint, plane_of


@pytest.fixture
def views(viewer: Any, qtbot: Any) -> Companions:
    session = session_of(viewer)
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        session.show(awkward_subject())
    toggle_companions(viewer)
    (widget,) = [each for each in viewer.window.dock_widgets.values() if isinstance(each, Companions)]
    widget.resize(300, 600)
    qtbot.waitUntil(lambda: all(view.plane is not None for view in widget.views), timeout=10_000)
    return widget


def test_views_follow_the_point_and_lead_it(views: Companions, viewer: Any, qtbot: Any) -> None:
    session = session_of(viewer)
    place = session.frame.shown(spot_in_world())
    for axis in range(3):
        viewer.dims.set_point(axis, place[axis])
    coronal, sagittal = views.views
    qtbot.waitUntil(lambda: coronal.point == pytest.approx(tuple(viewer.dims.point)), timeout=10_000)
    # the spot is the one voxel of the lesion mask: red where the cross is, in both views
    for layer in viewer.layers:
        layer.visible = layer.name == "lesion mask"
    for view in (coronal, sagittal):
        pixels = paint(list(viewer.layers), plane_of(list(viewer.layers), view.axis), viewer.dims.point)
        red = np.argwhere(pixels[..., 0] > 0)
        rows, columns = plane_of(list(viewer.layers), view.axis).centres()
        middle = rows[red[:, 0]].mean(), columns[red[:, 1]].mean()
        expected = [place[axis] for axis in range(3) if axis != view.axis]
        np.testing.assert_allclose(middle, expected, atol=1.0)
        assert view.mm_of(view.place_of(*expected)) == pytest.approx(expected)
    # right is on the left of the screen in the coronal view, anterior on the left in the sagittal one
    assert coronal.place_of(0, 10).x() < coronal.place_of(0, -10).x()
    assert sagittal.place_of(0, 10).x() < sagittal.place_of(0, -10).x()
    assert coronal.place_of(10, 0).y() < coronal.place_of(-10, 0).y()
    # a click moves the point of all three
    target = (place[0] + 6.0, place[2] - 8.0)
    qtbot.mouseClick(coronal, Qt.MouseButton.LeftButton, pos=coronal.place_of(*target).toPoint())
    step = viewer.dims.range[0].step
    assert viewer.dims.point[0] == pytest.approx(target[0], abs=step)
    assert viewer.dims.point[2] == pytest.approx(target[1], abs=step)
    assert viewer.dims.point[1] == pytest.approx(place[1], abs=step)
    # the wheel walks through slices
    before = viewer.dims.point[1]
    wheel = QWheelEvent(
        QPointF(50, 50), QPointF(50, 50), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    coronal.wheelEvent(wheel)
    assert viewer.dims.point[1] == pytest.approx(before + viewer.dims.range[1].step)


def test_views_show_strokes_and_go_away_at_a_second_press(views: Companions, viewer: Any, qtbot: Any) -> None:
    session = session_of(viewer)
    lesion = session.layer("lesion")
    before = views.views[0].grab().toImage()
    data = lesion.data.copy()
    data[:, lesion.data.shape[1] // 2] = 1
    lesion.data = data
    viewer.dims.set_point(1, lesion.data_to_world((0, lesion.data.shape[1] // 2, 0))[1])
    qtbot.waitUntil(lambda: views.views[0].grab().toImage() != before, timeout=10_000)
    toggle_companions(viewer)
    assert not [each for each in viewer.window.dock_widgets.values() if isinstance(each, Companions)]
    viewer.dims.set_point(0, 3.0)  # nobody is left to be painted


def test_a_slice_has_the_colours_that_napari_gives(views: Companions, viewer: Any) -> None:
    session = session_of(viewer)
    for layer in viewer.layers:
        layer.visible = layer is session.layer("dvr") or layer.name == "measured DVR"
    dvr = session.layer("dvr")
    plane = plane_of([dvr], 1)
    pixels = paint([dvr], plane, dvr.data_to_world((4, 9, 5)))
    rows, columns = plane.centres()
    row = int(np.argmin(np.abs(rows - dvr.data_to_world((4, 9, 5))[0])))
    column = int(np.argmin(np.abs(columns - dvr.data_to_world((4, 9, 5))[2])))
    low, high = dvr.contrast_limits
    wanted = dvr.colormap.map((dvr.data[4, 9, 5] - low) / (high - low)).ravel()[:3]
    np.testing.assert_allclose(pixels[row, column] / 255, wanted, atol=1 / 254)
