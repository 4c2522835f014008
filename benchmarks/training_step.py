"""A training step through ``fit`` against a bare loop of the same networks.

    python benchmarks/training_step.py [--steps 40] [--json FILE]

Both run in one process and take turns, step by step, so that whatever else the machine does hits both; the ratio is
the median over pairs. The bare loop is what one would write by hand: tensors held in memory, the same networks,
losses and ADAM, no cache, no events, no record, no check of the losses. A step through ``fit`` is everything from one
`Step` event to the next within an epoch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from table import Row, arguments, machine, report
from torch import Tensor

from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.events import Event, Failed, Step
from napari_myelin.core.losses.adversarial import discriminator_loss, generator_loss
from napari_myelin.core.losses.reconstruction import plain_l1, region_l1
from napari_myelin.core.networks.build import build_cascade, build_discriminator
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.runtime import to_device
from napari_myelin.core.training.fit import fit

TARGET = 1.10
WARM = 3  # pairs left out at the start of each stage
SUBJECTS = 4  # few, so that the ends of epochs, which come on top, are seen at their worst
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """One size of networks and grid."""

    name: str
    preset: str
    shape: tuple[int, int, int]
    spacing: float
    maps: int


CASES = (
    Case("demo networks (8 maps), 48 x 64 x 48", "demo", (48, 64, 48), 2.44, 8),
    Case("paper networks (32 maps), 32 x 64 x 32", "paper", (32, 64, 32), 2.44, 32),
)


def bare_loop(options: Options, shape: tuple[int, int, int], stage: int) -> Callable[[], None]:
    """Return a function that does one step of one stage by hand: D, then G, on one subject held in memory."""
    modalities = len(options.data.modalities)
    cascade = to_device(build_cascade(options.network, modalities, seed=0), CPU)
    discriminator = to_device(build_discriminator(options.network, modalities, seed=0), CPU)
    cascade.requires_grad_(False).eval()
    generator = cascade.stages[stage].requires_grad_(True).train()
    rate = options.training.refiner_rate if stage else options.training.sketcher_rate
    of_generator = torch.optim.Adam(generator.parameters(), lr=rate)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=rate)
    mri = torch.randn(1, modalities, *shape).contiguous(memory_format=torch.channels_last_3d)
    dvr = torch.randn(1, 1, *shape)
    regions = torch.randint(0, 3, (1, 1, *shape), dtype=torch.uint8)

    def condition() -> Tensor:
        noise = torch.randn(1, 1, *shape)
        if stage == 0:
            return noise
        with torch.no_grad():
            return cascade.stage(0, mri, noise)

    def step() -> None:
        fake = generator(torch.cat([mri, condition()], dim=1))
        of_discriminator.zero_grad()
        discriminator_loss(discriminator(mri, dvr), discriminator(mri, fake.detach())).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        discriminator.requires_grad_(False)
        l1 = region_l1(fake, dvr, regions) if stage else plain_l1(fake, dvr)
        (generator_loss(discriminator(mri, fake)) + options.loss.lambda_refiner * l1).backward()
        discriminator.requires_grad_(True)
        of_generator.step()

    return step


def to_next_step(events: Iterator[Event]) -> tuple[Step, bool]:
    """Go on to the next step and return it, and whether nothing but the step happened on the way."""
    alone = True
    for event in events:
        if isinstance(event, Failed):
            raise RuntimeError(event.cause)
        if isinstance(event, Step):
            return event, alone
        alone = False
    raise RuntimeError("the run ended too soon")


def measure(case: Case, steps: int, folder: Path) -> list[Row]:
    """Return a row for each stage of one case."""
    options = options_from(
        {
            "network": {"maps": case.maps},
            "data": {"shape": case.shape, "spacing": case.spacing, "validation": 0.0},
            "training": {"epochs": -(-(steps + WARM) // (SUBJECTS - 1)) + 1},
            "runtime": {"device": "cpu"},
        },
        preset(case.preset),
    )
    events = fit(open_cohort(folder), options, folder / "runs" / case.preset)
    event, _ = to_next_step(events)
    rows = []
    for stage, name in enumerate(("sketcher", "refiner")):
        while event.stage != name:
            event, _ = to_next_step(events)
        bare = bare_loop(options, case.shape, stage)
        ratios, fits, bares, whole = [], [], [], []
        while len(ratios) < steps + WARM:
            first = time.perf_counter()
            event, alone = to_next_step(events)
            second = time.perf_counter()
            bare()
            third = time.perf_counter()
            whole.append((second - first) / (third - second))
            if alone:
                ratios.append(whole[-1])
                fits.append(second - first)
                bares.append(third - second)
        rows.append(_row(f"{case.name}, {name}", ratios[WARM:], fits[WARM:], bares[WARM:], whole[WARM:]))
    return rows


def _row(what: str, ratios: list[float], fits: list[float], bares: list[float], whole: list[float]) -> Row:
    low, middle, high = statistics.quantiles(ratios, n=4)
    measured = (
        f"{middle:.3f} x (quartiles {low:.3f}, {high:.3f}; {len(ratios)} pairs), "
        f"{statistics.median(fits):.3f} s against {statistics.median(bares):.3f} s; "
        f"{statistics.mean(whole):.2f} x with a state saved every {SUBJECTS} steps"
    )
    values = {"ratios": ratios, "fit": fits, "bare": bares, "with_ends_of_epochs": statistics.mean(whole)}
    return Row(what, measured, f"at most {TARGET:.2f} x", middle <= TARGET, values)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=40, help="pairs a stage")
    given = parser.parse_args()
    where = machine()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for case in CASES:
            folder = Path(temporary) / case.preset
            for _ in write_cohort(
                folder, PhantomOptions(patients=SUBJECTS, controls=0, shape=case.shape, spacing=2.44)
            ):
                pass
            rows += measure(case, given.steps, folder)
    report(f"A training step, {torch.get_num_threads()} threads", rows, given.json, where)


if __name__ == "__main__":
    main()
