"""The learning rate over a stage, and the running average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_myelin.core.training.pace import LEFT, WARM_UP, Average, averaged, cosine


def test_the_rate_rises_then_falls_along_half_a_cosine() -> None:
    total = 1000
    assert cosine(0, total) == pytest.approx(1 / WARM_UP, rel=1e-3)
    assert cosine(500, total) == pytest.approx(LEFT + (1 - LEFT) / 2)
    assert cosine(250, total) == pytest.approx(LEFT + (1 - LEFT) * (1 + 2**-0.5) / 2)
    assert cosine(total, total) == pytest.approx(LEFT)


def test_the_rise_of_a_short_stage_is_a_tenth_of_it() -> None:
    assert cosine(0, 20) == pytest.approx(0.5, rel=0.01)
    assert cosine(0, 1) == pytest.approx(1.0)


def test_the_average_is_worked_by_hand_and_young_at_first() -> None:
    layer, average = nn.Linear(1, 1, bias=False), Average(0.9)
    values = [1.0, 3.0, 5.0]
    for done, value in enumerate(values):
        layer.weight.data.fill_(value)
        average.follow(layer, done)
    # kept: nothing of nothing, then 2 / 11, then 3 / 12
    second = 1.0 * 2 / 11 + 3.0 * 9 / 11
    assert float(average.weights["weight"]) == pytest.approx(second * 0.25 + 5.0 * 0.75)
    average.follow(layer, 10_000)
    assert float(average.weights["weight"]) == pytest.approx((second * 0.25 + 3.75) * 0.9 + 0.5)


def test_the_average_stands_in_inside_the_block_only() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(7.0)
    with averaged(layer, Average(0.5, {"weight": torch.tensor([[2.0]])})):
        assert layer.weight.item() == 2.0
    assert layer.weight.item() == 7.0
    with averaged(layer, None), averaged(layer, Average(0.5)):
        assert layer.weight.item() == 7.0
