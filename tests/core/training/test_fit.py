"""A run: what it says, what it leaves, how it stops, fails and goes on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_options

from napari_myelin.core.data.cohort import Cohort
from napari_myelin.core.data.subject import Subject
from napari_myelin.core.events import (
    Epoch,
    Event,
    Failed,
    Finished,
    Preview,
    Saved,
    Started,
    Step,
    Stopped,
    StopRequest,
    read_events,
)
from napari_myelin.core.inference.model import load_model, read_card
from napari_myelin.core.inference.predict import Prediction
from napari_myelin.core.options import Options
from napari_myelin.core.options_file import options_from
from napari_myelin.core.training import trainer, validate
from napari_myelin.core.training.fit import fit


def weights(run: Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_model(run / name).network.state_dict()


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


@pytest.fixture(scope="module")
def small(phantom_cohort: Cohort) -> Cohort:
    """Two patients and a control: two train, one is held out."""
    return phantom_cohort.select(["01", "02", "04"])


@pytest.fixture(scope="module")
def uninterrupted(small: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    events = list(fit(small, tiny_options(epochs=2), run))
    assert isinstance(events[-1], Finished), events[-1]
    return run


def test_events_tell_the_whole_run_and_are_recorded(small: Cohort, tmp_path: Path) -> None:
    events = list(fit(small, tiny_options(), tmp_path / "run"))
    started = next(event for event in events if isinstance(event, Started))
    assert (started.stages, started.epochs, started.steps) == (["sketcher", "refiner"], 1, 2)
    assert len(started.training) == 2
    assert len(started.validation) == 1
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.stage, step.step) for step in steps] == [(s, n) for s in ("sketcher", "refiner") for n in (1, 2)]
    assert set(steps[0].losses) == {"discriminator", "balance", "l1", "adversarial", "generator"}
    epoch = next(event for event in events if isinstance(event, Epoch))
    for term in ("discriminator", "l1", "adversarial", "generator"):
        assert epoch.losses[term] == pytest.approx(np.mean([step.losses[term] for step in steps[:2]]))
    assert epoch.losses["generator"] == pytest.approx(epoch.losses["adversarial"] + 100 * epoch.losses["l1"], rel=1e-5)
    assert epoch.balance == pytest.approx(np.mean([step.losses["balance"] for step in steps[:2]]))
    assert set(epoch.validation) == {"mse", "loss"}
    assert any(isinstance(event, Preview) for event in events)
    assert isinstance(events[-1], Finished)
    assert kinds(read_events(tmp_path / "run" / "events.jsonl")) == kinds(events)
    assert not (tmp_path / "run" / "cache").exists()  # subjects' arrays are not left behind


def test_preview_holds_the_maps_of_a_held_out_subject(uninterrupted: Path, small: Cohort) -> None:
    events = read_events(uninterrupted / "events.jsonl")
    preview = [event for event in events if isinstance(event, Preview)][-1]
    with np.load(uninterrupted / preview.path) as arrays:
        true = small.select([preview.subject]).subjects[0].volume("dvr")
        np.testing.assert_allclose(arrays["true"], true.array, atol=1e-3)
        np.testing.assert_allclose(arrays["error"], arrays["refined"] - arrays["true"], atol=5e-3)
        assert {"sketch", "input_MTR", "input_AD", "affine"} <= set(arrays.files)


def test_validation_calls_the_predict_that_users_call(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(models: Any, subject: Subject, **options: Any) -> Prediction:
        asked.append(subject.key)
        return real(models, subject, **options)

    real = validate.predict
    monkeypatch.setattr(validate, "predict", spy)
    events = list(fit(small, tiny_options(), tmp_path / "run"))
    started = next(event for event in events if isinstance(event, Started))
    assert asked == started.validation * 2  # once a stage


def test_stopped_and_resumed_run_ends_with_the_weights_of_one_never_interrupted(
    small: Cohort, tmp_path: Path, uninterrupted: Path
) -> None:
    run, options = tmp_path / "run", tiny_options(epochs=2)
    for stop_after in (1, 2, 3):
        stop, done = StopRequest(), 0
        events = []
        for event in fit(small, options, run, stop=stop, resume=run.exists()):
            events.append(event)
            done += isinstance(event, Step)
            if done == stop_after:
                stop.request()
        assert isinstance(events[-1], Stopped)
    events = list(fit(small, options, run, resume=True))
    assert isinstance(events[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))
    assert_same_weights(weights(run, "last.safetensors"), weights(uninterrupted, "last.safetensors"))
    steps = [event for event in read_events(run / "events.jsonl") if isinstance(event, Step)]
    expected = [event for event in read_events(uninterrupted / "events.jsonl") if isinstance(event, Step)]
    assert [(s.stage, s.epoch, s.step, s.losses) for s in steps] == [
        (s.stage, s.epoch, s.step, s.losses) for s in expected
    ]


def test_a_file_named_stop_asks_the_run_to_stop(small: Cohort, tmp_path: Path) -> None:
    run = tmp_path / "run"
    events = []
    for event in fit(small, tiny_options(), run):
        events.append(event)
        if isinstance(event, Step):
            (run / "stop").touch()
    assert isinstance(events[-1], Stopped)
    assert isinstance(list(fit(small, tiny_options(), run, resume=True))[-1], Finished)


def test_a_truncated_state_is_passed_over_for_the_one_before(
    small: Cohort, tmp_path: Path, uninterrupted: Path
) -> None:
    run, options = tmp_path / "run", tiny_options(epochs=2)
    stop, done = StopRequest(), 0
    for event in fit(small, options, run, stop=stop):
        done += isinstance(event, Step)
        if done == 5:  # past the first stage's epochs, so that two states are there
            stop.request()
    newest = sorted((run / "state").glob("*.pt"))[-1]
    assert len(list((run / "state").glob("*.pt"))) == 2
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    events = list(fit(small, options, run, resume=True))
    assert isinstance(events[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_resuming_a_finished_run_says_so_again_and_trains_nothing(small: Cohort, uninterrupted: Path) -> None:
    before = (uninterrupted / "model.safetensors").read_bytes()
    events = list(fit(small, tiny_options(epochs=2), uninterrupted, resume=True))
    assert kinds(events) == ["finished"]
    assert (uninterrupted / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_weights_of_the_best_epoch_are_kept(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select: str
) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    losses: Iterator[float] = iter([0.9, 0.4, 0.6] * 2)

    def judge(model: Any, *_: Any) -> dict[str, float]:
        kept.append({name: value.clone() for name, value in model.network.state_dict().items()})
        loss = next(losses)
        return {"loss": loss, "mse": loss / 10}

    monkeypatch.setattr(trainer, "validate", judge)
    run = tmp_path / "run"
    list(fit(small, tiny_options(epochs=3, select=select), run))
    final = weights(run)
    wanted = {"best": (1, 4), "last": (2, 5)}[select]
    for name, value in final.items():
        stage = int(name.split(".")[1])
        assert torch.equal(value, kept[wanted[stage]][name]), name
    if select == "best":
        assert read_card(run / "model.safetensors").training.validation_mse == pytest.approx(0.04)


ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "2-layer DNN": {
        "network": {"generator": "two_layer", "refiners": 0},
        "loss": {"adversarial": False},
    },
    "3D U-Net": {"network": {"refiners": 0}, "loss": {"adversarial": False}},
    "3D U-Net + weighted L1": {"network": {"refiners": 0}, "loss": {"adversarial": False, "sketcher_l1": "region"}},
    "Sketcher": {"network": {"refiners": 0}},
    "Sketcher + weighted L1": {"network": {"refiners": 0}, "loss": {"sketcher_l1": "region"}},
    "Refiner": {"network": {"refiners": 1}},
    "3 refinements": {"network": {"refiners": 3}},
    "MTR": {"data": {"modalities": ("MTR",)}},
    "MTR + RD": {"data": {"modalities": ("MTR", "RD")}, "loss": {"adversarial_form": "minimax"}},
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_papers_tables_is_a_set_of_options(row: str, phantom_cohort: Cohort, tmp_path: Path) -> None:
    options = options_from(ROWS[row], tiny_options())
    events = list(fit(phantom_cohort.select(["01"]), options, tmp_path / "run"))
    assert isinstance(events[-1], Finished), events[-1]
    card = read_card(tmp_path / "run" / "model.safetensors")
    assert card.stages == 1 + options.network.refiners
    assert card.modalities == options.data.modalities
    step = next(event for event in events if isinstance(event, Step))
    assert ("discriminator" in step.losses) == options.loss.adversarial


def test_a_single_subject_trains_without_validation_and_without_a_threshold_and_says_so(
    phantom_cohort: Cohort, tmp_path: Path
) -> None:
    events = list(fit(phantom_cohort.select(["01"]), tiny_options(), tmp_path / "run"))
    notes = " ".join(next(event for event in events if isinstance(event, Started)).notes)
    assert "without validation" in notes
    assert "no group threshold can be stored" in notes
    model = load_model(tmp_path / "run" / "model.safetensors")
    assert model.threshold is None
    assert model.card.training.validation_mse is None


def only(events: Iterator[Event]) -> Failed:
    last = list(events)[-1]
    assert isinstance(last, Failed), last
    return last


def without(cohort: Cohort, role: str) -> Cohort:
    subjects = (
        Subject(s.name, s.session, s.group, files={name: file for name, file in s.files.items() if name != role})
        for s in cohort.subjects
    )
    return Cohort(cohort.root, tuple(subjects))


def test_a_cohort_without_any_target_cannot_train(small: Cohort, tmp_path: Path) -> None:
    failed = only(fit(without(small, "dvr"), tiny_options(), tmp_path / "run"))
    assert "no subject of" in failed.cause
    assert "no measured DVR" in failed.cause


def test_an_existing_run_is_not_written_over(small: Cohort, uninterrupted: Path) -> None:
    before = (uninterrupted / "events.jsonl").read_bytes()
    assert "holds a run already: pass --resume" in only(fit(small, tiny_options(epochs=2), uninterrupted)).cause
    assert (uninterrupted / "events.jsonl").read_bytes() == before


def test_resuming_with_other_options_or_subjects_is_refused(small: Cohort, tmp_path: Path) -> None:
    run, stop = tmp_path / "run", StopRequest()
    for event in fit(small, tiny_options(), run, stop=stop):
        if isinstance(event, Step):
            stop.request()
    changed = options_from({"network": {"maps": 4}}, tiny_options())
    failed = only(fit(small, changed, run, resume=True))
    assert failed.usage
    assert "network.maps = 2, now it is 4" in failed.cause
    other = Cohort(small.root, small.subjects[:2])
    assert "is not the one this run trained on" in only(fit(other, tiny_options(), run, resume=True)).cause
    assert "no run in" in only(fit(small, tiny_options(), tmp_path / "nowhere", resume=True)).cause
    assert isinstance(list(fit(small, tiny_options(), run, resume=True))[-1], Finished)


def test_a_run_folder_that_cannot_be_made_is_one_sentence(small: Cohort, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    failed = only(fit(small, tiny_options(), tmp_path / "file" / "run"))
    assert "cannot write" in failed.cause
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def breaking(step: int, what: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[..., Any]:
    count = 0
    real = trainer.train_step

    def broken(*arguments: Any) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        losses = real(*arguments)
        return what(losses) if count == step else losses

    return broken


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_last_good_state(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path
) -> None:
    def nan(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return losses | {"adversarial": torch.tensor(float("nan"))}

    run, options = tmp_path / "run", tiny_options(epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", breaking(4, nan))
        failed = only(fit(small, options, run))
    assert '"adversarial" became nan in stage sketcher, epoch 2, step 2' in failed.cause
    assert "lower the learning rates" in failed.advice
    assert isinstance(read_events(run / "events.jsonl")[-1], Failed)
    assert isinstance(list(fit(small, options, run, resume=True))[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_out_of_memory_becomes_a_size_that_fits_and_leaves_nothing_allocated(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    def tensors() -> int:
        gc.collect()
        return sum(
            each.numel() * each.element_size()
            for each in gc.get_objects()
            if type(each) in (torch.Tensor, torch.nn.Parameter) and each.device.type == "cpu"
        )

    before = tensors()
    monkeypatch.setattr(trainer, "train_step", breaking(2, run_out))
    monkeypatch.setattr("napari_myelin.core.training.failure.free_memory", lambda device: 60 * 2**20)
    options = options_from({"network": {"maps": 16, "discriminator_maps": 16}}, tiny_options())
    failed = only(fit(small, options, tmp_path / "run"))
    assert failed.cause == "out of memory"
    assert "0.1 GiB are free: --maps" in failed.advice
    assert "would fit on 32 x 48 x 32 voxels" in failed.advice
    monkeypatch.undo()
    assert tensors() - before < 1e5


def test_a_full_disk_in_the_middle_is_a_failed_event_and_the_run_goes_on_later(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path
) -> None:
    run, options = tmp_path / "run", tiny_options(epochs=2)
    calls = 0

    def full(self: Path, data: bytes) -> int:
        nonlocal calls
        if self.name.startswith(".model.safetensors"):
            calls += 1
            if calls == 2:
                raise OSError(28, "No space left on device")
        return real(self, data)

    real = Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        failed = only(fit(small, options, run))
    assert "No space left on device" in failed.cause
    assert not list(run.rglob("*.tmp"))
    assert isinstance(list(fit(small, options, run, resume=True))[-1], Finished)
    assert_same_weights(weights(run), weights(uninterrupted))


def test_a_bug_is_called_a_bug_and_carries_its_trace(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        raise KeyError("oops")

    monkeypatch.setattr(trainer, "train_step", breaking(1, bug))
    failed = only(fit(small, tiny_options(), tmp_path / "run"))
    assert "KeyError" in failed.cause
    assert "bug of napari-myelin" in failed.advice
    assert "Traceback" in failed.trace


def test_normalisation_comes_from_the_training_subjects_only(small: Cohort, tmp_path: Path) -> None:
    list(fit(small, tiny_options(), tmp_path / "run"))
    card = read_card(tmp_path / "run" / "model.safetensors")
    grid = load_model(tmp_path / "run" / "model.safetensors").grid
    stacked = []
    for subject in small.select(list(card.training.subjects)).subjects:
        placement = grid.place(subject.reference(), subject.brain())
        stacked.append(placement.to_network(subject.volume("MTR")))
    assert card.normalisation["mean"]["MTR"] == pytest.approx(float(np.mean(stacked)), rel=1e-5)
    assert card.normalisation["sd"]["MTR"] == pytest.approx(float(np.std(stacked)), rel=1e-5)


def test_batches_are_whole_and_every_subject_is_seen() -> None:
    from napari_myelin.core.training.stage import Position, epoch_order

    options: Options = tiny_options(batch=2)
    batches = epoch_order(["a", "b", "c"], Position(), options)
    assert [len(batch) for batch in batches] == [2, 2]
    assert {key for batch in batches for key in batch} == {"a", "b", "c"}
    assert epoch_order(["a", "b", "c"], Position(), options) == batches
    orders = {str(epoch_order(list("abcdef"), Position(epoch=epoch), options)) for epoch in range(5)}
    assert len(orders) > 1


def test_saved_events_name_files_that_exist(uninterrupted: Path) -> None:
    saved = [event for event in read_events(uninterrupted / "events.jsonl") if isinstance(event, Saved)]
    assert {event.what for event in saved} == {"state", "model"}
    for event in saved:
        assert (uninterrupted / event.path).exists()
