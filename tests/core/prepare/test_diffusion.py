"""Tensor maps: a known tensor, dipy's own numbers, an independent fit, motion with rotated gradients, real data."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_myelin.core.data.volume import read_volume
from napari_myelin.core.prepare import motion
from napari_myelin.core.prepare.options import DtiOptions
from napari_myelin.core.prepare.registration import Alignment
from napari_myelin.core.prepare.series import Series
from napari_myelin.core.prepare.single import make_dti

REAL = Path(__file__).parents[4] / "shared" / "real"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")


def independent(data: np.ndarray, bvals: np.ndarray, bvecs: np.ndarray) -> np.ndarray:
    """Eigenvalues, largest first, of a weighted least squares fit written out: ordinary fit, then its weights."""
    x, y, z = bvecs.T
    design = np.column_stack(
        [-bvals * each for each in (x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z)] + [np.ones(len(bvals))]
    )
    values = []
    for signal in data.reshape(-1, data.shape[-1]):
        logs = np.log(np.maximum(signal, 1e-4))
        ordinary = np.linalg.lstsq(design, logs, rcond=None)[0]
        weights = np.exp(design @ ordinary)
        d = np.linalg.lstsq(design * weights[:, None], logs * weights, rcond=None)[0]
        tensor = [[d[0], d[3], d[4]], [d[3], d[1], d[5]], [d[4], d[5], d[2]]]
        values.append(np.linalg.eigvalsh(tensor)[::-1])
    return np.reshape(values, (*data.shape[:-1], 3))


@real
@pytest.mark.parametrize("name", ["small_64D.nii", "small_101D.nii.gz"])
def test_maps_of_real_crops_equal_dipys_and_an_independent_fit(name: str, tmp_path: Path) -> None:
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    source = REAL / "dwi-brain" / name
    stem = name.split(".")[0]
    everywhere = tmp_path / "mask.nii.gz"
    image = nib.load(source)
    nib.save(nib.Nifti1Image(np.ones(image.shape[:3], np.uint8), image.affine), everywhere)
    tables = source.with_name(stem + ".bval"), source.with_name(stem + ".bvec")
    made = make_dti(source, tmp_path, DtiOptions(dwi_motion=False), tables, everywhere)
    bvals, bvecs = np.loadtxt(tables[0]).ravel(), np.nan_to_num(np.loadtxt(tables[1]))
    bvecs = bvecs if bvecs.shape[1] == 3 else bvecs.T
    data = image.get_fdata()
    theirs = TensorModel(gradient_table(bvals, bvecs=bvecs, b0_threshold=50), fit_method="WLS").fit(data)
    fa, md, ad, rd = (read_volume(made.files[each]).array for each in ("FA", "MD", "AD", "RD"))
    np.testing.assert_allclose(fa, theirs.fa, atol=1e-5)
    np.testing.assert_allclose(md, 1000 * theirs.md, atol=1e-5)
    np.testing.assert_allclose(ad, 1000 * theirs.ad, atol=1e-5)
    np.testing.assert_allclose(rd, 1000 * theirs.rd, atol=1e-5)
    ours = 1000 * independent(data, bvals, bvecs)
    normal = (ours.min(axis=-1) > 0) & (data.min(axis=-1) > 0)  # where no value is clipped
    assert normal.mean() > 0.8
    np.testing.assert_allclose(md[normal], ours.mean(axis=-1)[normal], rtol=2e-3)
    np.testing.assert_allclose(ad[normal], ours[..., 0][normal], rtol=2e-3)


@real
def test_a_real_spinal_cord_comes_out_sane(tmp_path: Path) -> None:
    folder = REAL / "cord" / "dmri"
    made = make_dti(
        folder / "dmri.nii.gz", tmp_path, DtiOptions(dwi_motion=False), (folder / "bvals.txt", folder / "bvecs.txt")
    )
    fa, ad, rd = (read_volume(made.files[each]).array for each in ("FA", "AD", "RD"))
    assert fa.min() >= 0
    assert fa.max() <= 1
    assert (ad >= rd - 1e-6).all()
    assert 0.3 < made.medians["MD"] < 2.5


AFFINE = np.array([[-2.0, 0, 0, 35], [0, 2, 0, -39], [0, 0, 2, -31], [0, 0, 0, 1]])
SHAPE = (36, 40, 32)


def head(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signal without weighting, whether there are fibres, and their direction, at points of the head in mm."""
    radius = np.linalg.norm(points / [30, 34, 27], axis=-1)
    x, y, z = np.moveaxis(points, -1, 0)
    texture = 1 + 0.3 * np.sin(x / 6) * np.cos(y / 7 + 1) + 0.2 * np.sin(z / 5 + x / 9)
    signal = 400 * texture / (1 + np.exp(40 * (radius - 1)))
    axis = np.array([0.5, 0.4, 0.77])
    direction = np.cross(axis / np.linalg.norm(axis), points)
    away = np.linalg.norm(direction, axis=-1)
    return signal, (away > 8) & (away < 20) & (radius < 0.95), direction / np.maximum(away, 1e-6)[..., None]


def moving_series(folder: Path, angle: float, convention: str = "fsl") -> tuple[Path, np.ndarray]:
    """A head that turns and shifts between volumes, FA .681 in its fibres; the path and where they are at first."""
    random = np.random.default_rng(0)
    index = np.arange(16) + 0.5
    polar, azimuth = np.arccos(1 - index / 16), np.pi * (1 + 5**0.5) * index
    vectors = np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)
    vectors, bvals = np.vstack([np.zeros(3), vectors]), np.array([0.0] + [1000] * 16)
    points = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    data = np.empty((*SHAPE, len(bvals)), dtype=np.float32)
    for number, (bval, vector) in enumerate(zip(bvals, vectors, strict=True)):
        still = number == 0
        turn = Rotation.from_rotvec(np.deg2rad(0 if still else angle) * random.uniform(-1, 1, 3)).as_matrix()
        shift = (0 if still else angle / 4) * random.uniform(-1, 1, 3)
        signal, fibres, direction = head((points - shift) @ turn)
        along = (direction @ (turn.T @ vector)) ** 2
        data[..., number] = signal * np.exp(-bval * np.where(fibres, 4e-4 + 11e-4 * along, 8e-4))
    data += 4 * random.standard_normal(data.shape, dtype=np.float32)
    path = folder / "sub-1_dwi.nii.gz"
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    np.savetxt(folder / "sub-1_dwi.bval", bvals[None])
    # the image is left-handed: its first axis runs from right to left, and so does FSL's
    np.savetxt(folder / "sub-1_dwi.bvec", (vectors * ([-1, 1, 1] if convention == "fsl" else [1, 1, 1])).T)
    return path, head(points)[1]


def test_motion_is_undone_and_the_gradients_turned(tmp_path: Path) -> None:
    path, fibres = moving_series(tmp_path, angle=8)
    errors = {}
    for corrected in (True, False):
        made = make_dti(path, tmp_path / str(corrected), DtiOptions(dwi_motion=corrected))
        errors[corrected] = np.abs(read_volume(made.files["FA"]).array[fibres] - 0.681).mean()
        assert any("FSL's convention (fibres agree)" in note for note in made.notes)
    assert errors[True] < 0.06
    assert errors[False] > 2 * errors[True]


def test_a_table_in_scanner_axes_is_noticed(tmp_path: Path) -> None:
    path, _ = moving_series(tmp_path, angle=0, convention="scanner")
    made = make_dti(path, tmp_path / "out", DtiOptions(dwi_motion=False))
    assert any("scanner's axes" in note for note in made.notes)


def test_a_volume_that_cannot_be_registered_is_left_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    far = np.eye(4)
    far[0, 3] = 40
    near = np.eye(4)
    near[1, 3] = 2
    found = iter([far, near])
    monkeypatch.setattr(motion, "align", lambda *given, **more: Alignment(next(found), 0.1, 0.2))
    series = Series(np.ones((5, 5, 5, 3), dtype=np.float32), np.eye(4))
    made = motion.estimate_motion(series, series.volume(0), [[1], [2]], np.ones((5, 5, 5), dtype=bool))
    assert made.lost == (1,)
    np.testing.assert_array_equal(made.matrices[:2], [np.eye(4)] * 2)
    np.testing.assert_allclose(made.shift, [0, 0, 2])
    assert "volumes 1 (from 0) could not be registered" in made.notes()[1]
