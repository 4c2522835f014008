"""What a run makes: the model as it stands, with its card."""

from __future__ import annotations

from napari_myelin.core.data.usable import target_note
from napari_myelin.core.errors import MyelinError
from napari_myelin.core.inference.model import UNITS, Model, ModelCard, TrainingSummary
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.options import Options
from napari_myelin.core.training.ground import Ground
from napari_myelin.core.training.stage import Best, Position, stage_names


def make_model(
    cascade: Cascade,
    ground: Ground,
    options: Options,
    position: Position,
    *,
    best: Best | None,
    seconds: float,
    device: str,
    precision: str,
    finished: bool = False,
) -> Model:
    """Return the model of the stages that have begun to train, sharing the cascade's weights.

    Parameters
    ----------
    cascade, ground, options, position
        The run as it stands.
    best
        Of the stage under way.
    seconds, device, precision
        How long it has taken, where, and in which arithmetic.
    finished
        Whether every stage is done.

    Raises
    ------
    MyelinError
        If the cohort is not prepared yet.
    """
    if ground.normalisation is None:
        raise MyelinError("the cohort is not prepared yet")
    names = stage_names(options.network.refiners)
    begun = min(position.stage + 1, len(names))
    each = options.training.epochs
    epochs = [each] * position.stage + [min(position.epoch + 1, each)] * (position.stage < len(names))
    summary = TrainingSummary(
        subjects=tuple(subject.key for subject in ground.training),
        validation=tuple(subject.key for subject in ground.validation),
        cohort=ground.cohort,
        digests=dict(ground.cache.digests),
        controls=len(ground.controls),
        phantom=ground.phantom,
        stages=tuple(names[:begun]),
        epochs=tuple(epochs),
        validation_mse=best.mse if best is not None else position.mse,
        seconds=round(seconds, 1),
        device=device,
        precision=precision,
        finished=finished,
    )
    another = target_note({ground.cohort: ground.normalisation.brain_mean["dvr"]})
    units = {name: unit for name, unit in UNITS.items() if name != "dvr" or another is None}
    threshold = ground.threshold
    card = ModelCard(
        modalities=options.data.modalities,
        units={name: units.get(name, "as in the training cohort") for name in (*options.data.modalities, "dvr")},
        stages=begun,
        options=options,
        grid=ground.grid.to_dict(),
        normalisation=ground.normalisation.to_dict(),
        threshold=None if threshold is None else threshold.to_dict(),
        linear=None if ground.linear is None else ground.linear.to_dict(),
        training=summary,
        notes=tuple(ground.notes),
    )
    return Model(cascade.first(begun), card, None if threshold is None else threshold.map)
