"""Adversarial terms (Eq. 1 to 3) of the patch discriminator.

The paper prints a minus before ``E[log(1 - D)]``; that is a misprint for a plus (Isola et al. 2016,
doi:10.1109/CVPR.2017.632). It sums the cross-entropies of the patches; we take their mean, which is that
over the number of patches, so that the balance with the L1 term does not depend on the grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

GENERATED, TRUE = 0, 1


def discriminator_loss(true_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Return what D minimises: ``-E[log D(x, y)] - E[log(1 - D(x, G(x, z)))]`` (Eq. 1).

    Parameters
    ----------
    true_logits, generated_logits
        (patches, 2): logits of "generated" and "true" for the patches of the true and of the generated map.
    """
    return _cross_entropy(true_logits, TRUE) + _cross_entropy(generated_logits, GENERATED)


def generator_loss(generated_logits: Tensor, form: str = "non_saturating") -> Tensor:
    """Return the adversarial term that G minimises.

    Parameters
    ----------
    generated_logits
        (patches, 2).
    form
        ``"non_saturating"``: ``-E[log D(x, G)]`` (Goodfellow et al. 2014, section 3), whose gradient does not
        vanish while D wins; ``"minimax"``: ``E[log(1 - D(x, G))]``, Eq. 1 as it stands.
    """
    if form == "minimax":
        return -_cross_entropy(generated_logits, GENERATED)
    return _cross_entropy(generated_logits, TRUE)


def right_answers(true_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Return the share of patches that D classifies rightly: 0.5 when it is fooled, 1 when it wins."""
    right = torch.cat([true_logits.argmax(1) == TRUE, generated_logits.argmax(1) == GENERATED])
    return right.float().mean()


def _cross_entropy(logits: Tensor, label: int) -> Tensor:
    # in float32: a half-precision softmax saturates long before D is sure
    target = torch.full((logits.shape[0],), label, device=logits.device)
    return F.cross_entropy(logits.float(), target)
