"""Random cubes of a subject: a step sees more lesions than a brain has, and many a place of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_myelin.core.data.regions import LESION
from napari_myelin.core.options import TrainingOptions
from napari_myelin.core.runtime import derive_seed, sent
from napari_myelin.core.training.fields import with_field
from napari_myelin.core.training.step import Sample


def cut(
    sample: Sample,
    options: TrainingOptions,
    *where: int | str,
    zeros: Sequence[float | None] = (),
    lesion: np.ndarray | None = None,
) -> Sample:
    """Return ``options.crops`` cubes of a subject as one sample; a cube is never larger than the grid.

    Parameters
    ----------
    sample
        A whole subject, N = 1; of arrays that are mapped from the disk, only the cubes are read.
    options
        Edge and number of the cubes, the share put on lesions, jitter and field.
    where
        Stage, epoch, step and subject: with the seed they decide the cubes.
    zeros
        From `field_zeros`, where ``options.field`` is not 0.
    lesion
        (n, 3), the lesions' voxels, where they are known without asking the device for them.
    """
    random = np.random.default_rng(derive_seed(options.seed, "cubes", *where))
    lesion = np.argwhere((sample.regions[0, 0] == LESION).cpu().numpy()) if lesion is None else lesion
    shape = np.asarray(sample.dvr.shape[2:])
    edges = np.minimum(options.crop, shape)
    boxes = []
    for _ in range(options.crops):
        low = random.integers(0, shape - edges + 1)
        if len(lesion) and random.random() < options.focus:
            # the lesion lies anywhere in the middle half of the cube
            middle = lesion[random.integers(len(lesion))] + random.integers(-(edges // 4), edges // 4 + 1)
            low = np.clip(middle - edges // 2, 0, shape - edges)
        boxes.append(tuple(slice(int(a), int(a + edge)) for a, edge in zip(low, edges, strict=True)))

    def pieces(whole: Tensor) -> Tensor:
        return torch.cat([whole[:, :, i, j, k] for i, j, k in boxes])

    mri = pieces(sample.mri)
    if options.jitter:
        # of what the maps are in a brain; the background is the same for every scanner
        drawn = [random.normal(0, options.jitter, (*mri.shape[:2], 1, 1, 1)).astype(np.float32) for _ in range(2)]
        gain, offset = (sent(torch.from_numpy(each), mri.device) for each in drawn)
        inside = pieces(sample.weights) > 0
        mri = mri + inside * (gain * mri + offset)
    if options.field:
        mri = with_field(mri, pieces(sample.weights) > 0, options.field, zeros, random)
    axes = {"none": 0, "sides": 1, "axes": 3}[options.symmetry]
    mirrored = [[axis + 1 for axis in range(axes) if random.random() < 0.5] for _ in boxes]

    def turned(cubes: Tensor) -> Tensor:
        return torch.stack([cube.flip(ways) for cube, ways in zip(cubes, mirrored, strict=True)])

    return Sample(
        turned(mri).contiguous(memory_format=torch.channels_last_3d),
        turned(pieces(sample.dvr)),
        turned(pieces(sample.regions)),
        turned(pieces(sample.weights)),
        turned(pieces(sample.condition)),
        sample.seed,
    )
