"""What a step takes from the processor to a GPU, with devices that stand for one where there is none."""

from __future__ import annotations

import torch
from torch import nn

from napari_myelin.core.training.pace import Average
from napari_myelin.core.training.stage import load_stage_state, stage_state
from napari_myelin.core.training.step import StageNets

META = torch.device("meta")


def nets_on(device: torch.device) -> StageNets:
    generator = nn.Linear(2, 1, device=device)
    nets = StageNets(generator, torch.optim.Adam(generator.parameters()), None, None, 1.0, False, "minimax")
    nets.average = Average(0.9)
    nets.average.follow(generator, 0)
    return nets


def test_an_average_that_was_saved_goes_on_where_the_weights_are() -> None:
    saved = stage_state(nets_on(torch.device("cpu")))  # a state is always read onto the processor
    nets = nets_on(META)
    load_stage_state(nets, saved)
    assert nets.average is not None
    nets.average.follow(nets.generator, 1)
    assert {name: value.device for name, value in nets.average.weights.items()} == {"weight": META, "bias": META}
