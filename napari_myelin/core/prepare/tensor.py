"""The diffusion tensor and its maps (dipy)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_myelin.core.prepare.libraries import library

SLAB = 1 << 16  # voxels at a time: the fit takes some twenty times their memory
MM2_PER_S = 1000.0  # of 10^-3 mm2/s


@dataclass(frozen=True, eq=False)
class TensorMaps:
    """FA (none, 0 to 1), MD, RD and AD (10^-3 mm2/s), (I, J, K) float32, 0 outside the mask.

    ``direction`` (I, J, K, 3) is the first eigenvector, in the b-vectors' own axes.
    """

    fa: np.ndarray
    md: np.ndarray
    rd: np.ndarray
    ad: np.ndarray
    direction: np.ndarray


def fit_tensor(data: np.ndarray, bvals: np.ndarray, bvecs: np.ndarray, mask: np.ndarray) -> TensorMaps:
    r"""Fit a tensor to each voxel's log signal by weighted least squares and return its maps.

    .. math:: \ln S_n = \ln S_0 - b_n\,g_n^T D\,g_n,\qquad w_n = \hat S_n^2

    with the weights from an ordinary fit (Chung et al. 2006, doi:10.1016/j.neuroimage.2006.07.001; dipy's ``WLS``).
    RD is the mean of the second and third eigenvalue, AD the first, MD the mean of all.

    Parameters
    ----------
    data
        (I, J, K, N) signal.
    bvals, bvecs
        (N,) in s/mm2 and (N, 3).
    mask
        (I, J, K) bool: where to fit.
    """
    table = library("dipy.core.gradients").gradient_table(bvals, bvecs=bvecs, b0_threshold=50)
    model = library("dipy.reconst.dti").TensorModel(table, fit_method="WLS")
    maps = {name: np.zeros(mask.shape, dtype=np.float32) for name in ("fa", "md", "rd", "ad")}
    direction = np.zeros((*mask.shape, 3), dtype=np.float32)
    where = np.flatnonzero(mask)
    curves = data.reshape(-1, data.shape[-1])
    for first in range(0, len(where), SLAB):
        here = where[first : first + SLAB]
        fit = model.fit(curves[here])
        for name, scale in (("fa", 1.0), ("md", MM2_PER_S), ("rd", MM2_PER_S), ("ad", MM2_PER_S)):
            maps[name].flat[here] = np.nan_to_num(getattr(fit, name) * scale)
        direction.reshape(-1, 3)[here] = fit.evecs[..., 0]
    return TensorMaps(**maps, direction=direction)


def denoise(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the series without the components of local patches that look like noise (dipy's ``mppca``).

    Marchenko-Pastur PCA over patches of 5 x 5 x 5 voxels (Veraart et al. 2016, doi:10.1016/j.neuroimage.2016.08.016).

    Parameters
    ----------
    data
        (I, J, K, N) signal before any interpolation, which correlates noise.
    mask
        (I, J, K) bool: elsewhere it is left out.
    """
    return np.asarray(library("dipy.denoise.localpca").mppca(data, mask=mask, patch_radius=2), dtype=np.float32)
