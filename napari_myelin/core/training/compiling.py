"""`torch.compile` for the networks of a stage, tried before training begins, and left out where it cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from lightning_fabric import Fabric
from torch import nn

from napari_myelin.core.runtime import any_rank, out_of_memory, release_memory, seeded
from napari_myelin.core.training.step import Sample, StageNets

BACKEND = "inductor"
LONGEST = 160  # letters of the reason that are told; the rest of it is for who writes compilers
NOTE = "torch.compile cannot be used here, trains without it ({})"
_COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "triton")


def compile_networks(nets: StageNets, frozen: list[nn.Module], sample: Callable[[], Sample], fabric: Fabric) -> str:
    """Compile what a stage trains and what it stands on; return why that cannot be, empty where it can.

    The networks are compiled in place: they keep their names and weights. One pass there and back is tried, because
    a compiler that is missing, or that does not know an operation, is only found out by using it; where it fails,
    nothing is compiled. What that pass does not show (a validation, smaller cubes) is compiled when it first comes, and
    may fail then: `by_compiler`.

    Parameters
    ----------
    nets
        Of the stage.
    frozen
        The generators before it.
    sample
        Makes one of its samples, which goes through the frozen generators.
    fabric
        Device and ranks; all compile or none.
    """
    networks = [network for network in (*frozen, nets.generator, nets.discriminator) if network is not None]
    for network in networks:
        network.compile(dynamic=False, backend=BACKEND)
    problem = ""
    try:
        _try(nets, sample(), fabric)
    except Exception as error:
        # a step that runs out of memory is stepped down from, compiled or not
        problem = "" if out_of_memory(error) else reason(error)
    finally:
        for network in networks:
            network.zero_grad()
    release_memory()
    if any_rank(bool(problem), fabric):
        leave_plain(networks)
        return problem or "it failed in another process"
    return ""


def _try(nets: StageNets, sample: Sample, fabric: Fabric) -> None:
    with seeded(sample.mri.device, sample.seed), fabric.autocast():
        generated = nets.generator(torch.cat([sample.mri, sample.condition], dim=1))
    loss = generated.float().mean()
    if nets.discriminator is not None:
        with fabric.autocast():
            loss = loss + nets.discriminator(sample.mri, generated[:, :1].float()).float().mean()
    fabric.backward(loss)


def leave_plain(networks: Iterable[nn.Module]) -> None:
    """Let networks that were compiled be as they were."""
    for network in networks:
        network._compiled_call_impl = None  # torch has no other way back


def by_compiler(error: BaseException) -> bool:
    """Return whether a compiler raised ``error``, and not what it compiled."""
    return any(kind.__module__.startswith(_COMPILERS) for kind in type(error).__mro__)


def reason(error: BaseException) -> str:
    """Return why something could not be compiled, in a line."""
    error = getattr(error, "inner_exception", error)  # what the compiler itself said
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
    return words if len(words) <= LONGEST else f"{words[:LONGEST].rstrip()}..."
