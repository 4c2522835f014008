"""The voxelwise baselines of a study: trained on a fold, or for the practical ceiling on further phantoms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.data.volume import write_atomically
from napari_myelin.core.evaluation.baselines import LinearFit
from napari_myelin.core.evaluation.boosting import BoostingFit, drawn
from napari_myelin.core.events import Progress, StopRequest
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.runtime import derive_seed
from napari_myelin.core.study.options import Study

Predictor = Callable[[Subject], np.ndarray]


def maps_of(subject: Subject, names: Sequence[str], resample: bool) -> dict[str, np.ndarray]:
    """Return a subject's MR maps by name, (I, J, K) on its own grid."""
    return {name: subject.volume(name, resample).array for name in names}


def train_linear(training: Sequence[Subject], inputs: str, study: Study) -> Predictor:
    """Return the voxelwise linear model of these subjects, as a function from a subject to its DVR (I, J, K)."""
    names, resample = inputs.split("+"), study.options.data.resample
    fit = LinearFit(names)
    for subject in training:
        mri = np.stack(list(maps_of(subject, names, resample).values()))
        fit.add(mri, subject.volume("dvr", resample).array, subject.brain(resample).array)
    baseline = fit.solve()

    def predictor(subject: Subject) -> np.ndarray:
        return baseline.predict(maps_of(subject, names, resample), subject.brain(resample).array)

    return predictor


def train_boosting(training: Sequence[Subject], inputs: str, study: Study) -> Predictor:
    """Return gradient boosting on the voxels of these subjects, as a function from a subject to its DVR (I, J, K)."""
    seed = derive_seed(study.study.seed, "boosting", inputs) % 2**31
    fit, random = BoostingFit(seed), np.random.default_rng(seed)
    for subject in training:
        fit.add(*_drawn(subject, "dvr", inputs, study, random))
    return _boosted(fit, inputs, study)


def train_ceiling(
    phantom: PhantomOptions, inputs: str, study: Study, folder: Path, stop: StopRequest
) -> Generator[Progress, None, Predictor | None]:
    """Return gradient boosting on further patients of a phantom whose DVR has no noise: what more data could give.

    What was drawn from each patient is kept, so that a study that was stopped or killed simulates nobody twice.

    Parameters
    ----------
    phantom
        Of the study's cohort; the further patients have another seed.
    inputs
        Names of the maps with + between.
    study
        How many patients.
    folder
        Where what was drawn is kept; whoever calls may delete it afterwards.
    stop
        Read between patients; the generator's value is None where it was asked to stop.
    """
    seed = derive_seed(phantom.seed, "ceiling") % 2**31
    further = phantom.model_copy(update={"patients": study.study.ceiling_patients, "controls": 0, "seed": seed})
    of = hashlib.sha256(f"{further.model_dump_json()} {inputs} {study.study.voxels}".encode()).hexdigest()[:12]
    fit = BoostingFit(seed)
    for index in range(further.patients):
        if stop:
            return None
        path = folder / of / f"{index:05d}.npz"
        if not path.exists():
            random = np.random.default_rng((seed, index))
            subject = make_subject(index, further).subject()
            _keep(path, *_drawn(subject, "noisefree", inputs, study, random))
        with np.load(path) as kept:
            fit.add(kept["features"], kept["targets"])
        yield Progress("simulating further patients", index + 1, further.patients)
    return _boosted(fit, inputs, study)


def _keep(path: Path, features: np.ndarray, targets: np.ndarray) -> None:
    buffer = BytesIO()
    np.savez(buffer, features=features, targets=targets)
    write_atomically(path, buffer.getvalue())


def _drawn(
    subject: Subject, target: str, inputs: str, study: Study, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    resample = study.options.data.resample
    brain = subject.brain(resample)
    nothing = np.zeros(brain.shape, dtype=bool)
    lesion = subject.volume("lesion", resample).array if subject.has("lesion") else nothing
    maps, dvr = maps_of(subject, inputs.split("+"), resample), subject.volume(target, resample).array
    return drawn(maps, dvr, brain.spacing, brain.array, lesion, voxels=study.study.voxels, random=random)


def _boosted(fit: BoostingFit, inputs: str, study: Study) -> Predictor:
    boosting, resample = fit.solve(), study.options.data.resample

    def predictor(subject: Subject) -> np.ndarray:
        brain = subject.brain(resample)
        return boosting.predict(maps_of(subject, inputs.split("+"), resample), brain.spacing, brain.array)

    return predictor


def noise_free(subject: Subject) -> np.ndarray:
    """Return a phantom subject's DVR before the noise (I, J, K): what a perfect prediction would be.

    Raises
    ------
    MyelinError
        If the subject has none.
    """
    return np.asarray(subject.volume("noisefree").array)
