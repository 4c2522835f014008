"""DVR of a dynamic PET: known ratios come back, noise biases them downwards, and the command says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import call, only_error

from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.prepare import libraries
from napari_myelin.core.prepare.dvr import dvr_maps
from napari_myelin.core.prepare.frames import Frames
from napari_myelin.core.prepare.options import DvrOptions
from napari_myelin.core.prepare.series import Series, write_series
from napari_myelin.core.prepare.simulated_pet import curves_of, pib_frames, simulate_pet

RATIOS = (1.0, 0.6, 1.3)  # reference region, CSF, white matter: a slab of the volume each


def volume() -> np.ndarray:
    return np.repeat(np.array(RATIOS, dtype=np.float32), 8)[:, None, None] * np.ones((1, 16, 16), dtype=np.float32)


def fit(noise: float) -> np.ndarray:
    """Return the fitted DVR of each slab, (3, voxels)."""
    truth = volume()
    pet = simulate_pet(np.random.default_rng(0), truth, pib_frames(), noise)
    made = dvr_maps(Series(pet, np.diag([2.0, 2, 2, 1])), pib_frames(), truth == 1, DvrOptions(), truth > 0)
    return made.dvr.array.reshape(3, -1)


def test_the_simulated_reference_tissue_is_the_reference_curve() -> None:
    # at DVR 1 and R1 1 the model's second term vanishes; frames of 1 s are all but instants
    frames = Frames(np.arange(300.0), np.ones(300))
    times = (np.arange(300) + 0.5) / 60
    expected = 14 * np.exp(-0.05 * times) + 5 * np.exp(-0.008 * times) - 19 * np.exp(-0.8 * times)
    np.testing.assert_allclose(curves_of(np.array([1.0]), frames)[0], expected, rtol=1e-6)


def test_known_ratios_come_back_without_noise() -> None:
    for slab, ratio in zip(fit(0.0), RATIOS, strict=True):
        # what is left is Logan's own, of leaving out k2'
        np.testing.assert_allclose(slab, ratio, atol=0.03)


def test_noise_biases_high_ratios_downwards() -> None:
    clean, slight, strong = (fit(noise)[2].mean() for noise in (0.0, 0.05, 0.8))
    assert abs(slight - clean) < 0.003
    assert strong < clean - 0.01


def test_the_command_writes_the_map_and_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames, truth, affine = pib_frames(), volume(), np.diag([2.0, 2, 2, 1])
    pet = tmp_path / "sub-1_trc-11CPIB_pet.nii.gz"
    write_series(pet, Series(simulate_pet(np.random.default_rng(0), truth, frames), affine))
    timing = pet.with_name("sub-1_trc-11CPIB_pet.json")
    table = {"FrameTimesStart": frames.start.tolist(), "FrameDuration": frames.duration.tolist()}
    timing.write_text(json.dumps(table))
    labels = np.where(truth == 1, 8, 2).astype(np.float32)
    labels[-1] = 41
    write_volume(tmp_path / "dseg.nii.gz", Volume(labels, affine))
    words = ("prepare-dvr", pet, "--reference", tmp_path / "dseg.nii.gz", "--out", tmp_path / "out")
    assert call(*words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    path = tmp_path / "out" / "sub-1_trc-11CPIB_model-Logan_meas-DVR_mimap.nii.gz"
    assert told["files"]["DVR"] == str(path)
    np.testing.assert_allclose(read_volume(path).array[20, 8, 8], 1.3, atol=0.03)
    assert call(*words, "--reference-labels", "99") == 1
    assert "holds none of the labels 99 (it holds 2, 8, 41)" in only_error(capsys)
    timing.write_text(json.dumps({name: [each / 60 for each in values] for name, values in table.items()}))
    assert call(*words) == 1
    assert "are in seconds" in only_error(capsys)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> None:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(libraries.importlib, "import_module", absent)
    with pytest.raises(MyelinError, match=r"pip install napari-myelin\[prepare\]"):
        libraries.library("dipy.reconst.dti")
