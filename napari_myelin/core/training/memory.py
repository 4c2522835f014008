"""How much memory training takes, before it is taken."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from napari_myelin.core.heap import LARGEST, USUAL
from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.networks.cascade import Cascade
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.precision import resolve_precision
from napari_myelin.core.runtime import to_device
from napari_myelin.core.training.ledger import Ledger
from napari_myelin.core.training.shelf import cohort_bytes, room_beside
from napari_myelin.core.training.stage import Position, conditioned, open_stage
from napari_myelin.core.training.step import Sample, train_step
from napari_myelin.core.training.stepdown import Change, changed, in_words, next_smaller

CPU = torch.device("cpu")
# what the C library keeps idle between the blocks in use, of what passes through a step without checkpointing and of
# the weights, by fit to what was measured (docs/performance.md, "Memory"); cubes use what the whole volumes that they
# are cut from have left; (of whole volumes, of cubes), in float32 and where activations have 16 bits
IDLE, IDLE_OF_HALF, IDLE_OF_WEIGHTS = (0.36, 0.25), (0.1, 0.0), 1.1
ALWAYS = 5e6  # bytes: code and plans of the kernels


@dataclass(frozen=True)
class StepBytes:
    """Bytes of tensors at the ``peak`` of a step, of those that pass in blocks that the C library keeps, of weights."""

    peak: int
    passing: int
    weights: int


def training_bytes(options: Options, shape: Sequence[int], modalities: int) -> int:
    """Estimate the peak bytes that training adds to the device, or on the CPU to the process.

    A step of the last stage, the very code that trains, is done with tensors that have shapes and no values (torch's
    fake tensors), and the bytes alive are counted at each operation. Tensors are counted exactly; on the CPU what the
    C library keeps idle is added, by a share that was measured. A GPU library's own work space is not known, and the
    cohort that stays on a GPU where it fits is not in it (`resident_bytes`).

    Parameters
    ----------
    options
        Networks, losses, training and precision.
    shape
        Voxels of the network's grid (I, J, K).
    modalities
        Number of MR images M.
    """
    i, j, k = shape
    step = _step_bytes(_essential(options), (i, j, k), modalities)
    if not _on_cpu(options):
        return step.peak
    holding = changed(options, {"checkpointing": False}) if options.training.checkpointing else options
    # as `fit`: who checkpoints wants the memory back
    largest = USUAL if options.training.checkpointing else LARGEST
    passing = _step_bytes(_essential(holding), (i, j, k), modalities, largest).passing
    half = "16" in _essential(options).runtime.precision
    share = (IDLE_OF_HALF if half else IDLE)[options.training.crop > 0]
    idle = int(ALWAYS + share * passing + IDLE_OF_WEIGHTS * step.weights)
    return max(step.peak + idle, _reading_bytes((i, j, k), modalities))


def resident_bytes(options: Options, shape: Sequence[int], modalities: int, subjects: int, free: int) -> int:
    """Return the bytes of the training subjects that stay on a GPU beside a step's; 0 where they do not, or on a CPU.

    Parameters
    ----------
    options, shape, modalities
        As for `training_bytes`.
    subjects
        That train.
    free
        Bytes that the device has.
    """
    size = cohort_bytes(subjects, shape, modalities)
    fits = not _on_cpu(options) and size <= room_beside(training_bytes(options, shape, modalities), free)
    return size if fits else 0


def _on_cpu(options: Options) -> bool:
    return options.runtime.device == "cpu" or (options.runtime.device == "auto" and not torch.cuda.is_available())


def parameters_of(options: Options, modalities: int) -> tuple[int, int]:
    """Return how many parameters a stage's generator and its discriminator have, 0 without one, for M images."""
    with torch.device("meta"):
        generator = build_cascade(options.network, modalities, seed=0).stages[0]
        discriminator = build_discriminator(options.network, modalities, seed=0)
    of_generator, of_discriminator = (sum(p.numel() for p in net.parameters()) for net in (generator, discriminator))
    return of_generator, of_discriminator if options.loss.adversarial else 0


def _essential(options: Options) -> Options:
    """Return options in which all that does not change memory is the default, so that an answer is found again."""
    training = options.training
    kept = {name: getattr(training, name) for name in ("batch", "crop", "crops", "window", "checkpointing", "average")}
    devices = options.runtime.devices * options.runtime.num_nodes
    kept["batch"] = max(1, training.batch // devices)
    own = {"network": options.network.model_dump(), "loss": options.loss.model_dump(), "training": kept}
    # without values 16 bits are 16 bits, and only one kind of them is known to a CPU
    precision = options.runtime.precision
    if precision == "auto":
        precision = resolve_precision(precision, torch.device("cpu" if _on_cpu(options) else "cuda"))
    precision = "bf16-mixed" if "16" in precision else "32-true"
    return options_from({**own, "data": {"shape": None}, "runtime": {"precision": precision}})


@lru_cache(maxsize=64)
def _step_bytes(options: Options, shape: tuple[int, int, int], modalities: int, largest: int = LARGEST) -> StepBytes:
    with FakeTensorMode(), Ledger(largest) as ledger:
        mixed = options.runtime.precision == "bf16-mixed"
        plugin = MixedPrecision("bf16-mixed", "cpu") if mixed else None  # what Fabric takes itself, without a word
        fabric = Fabric(accelerator="cpu", devices=1, plugins=plugin)
        cascade = to_device(build_cascade(options.network, modalities, seed=0), CPU)
        nets = open_stage(Position(stage=options.network.refiners), cascade, options, fabric, steps=1)
        samples = [_sample(options, shape, modalities, cascade, fabric) for _ in range(options.training.batch)]
        train_step(nets, samples, fabric)
        # from the second step on there are ADAM's two moments of every weight, G's last gradient and its average
        own, other = (0 if net is None else _bytes(net) for net in (nets.generator, nets.discriminator))
        lasting = (4 if options.training.average else 3) * own + 2 * other
        weights = _bytes(cascade) + other
    return StepBytes(ledger.peak + lasting, max(0, ledger.kept - weights), weights)


def _bytes(network: torch.nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


def _sample(options: Options, shape: tuple[int, int, int], modalities: int, cascade: Cascade, fabric: Fabric) -> Sample:
    """Return what `make_sample` does, of no values."""
    training, stage = options.training, options.network.refiners

    def volumes(channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(1, channels, *shape, dtype=dtype)

    mri = volumes(modalities).contiguous(memory_format=torch.channels_last_3d)
    sample = Sample(mri, volumes(1), volumes(1, torch.uint8), volumes(1), volumes(1), seed=0)
    if training.crop and training.window:
        return conditioned(cascade, stage, _cubes(sample, options), fabric)
    sample = conditioned(cascade, stage, sample, fabric)
    return _cubes(sample, options) if training.crop else sample


def _cubes(sample: Sample, options: Options) -> Sample:
    i, j, k = (slice(0, min(options.training.crop, edge)) for edge in sample.dvr.shape[2:])

    def cut(part: Tensor) -> Tensor:
        return torch.cat([part[:, :, i, j, k]] * options.training.crops)

    return replace(
        sample,
        mri=cut(sample.mri).contiguous(memory_format=torch.channels_last_3d),
        dvr=cut(sample.dvr),
        regions=cut(sample.regions),
        weights=cut(sample.weights),
        condition=cut(sample.condition),
    )


def _reading_bytes(shape: tuple[int, int, int], modalities: int) -> int:
    # a subject's M maps and target are read, brought onto the grid and stacked, before any is cut into cubes
    i, j, k = shape
    return 4 * i * j * k * (3 * modalities + 2)


def what_fits(options: Options, shape: Sequence[int], modalities: int, available: int) -> str:
    """Say which smaller run would fit into ``available`` bytes: what a run steps down to, or else fewer maps."""
    need = training_bytes(options, shape, modalities)
    for smaller, least, words in _smaller_runs(options, shape):
        # most of them need not be looked at: they would still take more than there is
        if need * least < available and (takes := training_bytes(smaller, shape, modalities)) < available:
            return f"{words} would fit (about {amount(takes)})"
    return "no number of maps fits on this grid: take a larger --spacing or a smaller --shape"


def _smaller_runs(options: Options, shape: Sequence[int]) -> Iterator[tuple[Options, float, str]]:
    """Yield smaller and smaller options, the least share of the memory that they can take, and their flags."""
    smaller, flags, least = options, dict[str, Change](), 1.0
    while (step := next_smaller(smaller, shape)) is not None:
        before, smaller = smaller, changed(smaller, step)
        flags |= step
        # tensors shrink with the voxels seen, weights do not; checkpointing holds a quarter at the very least
        fewer = _voxels(smaller, shape) / _voxels(before, shape)
        least *= 0.25 if "checkpointing" in step else fewer if fewer < 1 else 0.0
        yield smaller, least, in_words(flags)
    while smaller.network.maps > 2:
        fewer_maps = {"network": {"maps": smaller.network.maps // 2}, "training": {"batch": 1}}
        least *= 0.25 / smaller.training.batch
        smaller = options_from(fewer_maps, smaller)
        yield smaller, least, f"{in_words(flags)} --maps {smaller.network.maps} --batch 1".strip()


def _voxels(options: Options, shape: Sequence[int]) -> int:
    training = options.training
    if not training.crop:
        return math.prod(shape)
    return training.crops * math.prod(min(training.crop, edge) for edge in shape)


def amount(size: int) -> str:
    """Return bytes in words: ``340 MiB``, ``9.6 GiB``."""
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
