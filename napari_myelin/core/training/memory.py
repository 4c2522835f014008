"""How much memory training takes, before it is taken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.options import Options


def training_bytes(options: Options, shape: Sequence[int], modalities: int) -> int:
    """Estimate the peak bytes of tensors while a stage trains.

    Networks of the same shapes run on torch's ``meta`` device, which computes nothing, and everything that
    back-propagation would keep is counted; weights, gradients and ADAM's two moments are added.

    Parameters
    ----------
    options
        Networks, losses and batch.
    shape
        Voxels of the network's grid (I, J, K).
    modalities
        Number of MR images M.
    """
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        seen[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        kept.append(tensor)  # alive, so that no storage's number is given out twice
        return tensor

    kept: list[Tensor] = []
    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        generator = build_cascade(options.network, modalities, seed=0).stages[0]
        training = options.training
        seen_at_once = [min(training.crop or edge, edge) for edge in shape]
        cubes = training.crops if training.crop else 1
        image = torch.empty(cubes, modalities + 1, *seen_at_once)
        out = generator(image)
        weights = [generator]
        if options.loss.adversarial:
            discriminator = build_discriminator(options.network, modalities, seed=0)
            discriminator(image[:, :modalities], out[:, :1])
            weights.append(discriminator)
    parameters = sum(p.numel() * p.element_size() for network in weights for p in network.parameters())
    activations = sum(seen.values())
    # the gradient of the widest map on its way back, next to the map itself
    widest = options.network.maps * 2 * 4 * cubes * int(torch.tensor(seen_at_once).prod())
    return options.training.batch * activations + 4 * parameters + 2 * widest


def what_fits(options: Options, shape: Sequence[int], modalities: int, available: int) -> str:
    """Say in words which smaller run would fit into ``available`` bytes."""
    smaller = options
    while smaller.network.maps > 2:
        smaller = smaller.model_copy(
            update={
                "network": smaller.network.model_copy(update={"maps": smaller.network.maps // 2}),
                "training": smaller.training.model_copy(update={"batch": 1}),
            }
        )
        need = training_bytes(smaller, shape, modalities)
        if need < available:
            grid = " x ".join(str(edge) for edge in shape)
            return f"--maps {smaller.network.maps} --batch 1 would fit on {grid} voxels (about {need / 2**30:.1f} GiB)"
    return "no number of maps fits on this grid: take a larger --spacing or a smaller --shape"
