"""Activation checkpointing: what a part of a network computes inside is forgotten, and computed again on the way back.

Training holds every activation from the forward pass until the backward pass needs it. A network that forgets holds
only what goes from part to part, for the price of a second forward pass (Chen et al. 2016, arXiv:1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class InParts(nn.Module):
    """A network that goes through its parts by `part`, which may forget.

    Attributes
    ----------
    forgets
        Whether what is inside a part is computed again on the way back instead of being held.
    """

    forgets = False

    def part(self, part: Callable[..., Tensor], *given: Tensor) -> Tensor:
        """Return ``part(*given)``; the gradients are the same to float error, whether it forgets or not.

        Parameters
        ----------
        part
            A layer, or a function of layers of this network.
        given
            What it is given, which is held; it must not be changed in place afterwards.
        """
        if self.forgets and torch.is_grad_enabled():
            # the same dropout is drawn again: the random state is kept with the part
            out: Tensor = checkpoint(part, *given, use_reentrant=False)
            return out
        return part(*given)


def set_forgetting(network: nn.Module, forgets: bool) -> None:
    """Let every network inside ``network`` that goes through parts forget, or hold, what is inside them."""
    for module in network.modules():
        if isinstance(module, InParts):
            module.forgets = forgets
