"""Volumes: geometry against nibabel, files that survive a round trip, and those that cannot be read."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_myelin.core.data.volume import Volume, read_grid, read_volume, write_atomically, write_volume
from napari_myelin.core.errors import MyelinError

AFFINE = np.array([[-1.5, 0.2, 0, 30], [0.2, 1.5, 0.1, -40], [0, -0.1, 2.5, 5], [0, 0, 0, 1]])


@pytest.fixture
def volume() -> Volume:
    return Volume(np.random.default_rng(0).normal(1, 0.3, (7, 8, 5)).astype(np.float32), AFFINE)


def test_geometry_is_nibabels(volume: Volume) -> None:
    image = nib.Nifti1Image(volume.array, AFFINE)
    np.testing.assert_allclose(volume.spacing, image.header.get_zooms(), rtol=1e-6)
    assert volume.orientation == "".join(nib.aff2axcodes(AFFINE)) == "LAS"
    assert volume.voxel_volume == pytest.approx(abs(np.linalg.det(AFFINE[:3, :3])))
    np.testing.assert_allclose(volume.world((1, 2, 3)), nib.affines.apply_affine(AFFINE, [1, 2, 3]))


def test_written_file_is_read_by_nibabel_and_by_us(volume: Volume, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "map.nii.gz"
    write_volume(path, volume, intent="dvr", description="what it is")
    image = nib.load(path)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume.array)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.header.get_intent()[2] == "dvr"
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    again = read_volume(path)
    np.testing.assert_array_equal(again.array, volume.array)
    assert again.same_grid(volume)
    before = path.read_bytes()
    write_volume(path, volume, intent="dvr", description="what it is")
    assert path.read_bytes() == before  # no time stamp
    assert [file.name for file in path.parent.iterdir()] == ["map.nii.gz"]


def test_a_name_without_gz_is_not_compressed(volume: Volume, tmp_path: Path) -> None:
    write_volume(tmp_path / "map.nii", volume)
    assert (tmp_path / "map.nii").read_bytes()[:4] == (348).to_bytes(4, "little")  # NIfTI's first field
    np.testing.assert_array_equal(read_volume(tmp_path / "map.nii").array, volume.array)


def test_grid_comes_from_the_header_alone(volume: Volume, tmp_path: Path) -> None:
    path = tmp_path / "map.nii.gz"
    write_volume(path, volume)
    path.write_bytes(path.read_bytes()[:900])  # the header is whole, the values are not
    grid = read_grid(path)
    assert grid.shape == (7, 8, 5)
    np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-6)
    assert grid.array.strides == (0, 0, 0)  # takes no memory
    with pytest.raises(MyelinError, match="cannot be read to its end"):
        read_volume(path)
    with pytest.raises(MyelinError, match="does not exist"):
        read_grid(tmp_path / "nothing.nii.gz")


def test_scaled_integers_are_rounded_to_their_step(volume: Volume, tmp_path: Path) -> None:
    write_volume(tmp_path / "m.nii.gz", volume, step=1e-3)
    image = nib.load(tmp_path / "m.nii.gz")
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.get_fdata(), np.round(volume.array / 1e-3) * 1e-3, atol=1e-6)
    np.testing.assert_allclose(read_volume(tmp_path / "m.nii.gz").array, volume.array, atol=0.51e-3)
    with pytest.raises(ValueError, match="cannot hold"):
        write_volume(tmp_path / "n.nii.gz", volume, step=1e-5)


def test_mask_is_written_as_bytes_and_read_as_bool(tmp_path: Path) -> None:
    mask = Volume(np.random.default_rng(1).random((4, 5, 6)) > 0.5, np.eye(4))
    write_volume(tmp_path / "m.nii.gz", mask)
    assert nib.load(tmp_path / "m.nii.gz").get_data_dtype() == np.uint8
    again = read_volume(tmp_path / "m.nii.gz", mask=True)
    assert again.array.dtype == bool
    np.testing.assert_array_equal(again.array, mask.array)


def test_resampling_reproduces_a_linear_ramp(volume: Volume) -> None:
    points = volume.world(np.moveaxis(np.indices((7, 8, 5)), 0, -1))
    ramp = Volume((points @ [0.1, 0.2, -0.3]).astype(np.float32), AFFINE)
    inner = AFFINE.copy()
    inner[:3, :3] *= 0.5
    inner[:3, 3] += AFFINE[:3, :3] @ [1, 1, 1]
    reference = Volume(np.zeros((8, 9, 5)), inner)
    there = ramp.resampled_to(reference)
    expected = reference.world(np.moveaxis(np.indices(reference.shape), 0, -1)) @ [0.1, 0.2, -0.3]
    np.testing.assert_allclose(there.array, expected, atol=1e-4)
    assert there.same_grid(reference)
    mask = Volume(ramp.array > 0, AFFINE).resampled_to(reference)
    assert mask.array.dtype == bool


def test_same_grid_looks_at_every_corner(volume: Volume) -> None:
    turned = AFFINE.copy()
    turned[:3, 0] += 0.02  # the origin stays, the far corner moves by .12 mm
    assert not volume.same_grid(Volume(volume.array, turned))
    nearly = AFFINE + 0
    nearly[0, 3] += 1e-3
    assert volume.same_grid(Volume(volume.array, nearly))
    assert not volume.same_grid(Volume(volume.array[1:], AFFINE))


def test_a_4d_file_with_one_volume_is_3d(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5, 1), dtype=np.float32), np.eye(4)), tmp_path / "m.nii.gz")
    assert read_volume(tmp_path / "m.nii.gz").shape == (3, 4, 5)


def bad(kind: str, path: Path) -> None:
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32), np.eye(4))
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        nib.save(image, path)
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "text":
        path.write_text("subject\tage\n")
    elif kind == "4D":
        nib.save(nib.Nifti1Image(np.ones((3, 4, 5, 6), dtype=np.float32), np.eye(4)), path)
    elif kind == "colours":
        nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), dtype=[(name, "u1") for name in "RGB"]), np.eye(4)), path)
    elif kind == "complex":
        nib.save(nib.Nifti1Image(np.ones((3, 4, 5), dtype=np.complex64), np.eye(4)), path)
    elif kind in ("nowhere", "type", "offset"):
        raw = bytearray(image.to_bytes())
        first, last = {"nowhere": (280, 328), "type": (70, 72), "offset": (108, 112)}[kind]  # bytes of the header
        raw[first:last] = bytes(last - first) if kind == "nowhere" else b"\x31" * (last - first)
        path.write_bytes(gzip.compress(bytes(raw)) if path.suffix == ".gz" else bytes(raw))
    elif kind == "mask NaN":
        nib.save(nib.Nifti1Image(np.array([0, 1, np.nan], dtype=np.float32).reshape(3, 1, 1), np.eye(4)), path)
    elif kind == "labels":
        nib.save(nib.Nifti1Image(np.arange(27, dtype=np.uint8).reshape(3, 3, 3) % 3, np.eye(4)), path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "does not exist: correct the path"),
        ("empty", "is empty: copy it again"),
        ("truncated", "truncated or damaged"),
        ("text", "(not a NIfTI file|truncated or damaged)"),
        ("4D", r"has shape \(3, 4, 5, 6\), expected three dimensions: extract one volume"),
        ("colours", "holds colours or complex numbers, expected one real number a voxel"),
        ("complex", "holds colours or complex numbers, expected one real number a voxel"),
        ("nowhere", "does not say where its voxels lie"),
        ("type", "truncated or damaged"),
        ("offset", "truncated or damaged"),
        ("mask NaN", "holds NaN or infinity, expected 0 and one label: make it binary"),
        ("labels", "holds the values 0, 1, 2, expected 0 and one label: make it binary"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_it(kind: str, sentence: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"map{suffix}"
    bad(kind, path)
    with pytest.raises(MyelinError, match=sentence) as caught:
        read_volume(path, mask=kind in ("labels", "mask NaN"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, b"before")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MyelinError, match=r"cannot write .*file\.json: No space left on device"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, volume: Volume) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MyelinError, match="cannot write"):
        write_volume(tmp_path / "file" / "map.nii.gz", volume)
