"""Slices as pictures: orientation, colours, outlines, decoded from the PNG that the page shows."""

from __future__ import annotations

import base64
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.evaluation.demyelination import BOTH, NEITHER, OUTSIDE, PREDICTED_ONLY, TRUE_ONLY
from napari_myelin.core.report.pictures import (
    AGREEMENT,
    OUTLINE,
    Cut,
    Window,
    agreement_picture,
    canonical,
    map_picture,
)

SHAPE = (8, 10, 6)


def decoded(source: str) -> np.ndarray:
    kind, content = source.split(",", 1)
    assert kind == "data:image/png;base64"
    return np.asarray(imread(BytesIO(base64.b64decode(content)))[..., :3])


@pytest.fixture
def brain() -> Volume:
    return Volume(np.ones(SHAPE, dtype=bool), np.diag([2.0, 2.0, 2.0, 1.0]))


def test_the_patients_right_is_on_the_left_and_the_front_on_top(brain: Volume) -> None:
    array = np.zeros(SHAPE, dtype=np.float32)
    array[7, 9, 3] = 1  # RAS+: the right-most, front-most voxel
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[:, :, 3] = True
    picture = decoded(map_picture(array, Cut.through(brain, lesion), Window(0, 1)))
    assert picture[0, 0].tolist() == [1, 1, 1]
    assert picture[0, -1].tolist() == [0, 0, 0]
    assert picture[-1, 0].tolist() == [0, 0, 0]


def test_a_flipped_volume_gives_the_same_picture(brain: Volume) -> None:
    array = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    upright = Volume(array, np.diag([2.0, 2.0, 2.0, 1.0]))
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[0, 3] = 2.0 * (SHAPE[0] - 1)
    flipped = Volume(array[::-1], affine)
    assert np.array_equal(canonical(flipped).array, upright.array)
    swapped = Volume(np.moveaxis(array, 0, 2), np.array([[0, 0, 2, 0], [2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1.0]]))
    assert np.array_equal(canonical(swapped).array, upright.array)
    cut = Cut.through(brain, None)
    assert map_picture(canonical(flipped).array, cut, Window(0, 1)) == map_picture(array, cut, Window(0, 1))


def test_the_slice_with_most_lesion_voxels_is_shown_and_cropped_to_the_brain() -> None:
    inside = np.zeros((30, 30, 6), dtype=bool)
    inside[10:20, 8:23, :] = True
    lesion = np.zeros((30, 30, 6), dtype=bool)
    lesion[12, 12, 1] = True
    lesion[12:14, 12, 4] = True
    cut = Cut.through(Volume(inside, np.eye(4)), lesion)
    assert cut.k == 4
    assert (cut.i, cut.j) == (slice(8, 22), slice(6, 25))
    assert Cut.through(Volume(inside, np.eye(4)), np.zeros_like(lesion)).k == 0  # no lesion: most brain, the first


def test_voxels_keep_their_proportions() -> None:
    tall = Volume(np.ones((10, 10, 4), dtype=bool), np.diag([1.0, 3.0, 1.0, 1.0]))
    rows, columns = Cut.through(tall, None).of(tall.array.astype(np.float32)).shape
    assert rows / columns == pytest.approx(3, rel=0.01)


def test_values_become_the_colours_of_the_window(brain: Volume) -> None:
    array = np.full(SHAPE, 0.9, dtype=np.float32)
    array[0, :, :] = np.nan
    array[1, :, :] = 5
    picture = decoded(map_picture(array, Cut.through(brain, None), Window(0.6, 1.2, "inferno")))
    width = picture.shape[1] // 8
    colours = mpl.colormaps["inferno"]
    np.testing.assert_allclose(picture[0, 0], colours(0.5)[:3], atol=0.01)
    np.testing.assert_allclose(picture[0, 6 * width], colours(1.0)[:3], atol=0.01)  # above the window: its end
    np.testing.assert_allclose(picture[0, 7 * width], colours(0.0)[:3], atol=0.01)  # not a number: its beginning


def test_the_outline_is_the_border_of_the_mask_and_not_its_inside() -> None:
    shape = (12, 12, 2)
    mask = np.zeros(shape, dtype=bool)
    mask[3:9, 3:9, :] = True
    whole = Volume(np.ones(shape, dtype=bool), np.eye(4))
    picture = decoded(map_picture(np.zeros(shape, dtype=np.float32), Cut.through(whole, None), Window(0, 1), mask))
    drawn = (np.abs(picture - OUTLINE).max(axis=-1) < 0.01) & (picture.max(axis=-1) > 0.5)
    times = picture.shape[0] // 12
    assert drawn[3 * times, 3 * times : 9 * times].all()
    assert not drawn[4 * times : 8 * times, 4 * times : 8 * times].any()
    side = 6 * times
    assert drawn.sum() == side**2 - (side - 4) ** 2  # a line of two pixels inside a square


def test_agreement_has_the_papers_four_colours(brain: Volume) -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    order = (OUTSIDE, NEITHER, BOTH, TRUE_ONLY, PREDICTED_ONLY)
    for i, label in enumerate(order):
        labels[i] = label
    background = np.full(SHAPE, 1.0, dtype=np.float32)
    picture = decoded(agreement_picture(labels, background, Cut.through(brain, None), Window(0, 1)))
    width = picture.shape[1] // 8
    seen = [picture[0, (7 - i) * width] for i in range(5)]
    np.testing.assert_allclose(seen[0], [0.75] * 3, atol=0.01)
    for label, colour in zip(order[1:], seen[1:], strict=True):
        np.testing.assert_allclose(colour, mpl.colors.to_rgb(AGREEMENT[label][0]), atol=0.01)
    yellow, white, red, orange = (AGREEMENT[label][0] for label in (BOTH, NEITHER, TRUE_ONLY, PREDICTED_ONLY))
    assert (yellow, white, red, orange) == ("#ffd60a", "#ffffff", "#e01e26", "#ff8c1a")
