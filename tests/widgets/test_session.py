"""A session: what is on show, where it lies, how it is turned, and what leaves with it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heartbeat import Heartbeat
from places import awkward_subject, brightest, spot_in_world

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.lesions.lesion_layer import outline
from napari_myelin.widgets.maps import raise_masks
from napari_myelin.widgets.opening import open_later
from napari_myelin.widgets.orientation import letters
from napari_myelin.widgets.session import session_of


def written(viewer: Any) -> dict[str, str]:
    """Return the letters on the canvas that are switched on."""
    texts = {edge: viewer.canvas.overlays[f"myelin_{edge}"] for edge in ("left", "right", "top", "bottom", "caption")}
    return {edge: text.text for edge, text in texts.items() if text.visible}


def test_a_subject_appears_in_mm_axial_with_windows_and_one_image_on(show: Callable[..., Any], viewer: Any) -> None:
    with Heartbeat() as heart:
        session = show()
    heart.tell("showing a subject")
    names = [layer.name for layer in viewer.layers]
    assert names[0] == "FLAIR"
    assert names[-1] == "lesion mask"
    assert {"MTR map", "FA map", "RD map", "AD map", "measured DVR"} <= set(names)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["FLAIR", "lesion mask"]
    # a line round a lesion that is drawn before other maps come stays above them
    outline(session, session.lesion)
    session.add("dvr-sketch", session.subject.volume("dvr"))
    raise_masks(viewer)
    assert [layer.name for layer in viewer.layers][-2:] == ["lesion mask", "chosen lesions"]
    outline(session, None)
    viewer.layers.remove(session.layer("dvr-sketch"))
    for layer in viewer.layers:
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3  # else napari shows no unit at all
        assert tuple(layer.axis_labels) == ("superior", "anterior", "right")
        assert layer.scale == pytest.approx((4.88, 4.88, 4.88))
    dvr = session.layer("dvr")
    assert dvr.colormap.name == "DVR"
    assert dvr.contrast_limits == [0.5, 1.5]
    assert dvr.colorbar.visible
    assert not session.layer("MTR").colorbar.visible
    assert tuple(viewer.dims.order) == (0, 1, 2)
    assert viewer.dims.ndisplay == 2
    assert written(viewer) == {
        "left": "R", "right": "L", "top": "A", "bottom": "P", "caption": "sub-01\naxial, radiological",
    }  # fmt: skip


def test_a_known_voxel_is_at_the_same_place_in_every_layer(viewer: Any, qtbot: Any) -> None:
    session = session_of(viewer)
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        session.show(awkward_subject())
    place = session.frame.shown(spot_in_world())
    for role in ("MTR", "FA", "RD", "AD", "dvr", "lesion"):
        np.testing.assert_allclose(brightest(session.layer(role)), place, atol=1e-6, err_msg=role)
    # the FLAIR is interpolated on a grid of its own: the middle of its ball is there to a fraction of its voxel
    np.testing.assert_allclose(brightest(session.layer("flair")), place, atol=0.5)
    np.testing.assert_allclose(session.frame.world(place), spot_in_world(), atol=1e-9)
    # a layer that is made later, from a volume of the subject, lies there too
    later = session.add("dvr-predicted", awkward_subject().raw("dvr"))
    np.testing.assert_allclose(brightest(later), place, atol=1e-6)
    # and the mask as painted goes back to the file's own voxels
    np.testing.assert_array_equal(session.lesion.array, awkward_subject().raw("lesion").array)
    np.testing.assert_array_equal(session.lesion.affine, awkward_subject().raw("lesion").affine)


@pytest.mark.parametrize(
    ("displayed", "horizontal", "edges"),
    [
        ((1, 2), "left", "RLAP"),
        ((1, 2), "right", "LRAP"),
        ((0, 2), "left", "RLSI"),
        ((0, 1), "left", "APSI"),
        ((0, 1), "right", "PASI"),
        ((2, 1), "left", "APRL"),
    ],
)
def test_letters_say_what_is_at_each_edge(displayed: tuple[int, int], horizontal: str, edges: str) -> None:
    assert "".join(letters(displayed, "up", horizontal).values()) == edges


def test_letters_follow_the_axes_and_the_preference_at_once(show: Callable[..., Any], viewer: Any) -> None:
    from napari.settings import get_plugin_settings

    session = show()
    viewer.dims.order = (1, 0, 2)
    assert written(viewer) == {
        "left": "R", "right": "L", "top": "S", "bottom": "I", "caption": "sub-01\ncoronal, radiological",
    }  # fmt: skip
    viewer.dims.order = (2, 0, 1)
    assert written(viewer) == {"left": "A", "right": "P", "top": "S", "bottom": "I", "caption": "sub-01\nsagittal"}
    viewer.dims.ndisplay = 3
    assert written(viewer) == {}
    viewer.dims.ndisplay = 2
    viewer.dims.order = (0, 1, 2)
    general = get_plugin_settings("napari-myelin").general
    try:
        general.radiological = False
        assert written(viewer)["left"] == "L"
        assert written(viewer)["caption"] == "sub-01\naxial, neurological"
    finally:
        general.radiological = True
    assert written(viewer)["left"] == "R"
    assert session.leave()
    assert written(viewer) == {}


def test_a_map_on_another_grid_is_left_out_with_a_sentence_and_resampled_on_request(viewer: Any, qtbot: Any) -> None:
    subject = awkward_subject()
    fa = subject.raw("FA")
    coarse = fa.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    subject = subject.with_files(FA=Volume(np.ascontiguousarray(fa.array[::2, ::2, ::2]), coarse))
    session = session_of(viewer)
    said: list[tuple[str, bool]] = []
    session.said.connect(lambda text, problem: said.append((text, problem)))
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        session.show(subject)
    assert session.layer("FA") is None
    ((text, problem),) = said
    assert "the FA map of sub-awk lies on another grid" in text
    assert text.endswith("resample it in the Subject panel, or register the maps first")
    assert problem
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        session.use_resampling()
    assert session.resample
    assert session.resampled == {"FA": "10 x 11 x 9, 3 x 4 x 5.5 mm, LAI"}
    assert session.layer("FA").name == "FA map (resampled)"
    assert session.layer("FA").data.shape == session.frame.shape
    assert not session.layer("FA").visible


def test_who_objects_keeps_the_subject_and_nothing_of_it_is_lost(show: Callable[..., Any], viewer: Any) -> None:
    session = show()
    session.may_leave.append(lambda: False)
    assert not session.set_cohort(replace(session.cohort, name="another"))
    session.choose("sub-02")
    assert session.subject.key == "sub-01"
    assert session.cohort.name != "another"
    assert session.layer("lesion") is not None
    session.may_leave.clear()
    other = viewer.add_image(np.zeros((4, 4, 4)), name="somebody else's")
    assert session.leave()
    assert session.subject is None
    assert [layer.name for layer in viewer.layers] == [other.name]


def test_leaving_looks_through_the_garbage_once_not_for_each_layer(show: Callable[..., Any], viewer: Any) -> None:
    session = show()
    kept_out: list[int] = []

    def collected(phase: str, about: dict[str, int]) -> None:
        if phase == "start" and about["generation"] == 2:
            kept_out.append(gc.get_freeze_count())

    gc.callbacks.append(collected)
    try:
        assert session.leave()
    finally:
        gc.callbacks.remove(collected)
    assert not viewer.layers
    assert len(kept_out) > 5  # napari does it for each
    assert sum(count == 0 for count in kept_out) == 1
    assert gc.get_freeze_count() == 0


def test_leaving_while_maps_are_read_lets_none_of_them_in(viewer: Any, qtbot: Any, phantom_cohort: Cohort) -> None:
    session = session_of(viewer)
    session.set_cohort(phantom_cohort)
    session.choose("sub-01")
    with qtbot.waitSignal(session.subject_shown, timeout=20_000):
        session.choose("sub-04")
    assert {layer.metadata["napari_myelin"]["subject"] for layer in viewer.layers} == {"sub-04"}


def test_what_cannot_be_shown_is_a_sentence(viewer: Any, qtbot: Any, phantom_cohort: Cohort, tmp_path: Path) -> None:
    session = session_of(viewer)
    with pytest.raises(MyelinError, match="no cohort is open"):
        session.choose("sub-01")
    with pytest.raises(MyelinError, match="no subject is on show"):
        session.add("dvr", awkward_subject().raw("dvr"))
    session.set_cohort(phantom_cohort)
    with pytest.raises(MyelinError, match='there is no subject "sub-99"'):
        session.choose("99")
    said: list[str] = []
    session.said.connect(lambda text, problem: said.append(text))
    with qtbot.waitSignal(session.said, timeout=10_000):
        open_later(session, tmp_path / "nothing")
    assert said[0].startswith("there is no cohort at")
    assert session.cohort is phantom_cohort  # nothing was lost
