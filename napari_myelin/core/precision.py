"""In which arithmetic a device computes: what is asked for, what it can do, and how it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_myelin.core.errors import UsageError

if TYPE_CHECKING:
    import torch

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def resolve_precision(name: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision that is meant on a device: ``auto`` is bfloat16 where a GPU or processor has units for it.

    Raises
    ------
    UsageError
        If the device cannot do it.
    """
    if name == "auto":
        return "bf16-mixed" if _has_bfloat16(device) else "32-true"
    if name == "16-mixed" and device.type == "cpu":
        raise UsageError('precision "16-mixed" needs a GPU: use "bf16-mixed" or "32-true" on the CPU')
    if name == "bf16-mixed" and device.type == "cuda" and not _has_bfloat16(device):
        raise UsageError('precision "bf16-mixed": this GPU does not compute in bfloat16, use "16-mixed" or "32-true"')
    return name


def _has_bfloat16(device: torch.device) -> bool:
    import torch  # whoever only says which precision it was does without

    # what has no such units is worked around, which is slower than float32
    if device.type == "cpu":
        there: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch that will do
        return any(there.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    # asking wakes the GPU up
    return device.type == "cuda" and bool(torch.cuda.is_bf16_supported(including_emulation=False))


def in_precision(device: str, precision: str) -> str:
    """Return a device in words, with the precision where it is not float32: ``cuda:0, bf16-mixed``."""
    return device if precision in ("", "32-true") else f"{device}, {precision}"
