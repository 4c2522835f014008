"""Random cubes: whole pieces of the subject, on lesions as often as asked for, decided by the seed."""

from __future__ import annotations

import pytest
import torch

from napari_myelin.core.options import TrainingOptions
from napari_myelin.core.training.cubes import cut
from napari_myelin.core.training.step import Sample

SHAPE = (32, 40, 24)
WAYS = ((), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3))


def whole() -> Sample:
    """A subject whose values say where they are: 1 to 30720, a brain without its first plane, a lesion of one voxel."""
    number = torch.arange(32 * 40 * 24, dtype=torch.float32).view(1, 1, *SHAPE) + 1
    regions = torch.zeros(1, 1, *SHAPE, dtype=torch.uint8)
    regions[0, 0, 20, 30, 10] = 2
    brain = torch.ones(1, 1, *SHAPE)
    brain[:, :, 0] = 0
    return Sample(torch.cat([number, -number], 1), number, regions, brain, number * 10, seed=3)


def options(**values: object) -> TrainingOptions:
    return TrainingOptions.model_validate({"crop": 16, "crops": 4, **values})


def test_cubes_are_pieces_of_the_subject_the_same_of_every_array() -> None:
    subject = whole()
    cubes = cut(subject, options(), 0, 1, "sub-01")
    assert cubes.dvr.shape == (4, 1, 16, 16, 16)
    assert cubes.mri.shape == (4, 2, 16, 16, 16)
    torch.testing.assert_close(cubes.mri[:, :1], cubes.dvr)
    torch.testing.assert_close(cubes.condition, 10 * cubes.dvr)
    for cube in cubes.dvr[:, 0]:
        i, j, k = (int(where[0]) for where in torch.where(subject.dvr[0, 0] == cube[0, 0, 0]))
        assert torch.equal(cube, subject.dvr[0, 0, i : i + 16, j : j + 16, k : k + 16])


def test_a_focused_cube_holds_its_lesion_and_the_seed_decides_where() -> None:
    cubes = cut(whole(), options(focus=1.0, crops=16), 0, 1, "sub-01")
    assert ((cubes.regions == 2).flatten(1).sum(1) == 1).all()
    assert len({float(cube[0, 0, 0, 0]) for cube in cubes.dvr}) > 8  # not always in the same place
    again, other = (cut(whole(), options(focus=1.0, crops=16), 0, step, "sub-01") for step in (1, 2))
    assert torch.equal(cubes.dvr, again.dvr)
    assert not torch.equal(cubes.dvr, other.dvr)


def test_a_cube_is_never_larger_than_the_grid() -> None:
    cubes = cut(whole(), options(crop=32), 0, 1, "sub-01")
    assert cubes.dvr.shape[2:] == (32, 32, 24)


@pytest.mark.parametrize(("symmetry", "ways"), [("none", 1), ("sides", 2), ("axes", 8)])
def test_a_cube_is_mirrored_in_every_array_alike(symmetry: str, ways: int) -> None:
    seen = set()
    for step in range(6):
        kept, turned = (cut(whole(), options(symmetry=each, crops=64), step) for each in ("none", symmetry))
        for number, (one, other) in enumerate(zip(kept.dvr, turned.dvr, strict=True)):
            (way,) = [way for way in WAYS if torch.equal(one.flip(way), other)]
            seen.add(way)
            for name in ("mri", "regions", "weights", "condition"):
                before, after = getattr(kept, name)[number], getattr(turned, name)[number]
                assert torch.equal(before.flip(way), after)
    assert len(seen) == ways
    if symmetry == "sides":
        assert seen == {(), (1,)}


def test_jitter_is_a_gain_and_an_offset_of_each_map_inside_the_brain() -> None:
    plain, moved = (cut(whole(), options(jitter=jitter), 0, 1, "sub-01") for jitter in (0.0, 0.1))
    assert torch.equal(plain.dvr, moved.dvr)
    for before, after, weights in zip(plain.mri, moved.mri, plain.weights, strict=True):
        inside = weights[0] > 0
        for one, other in zip(before, after, strict=True):
            assert torch.equal(one[~inside], other[~inside])
            x, y = one[inside].double(), other[inside].double()
            design = torch.stack([x, torch.ones_like(x)], 1)
            gain, offset = torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
            torch.testing.assert_close(design @ torch.stack([gain, offset]), y, rtol=1e-5, atol=0.05)
            assert 0 < abs(float(gain) - 1) < 0.5
