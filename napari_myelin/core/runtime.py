"""Device, precision, threads, ranks (Lightning Fabric) and randomness that depends on nothing else."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch

from napari_myelin.core.device_memory import free_memory as free_memory
from napari_myelin.core.device_memory import out_of_memory as out_of_memory
from napari_myelin.core.device_memory import release_memory as release_memory
from napari_myelin.core.errors import MyelinError, UsageError
from napari_myelin.core.guard import guarded
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.precision import Precision, resolve_precision

if TYPE_CHECKING:  # it takes longer to import than torch, and who predicts on one device does without
    from lightning_fabric import Fabric

NetworkType = TypeVar("NetworkType", bound=torch.nn.Module)


def resolve_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    MyelinError
        If that device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there[name]:
        found = ", ".join(kind for kind, present in there.items() if present)
        raise MyelinError(f'device "{name}" is not available here: choose one of {found}, or auto')
    return torch.device(name)


@dataclass(frozen=True)
class Device:
    """A processor: torch's ``name`` (``cpu``, ``cuda:0``), what it is in words, and its ``free`` bytes (0: unknown)."""

    name: str
    words: str
    free: int


def devices() -> list[Device]:
    """Return every processor that can be computed on: the CPU first, then each GPU."""
    found = [Device("cpu", f"CPU, {os.cpu_count() or 1} cores", free_memory(torch.device("cpu")))]
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            name = f"cuda:{number}"
            found.append(Device(name, torch.cuda.get_device_name(number), free_memory(torch.device(name))))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", 0))
    return found


def launch(options: RuntimeOptions) -> Fabric:
    """Return a launched Fabric: with several devices, this is where the other ranks start.

    Under torchrun or SLURM the ranks exist already and Fabric finds them in the environment.

    Raises
    ------
    MyelinError
        If the device is not there, there are too few, or it cannot do the precision.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    device, precision = _device_for(options)
    local, nodes = _processes(options)
    if device.type == "cuda" and local > (there := torch.cuda.device_count()):
        raise MyelinError(f"{local} CUDA devices are asked for and {there} are here: lower --devices")
    several = local * nodes > 1
    # the run's own events say what it computes in, to whoever asked to hear of them
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=device.type,
        devices=local,
        num_nodes=nodes,
        # the others wait while the first reads a cohort, however large; who is gone is found otherwise (guard.py)
        strategy=DDPStrategy(timeout=timedelta(days=1)) if several else "auto",
        precision=precision,
    )
    if several and not torch.distributed.is_initialized():
        with guarded():
            fabric.launch()
        # Fabric leaves gloo's threads running, and a process that ends over them aborts now and then
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class Alone:
    """One process on one device, and what `Fabric` has to say of it."""

    device: torch.device
    precision: Precision
    global_rank: int = 0
    world_size: int = 1
    is_global_zero: bool = True

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of the precision."""
        if self.precision == "32-true":
            return nullcontext()
        half = torch.bfloat16 if self.precision == "bf16-mixed" else torch.float16
        return torch.autocast(self.device.type, dtype=half)

    def barrier(self) -> None:
        """Nobody is waited for."""


Processes: TypeAlias = "Fabric | Alone"


def launch_prediction(options: RuntimeOptions) -> Processes:
    """Return as `launch` does, for work without gradients: a single process is `Alone`.

    Raises
    ------
    MyelinError
        As `launch`.
    """
    if _processes(options) == (1, 1):
        return Alone(*_device_for(options))
    return launch(options)


def precision_of(fabric: Processes) -> str:
    """Return the precision that is computed in, which is never ``auto``."""
    return fabric.precision if isinstance(fabric, Alone) else str(fabric.strategy.precision.precision)


def _device_for(options: RuntimeOptions) -> tuple[torch.device, Precision]:
    device = resolve_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    return device, resolve_precision(options.precision, device)


def _processes(options: RuntimeOptions) -> tuple[int, int]:
    """Return devices a node and nodes: what torchrun started, or else the options."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return options.devices, options.num_nodes
    world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    asked = options.devices * options.num_nodes
    if asked not in (1, world):
        raise UsageError(f"torchrun started {world} processes, the options ask for {asked}: leave out --devices")
    return local, world // local


def to_device(network: NetworkType, device: torch.device) -> NetworkType:
    """Return a network on ``device``, its 3D kernels in channels-last memory, which convolutions are faster in."""
    if any(parameter.device != device for parameter in network.parameters()):  # weights without values do not move
        network.to(device)
    for parameter in network.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a processor's tensor on ``device``; to a GPU it is copied behind the kernels under way: nobody waits."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)  # only from page-locked memory it goes by itself
    return tensor.to(device)


def any_rank(said: bool, fabric: Fabric) -> bool:
    """Return whether any rank said so, the same answer on all of them: ranks must stop at the same step."""
    if fabric.world_size == 1:
        return said
    flag = torch.tensor(float(said), device=fabric.device)
    return bool(fabric.all_reduce(flag, reduce_op="sum") > 0)  # type: ignore[operator]


def is_first_rank() -> bool:
    """Return whether this process is the one that writes and speaks, before or after launch."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", os.environ.get("LOCAL_RANK", "0")))) == 0


def derive_seed(seed: int, *key: int | str) -> int:
    """Return a seed that depends on ``seed`` and ``key`` alone, so that a resumed run needs no random state."""
    text = "/".join(str(part) for part in (seed, *key))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def generator(device: torch.device | str, seed: int, *key: int | str) -> torch.Generator:
    """Return a generator on ``device`` seeded by `derive_seed`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *key))


@contextmanager
def seeded(device: torch.device, seed: int, *key: int | str) -> Iterator[None]:
    """Run a block (dropout draws from torch's own stream) with a stream of its own; the outer one is untouched."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, *key))
        yield


def fill_noise(like: torch.Tensor, seed: int, *key: int | str) -> torch.Tensor:
    """Return the noise z, standard normal, (B, 1, I, J, K), for images ``like`` (B, M, I, J, K).

    Drawn on the CPU, so that a seed means the same noise on every device.
    """
    shape = (like.shape[0], 1, *like.shape[2:])
    return torch.randn(shape, generator=generator("cpu", seed, *key)).to(like.device)


def draw_noise(like: torch.Tensor, seed: int, *key: int | str) -> torch.Tensor:
    """Return the noise z as `fill_noise` does, drawn on the device itself where that is a GPU, with numbers of its own.

    To draw it on the CPU and carry it over takes longer than a step on a GPU, and nobody wants a training's z again.
    """
    if like.device.type != "cuda":
        return fill_noise(like, seed, *key)
    shape = (like.shape[0], 1, *like.shape[2:])
    return torch.randn(shape, generator=generator(like.device, seed, *key), device=like.device)
