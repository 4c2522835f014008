"""The linear baseline is least squares."""

from __future__ import annotations

import numpy as np

from napari_myelin.core.evaluation.baselines import LinearBaseline, LinearFit


def test_fit_subject_by_subject_equals_least_squares_on_all_voxels() -> None:
    random = np.random.default_rng(0)
    fit = LinearFit(("MTR", "RD"))
    designs, targets = [], []
    for _ in range(3):
        mri = np.stack([random.uniform(30, 50, (6, 5, 4)), random.uniform(0.4, 1.0, (6, 5, 4))])
        mask = random.random((6, 5, 4)) > 0.3
        dvr = 0.2 + 0.02 * mri[0] - 0.3 * mri[1] + random.normal(0, 0.05, (6, 5, 4))
        fit.add(mri, dvr, mask)
        designs.append(np.stack([np.ones(mask.sum()), mri[0][mask], mri[1][mask]], axis=1))
        targets.append(dvr[mask])
    expected = np.linalg.lstsq(np.concatenate(designs), np.concatenate(targets), rcond=None)[0]
    np.testing.assert_allclose(fit.solve().coefficients, expected, rtol=1e-8)


def test_prediction_is_the_weighted_sum_inside_the_brain_and_zero_outside() -> None:
    baseline = LinearBaseline(("MTR", "RD"), (0.5, 0.01, -0.2))
    brain = np.array([[[True, False]]])
    predicted = baseline.predict({"MTR": np.array([[[40.0, 40.0]]]), "RD": np.array([[[0.5, 0.5]]])}, brain)
    np.testing.assert_allclose(predicted, [[[0.5 + 0.4 - 0.1, 0.0]]], rtol=1e-6)
    assert predicted.dtype == np.float32


def test_collinear_maps_give_a_finite_answer() -> None:
    fit = LinearFit(("A", "B"))
    values = np.linspace(1, 2, 27).reshape(3, 3, 3)
    fit.add(np.stack([values, values]), 3 * values, np.ones((3, 3, 3), dtype=bool))
    baseline = fit.solve()
    assert np.isfinite(baseline.coefficients).all()
    out = baseline.predict({"A": values, "B": values}, np.ones((3, 3, 3), dtype=bool))
    np.testing.assert_allclose(out, 3 * values, rtol=1e-4)


def test_json_round_trip() -> None:
    baseline = LinearBaseline(("MTR",), (0.1, 0.02))
    assert LinearBaseline.from_dict(baseline.to_dict()) == baseline
