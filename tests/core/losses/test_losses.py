"""Each equation worked by hand, with an empty region, with a lesion of one voxel; gradients by finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_myelin.core.losses.adversarial import discriminator_loss, generator_loss, right_answers
from napari_myelin.core.losses.reconstruction import plain_l1, region_entropy, region_l1, variance_term, weighted_l2


def volume(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, len(values), 1, 1)


def regions(*labels: int) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.uint8).reshape(1, 1, len(labels), 1, 1)


def test_eq_4_is_the_mean_absolute_error_over_all_voxels() -> None:
    # |1 - 0| + |2 - 4| + |3 - 3| + |0 - 1| = 4 over 4 voxels
    assert float(plain_l1(volume(1, 2, 3, 0), volume(0, 4, 3, 1))) == 1.0


def test_eq_5_averages_each_region_then_the_regions() -> None:
    predicted, dvr = volume(1, 2, 3, 0, 5), volume(0, 4, 3, 1, 2)
    # other: (1 + 2) / 2; NAWM: (0 + 1) / 2; lesion of one voxel: 3
    assert float(region_l1(predicted, dvr, regions(0, 0, 1, 1, 2))) == pytest.approx((1.5 + 0.5 + 3) / 3)


def test_eq_5_leaves_an_empty_region_out_of_the_mean() -> None:
    predicted, dvr = volume(1, 2, 3, 0), volume(0, 4, 3, 1)
    assert float(region_l1(predicted, dvr, regions(0, 0, 1, 1))) == pytest.approx((1.5 + 0.5) / 2)
    assert float(region_l1(predicted, dvr, regions(0, 0, 0, 0))) == pytest.approx(float(plain_l1(predicted, dvr)))


def test_eq_5_averages_over_the_subjects_of_a_batch() -> None:
    predicted = torch.cat([volume(1, 2), volume(0, 0)])
    dvr = torch.cat([volume(0, 0), volume(0, 4)])
    where = torch.cat([regions(0, 2), regions(0, 0)])
    # first: other 1, lesion 2; second: other (0 + 4) / 2
    assert float(region_l1(predicted, dvr, where)) == pytest.approx((1.5 + 2.0) / 2)


def test_a_lesion_of_one_voxel_weighs_as_much_as_all_the_rest() -> None:
    dvr = torch.zeros(1, 1, 10, 10, 10)
    where = torch.zeros(1, 1, 10, 10, 10, dtype=torch.uint8)
    where[..., 5, 5, 5] = 2
    predicted = dvr.clone().requires_grad_(True)
    region_l1(predicted + 1, dvr, where).backward()
    assert predicted.grad is not None
    assert float(predicted.grad[..., 5, 5, 5]) == pytest.approx(0.5)
    assert float(predicted.grad.sum()) == pytest.approx(1.0)


def softmax_true(logits: list[float]) -> float:
    generated, true = (math.exp(value) for value in logits)
    return true / (generated + true)


def test_eq_1_is_the_cross_entropy_of_both_maps_averaged_over_the_patches() -> None:
    true, fake = [[0.2, 1.4], [0.5, 0.1]], [[-0.3, 0.9], [2.0, 0.0]]
    expected = -sum(math.log(softmax_true(row)) for row in true) / 2
    expected -= sum(math.log(1 - softmax_true(row)) for row in fake) / 2
    assert float(discriminator_loss(torch.tensor(true), torch.tensor(fake))) == pytest.approx(expected, rel=1e-6)


def test_the_generators_terms_are_minus_log_d_and_log_one_minus_d() -> None:
    fake = [[-0.3, 0.9], [2.0, 0.0]]
    non_saturating = -sum(math.log(softmax_true(row)) for row in fake) / 2
    minimax = sum(math.log(1 - softmax_true(row)) for row in fake) / 2
    logits = torch.tensor(fake)
    assert float(generator_loss(logits)) == pytest.approx(non_saturating, rel=1e-6)
    assert float(generator_loss(logits, "minimax")) == pytest.approx(minimax, rel=1e-6)


def test_both_forms_push_d_towards_true() -> None:
    for form in ("non_saturating", "minimax"):
        logits = torch.tensor([[0.3, -0.2]], requires_grad=True)
        generator_loss(logits, form).backward()
        assert logits.grad is not None
        assert float(logits.grad[0, 1]) < 0 < float(logits.grad[0, 0])


def test_where_d_wins_the_minimax_gradient_vanishes_and_the_other_does_not() -> None:
    gradients = {}
    for form in ("non_saturating", "minimax"):
        logits = torch.tensor([[12.0, 0.0]], requires_grad=True)
        generator_loss(logits, form).backward()
        assert logits.grad is not None
        gradients[form] = float(logits.grad.abs().max())
    assert gradients["minimax"] < 1e-4
    assert gradients["non_saturating"] > 0.99


def test_right_answers_are_counted_over_both_maps() -> None:
    true = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # one right
    fake = torch.tensor([[1.0, 0.0], [2.0, 0.0]])  # both right
    assert float(right_answers(true, fake)) == 0.75


def test_half_precision_logits_give_the_float32_loss() -> None:
    logits = torch.tensor([[20.0, 0.0]])
    assert float(generator_loss(logits.half())) == pytest.approx(20.0, rel=1e-6)


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    where = torch.randint(0, 3, (2, 1, 3, 3, 3), dtype=torch.uint8)
    dvr = torch.randn(2, 1, 3, 3, 3, dtype=torch.float64)
    predicted = torch.randn(2, 1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: plain_l1(p, dvr), predicted)
    assert torch.autograd.gradcheck(lambda p: region_l1(p, dvr, where), predicted)
    # the adversarial terms compute in float32, so by a coarse difference
    logits = torch.randn(4, 2, requires_grad=True)
    for form in ("non_saturating", "minimax"):
        (gradient,) = torch.autograd.grad(generator_loss(logits, form), logits)
        step = torch.zeros_like(logits)
        step[1, 0] = 1e-2
        difference = (generator_loss(logits + step, form) - generator_loss(logits - step, form)) / 2e-2
        assert float(gradient[1, 0]) == pytest.approx(float(difference.detach()), rel=1e-2)


def test_squared_errors_are_weighted_and_averaged_over_the_weights() -> None:
    predicted, dvr = torch.tensor([1.0, 2.0, 5.0]).view(1, 1, 3, 1, 1), torch.zeros(1, 1, 3, 1, 1)
    weights = torch.tensor([1.0, 4.0, 0.0]).view(1, 1, 3, 1, 1)
    assert float(weighted_l2(predicted, dvr, weights)) == pytest.approx((1 * 1 + 4 * 4) / 5)
    assert float(weighted_l2(predicted, dvr, 0 * weights)) == 0.0


def test_the_variance_term_is_least_at_the_variance_of_the_error_and_leaves_the_map_alone() -> None:
    error = torch.tensor([0.5, -1.5, 1.0, -2.0], dtype=torch.float64).view(1, 1, 4, 1, 1).requires_grad_(True)
    dvr, weights = torch.zeros_like(error), torch.tensor([1.0, 1.0, 2.0, 1.0]).view(1, 1, 4, 1, 1)
    squares = (0.25 + 2.25 + 2 * 1.0 + 4.0) / 5
    log_variance = torch.tensor(squares, dtype=torch.float64).log().expand_as(error).clone().requires_grad_(True)
    loss = variance_term(log_variance, error, dvr, weights)
    assert float(loss.detach()) == pytest.approx(np.log(squares) + 1)
    (slope,) = torch.autograd.grad(loss, log_variance, retain_graph=True)
    assert float(slope.sum()) == pytest.approx(0, abs=1e-12)
    assert torch.autograd.grad(loss, error, allow_unused=True) == (None,)


def test_telling_regions_apart_costs_the_weighted_cross_entropy_worked_by_hand() -> None:
    # in the first voxel the true region has a chance of 3 in 5, in the second of 1 in 3
    logits = torch.tensor([[1.0, 1.0], [3.0, 1.0], [1.0, 1.0]]).log().view(1, 3, 2, 1, 1)
    regions, weights = torch.tensor([1, 2]).view(1, 1, 2, 1, 1), torch.tensor([1.0, 4.0]).view(1, 1, 2, 1, 1)
    expected = (np.log(5 / 3) + 4 * np.log(3)) / 5
    assert float(region_entropy(logits, regions, weights)) == pytest.approx(expected)
    assert float(region_entropy(logits, regions, 0 * weights)) == 0.0
