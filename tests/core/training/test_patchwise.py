"""Training in cubes and predicting in windows: what a Refiner sees, and what the model remembers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.events import Finished
from napari_myelin.core.inference.model import load_model
from napari_myelin.core.inference.predict import predict
from napari_myelin.core.networks.build import build_cascade
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.options import Options
from napari_myelin.core.training.fit import fit
from napari_myelin.core.training.ground import Ground, open_ground, prepare
from napari_myelin.core.training.stage import Position, make_sample
from napari_myelin.core.working import result_of

FABRIC = Fabric(accelerator="cpu", devices=1)


@pytest.fixture(scope="module")
def ground(small: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    opened = result_of(open_ground(small, tiny_options(), tmp_path_factory.mktemp("ground")))
    list(prepare(opened, tiny_options(), FABRIC))
    return opened


def cascade_of(options: Options) -> Cascade:
    return build_cascade(options.network, 4, seed=0).eval()


def test_a_refiner_sees_what_the_frozen_stages_make_of_the_cube_alone(ground: Ground) -> None:
    key = ground.training[0].key
    at, options = Position(stage=1), tiny_options(crop=16, crops=2, window=16)
    cascade = cascade_of(options)
    cubes = make_sample(ground, cascade, key, at, options, FABRIC)
    assert cubes.mri.shape == (2, 4, 16, 16, 16)
    noise = make_sample(ground, cascade, key, Position(), options, FABRIC).condition  # of another stage: another noise
    assert noise.shape == cubes.condition.shape
    whole = make_sample(ground, cascade, key, at, tiny_options(crop=16, crops=2), FABRIC)
    torch.testing.assert_close(whole.mri, cubes.mri)  # the same cubes
    assert not torch.allclose(whole.condition, cubes.condition)  # of the sketch of the whole volume
    seen = []
    cascade.stages[0].register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    again = make_sample(ground, cascade, key, at, options, FABRIC)
    ((given, out),) = seen
    torch.testing.assert_close(given[:, :4], cubes.mri)
    torch.testing.assert_close(again.condition, out[:, :1])
    torch.testing.assert_close(again.condition, cubes.condition)


def test_a_model_trained_in_cubes_predicts_in_its_windows(small: Cohort, tmp_path: Path) -> None:
    options = tiny_options(crop=16, window=16)
    assert isinstance(list(fit(small, options, tmp_path / "run"))[-1], Finished)
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.card.options.training.window == 16
    seen = set()
    model.network.stages[0].register_forward_hook(lambda _, given, __: seen.add(tuple(given[0].shape[2:])))
    predict([model], small.subjects[0])
    assert seen == {(16, 16, 16)}
