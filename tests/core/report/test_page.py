"""The page: what it says of a result, whichever way that falls, and that it needs nothing else."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.evaluation.score import Score
from napari_myelin.core.evaluation.table import Evaluation, Summary, read_evaluation
from napari_myelin.core.events import Epoch, read_events
from napari_myelin.core.inference.cohort import predict_cohort
from napari_myelin.core.inference.evaluate import evaluate_cohort
from napari_myelin.core.inference.model import Model
from napari_myelin.core.inference.outputs import read_outputs
from napari_myelin.core.options import RuntimeOptions
from napari_myelin.core.prediction_options import PredictionOptions
from napari_myelin.core.report.curves import INK, lesion_scatter, loss_curves
from napari_myelin.core.report.page import PageInput, verdict, write_page


def epoch(stage: str, number: int, **losses: float) -> Epoch:
    held = {"mse": 0.02 / number, "loss": 0.1} if number % 2 == 0 else {}
    return Epoch(stage, number, 4, losses, 0.5 if "adversarial" in losses else None, held, 1.0, 1.0)


def evaluation(**cells: float) -> Evaluation:
    rows = [Summary(*name.split("__"), mean=value, sd=math.nan, count=3) for name, value in cells.items()]
    return Evaluation([], rows, ["m"], None, phantom=False)


def test_the_verdict_is_said_whichever_way_it_falls() -> None:
    worse, better = verdict(
        evaluation(
            predicted__mse=0.02, linear__mse=0.01, predicted__lesion_voxel_error=0.05, linear__lesion_voxel_error=0.1
        )
    )
    assert "does not beat the voxelwise linear model: 0.0200 against 0.0100 (2.00 times" in worse
    assert "beats the voxelwise linear model: 0.0500 against 0.1000 (0.50 times" in better
    (equal,) = verdict(evaluation(predicted__mse=0.01, linear__mse=0.01))
    assert "equals" in equal
    (large,) = verdict(evaluation(predicted__mse=77.9329, linear__mse=63.103))  # another target, in hundreds
    assert "77.93 against 63.10 (1.24 times" in large
    assert verdict(evaluation(predicted__mse=0.01)) == []


def test_every_stage_has_its_curves_in_the_pages_own_colour() -> None:
    terms = {"l1": 0.3, "adversarial": 0.7, "discriminator": 1.2}
    events = [epoch(stage, number, **terms) for stage in ("sketcher", "refiner") for number in (1, 2, 3, 4)]
    curves = loss_curves(events)
    assert [stage for stage, _ in curves] == ["sketcher", "refiner"]
    for _, svg in curves:
        assert INK not in svg
        assert "currentColor" in svg
        assert "held-out MSE" in svg
        assert "discriminator loss" in svg
    assert loss_curves(events) == curves  # the same events, the same bytes
    ((_, alone),) = loss_curves([epoch("sketcher", 1, l1=0.3), epoch("sketcher", 3, l1=0.2)])
    assert "discriminator" not in alone
    assert "held-out" not in alone
    assert loss_curves([]) == []


def test_lesions_are_scattered_from_two_on() -> None:
    def of(*pairs: tuple[float, float]) -> Evaluation:
        return Evaluation([Score("sub-01", "MS", "predicted", {}, list(pairs))], [], [], None, phantom=False)

    assert lesion_scatter(of((1.0, 1.1)), "predicted") is None
    svg = lesion_scatter(of((1.0, 1.1), (1.2, 1.1)), "predicted")
    assert svg is not None
    assert "measured mean DVR" in svg
    assert lesion_scatter(of((1.0, 1.1), (1.2, 1.1)), "sketch") is None


class Outside(HTMLParser):
    """Collects what a page would fetch, and its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value and not value.startswith(("data:", "#")):
                self.fetched.append(value)
        if tag not in ("meta", "img", "br", "path", "use"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "img", "br", "path", "use"):
            assert self.open.pop() == tag


@pytest.fixture
def given(model: Model, phantom_cohort: Cohort, trained_run: Path, tmp_path: Path) -> PageInput:
    cohort = phantom_cohort.select(["01", "04"])
    wanted = PredictionOptions(saliency=True, uncertainty=2)
    for _ in predict_cohort([model], cohort, tmp_path / "p", wanted, RuntimeOptions(device="cpu")):
        pass
    for _ in evaluate_cohort(tmp_path / "p", cohort, tmp_path / "e"):
        pass
    return PageInput(
        title="A <title> & more",
        cohort=cohort,
        predictions=read_outputs(tmp_path / "p"),
        evaluation=read_evaluation(tmp_path / "e"),
        events=read_events(trained_run / "events.jsonl"),
        notice="Data: somebody, CC-BY",
        commands=["napari-myelin-train demo --out 'a folder'"],
    )


def test_the_page_is_whole_fetches_nothing_and_says_what_it_is(given: PageInput, tmp_path: Path) -> None:
    text = write_page(tmp_path / "page.html", given).read_text(encoding="utf-8")
    parser = Outside()
    parser.feed(text)
    assert parser.open == []
    assert parser.fetched == []
    assert "A &lt;title&gt; &amp; more" in text
    for words in ("Research software, not a medical device", "these subjects are simulated", "somebody, CC-BY"):
        assert words in text
    assert "sub-01, a patient" in text
    assert "sub-04, a control" in text
    for picture in ("MTR", "FA", "RD", "AD", "Sketch", "Refined", "Measured", "Noise-free truth", "Uncertainty (SD)"):
        assert f'alt="{picture}"' in text
    # the model has seen these subjects, and the page says so
    assert "their scores say little about new subjects" in text


def test_the_pages_numbers_are_the_evaluations(given: PageInput, tmp_path: Path) -> None:
    text = write_page(tmp_path / "page.html", given).read_text(encoding="utf-8")
    plain = re.sub(r"<[^>]+>", "", text)
    for method in given.evaluation.methods:
        row = given.evaluation.of(method, "mse")
        assert row is not None
        assert f"{row.mean:.4f} ({row.sd:.4f})" in plain
    for score in given.evaluation.scores:
        assert f"{score.values['psnr']:.2f}" in plain
