"""The voxelwise baselines of a study: trained on a fold, or for the practical ceiling on further phantoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_myelin.core.data.subject import Subject
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.evaluation.baselines import LinearFit
from napari_myelin.core.evaluation.boosting import BoostingFit
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
    fit = BoostingFit(study.study.voxels, seed)
    for subject in training:
        _add(fit, subject, "dvr", inputs, study)
    return _boosted(fit, inputs, study)


def train_ceiling(phantom: PhantomOptions, inputs: str, study: Study) -> Predictor:
    """Return gradient boosting on further patients of a phantom whose DVR has no noise: what more data could give.

    Parameters
    ----------
    phantom
        Of the study's cohort; the further patients have another seed.
    inputs
        Names of the maps with + between.
    study
        How many patients.
    """
    seed = derive_seed(phantom.seed, "ceiling") % 2**31
    further = phantom.model_copy(update={"patients": study.study.ceiling_patients, "controls": 0, "seed": seed})
    fit = BoostingFit(study.study.voxels, seed)
    for index in range(further.patients):
        _add(fit, make_subject(index, further).subject(), "noisefree", inputs, study)
    return _boosted(fit, inputs, study)


def _add(fit: BoostingFit, subject: Subject, target: str, inputs: str, study: Study) -> None:
    resample = study.options.data.resample
    brain = subject.brain(resample)
    nothing = np.zeros(brain.shape, dtype=bool)
    lesion = subject.volume("lesion", resample).array if subject.has("lesion") else nothing
    maps = maps_of(subject, inputs.split("+"), resample)
    fit.add(maps, subject.volume(target, resample).array, brain.spacing, brain.array, lesion)


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


def phantom_options(description: object) -> PhantomOptions:
    """Return what a phantom cohort was simulated with, from its ``dataset_description.json``.

    Raises
    ------
    MyelinError
        If it does not say.
    """
    table = description.get("Phantom") if isinstance(description, dict) else None
    if not isinstance(table, dict):
        raise MyelinError(
            "the cohort does not say how it was simulated, which the practical ceiling needs: "
            "write it anew with phantom, or set ceiling_patients to 0"
        )
    return PhantomOptions.model_validate(table)
