"""A preparation done once: what is unchanged is not made again, a stop is heard, what is left is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from raw_scans import OPTIONS

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Event, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.prepare.cohort import prepare_cohort
from napari_myelin.core.prepare.options import MtrOptions
from napari_myelin.core.prepare.pace import SHARES, Begins, Pace, planned
from napari_myelin.core.prepare.raw import RawSubject, read_raw

Prepared = tuple[Path, list[Event]]
CHANGED = OPTIONS.model_copy(update={"mtr": MtrOptions(register_pair=False)})


@pytest.fixture
def own(prepared: Prepared, tmp_path: Path) -> Path:
    """A copy of the prepared cohort, in another place."""
    return Path(shutil.copytree(prepared[0], tmp_path / "cohort"))


def worked(events: list[Event]) -> str:
    return next(each.detail for each in events if isinstance(each, Progress) and each.detail.startswith("sub-01,"))


def steps(events: list[Event]) -> list[str]:
    details = [each.detail for each in events if isinstance(each, Progress)]
    return [detail.removeprefix("sub-01: ") for detail in details if detail.startswith("sub-01: ")]


def test_only_what_changed_is_made_again(own: Path, raw: Path) -> None:
    # the cohort was moved, too
    first = list(prepare_cohort(raw, own, OPTIONS, subjects=["01"]))
    assert worked(first).startswith("sub-01, 0 steps worked on")
    second = list(prepare_cohort(raw, own, CHANGED, subjects=["01"]))
    assert worked(second).startswith("sub-01, 1 steps worked on")
    bids_path(own, "01", None, "MTR").unlink()
    third = list(prepare_cohort(raw, own, CHANGED, subjects=["01"]))
    assert worked(third).startswith("sub-01, 1 steps worked on")


def test_every_step_is_told_when_it_begins(prepared: Prepared, raw: Path) -> None:
    _, events = prepared
    (visit, _) = read_raw(raw)
    assert steps(events) == planned(visit, OPTIONS)
    ends = [each for each in events if isinstance(each, Progress)]
    assert [(ends[0].done, ends[0].total, ends[0].seconds_left), (ends[-1].done, ends[-1].total)] == [
        (0, 2, None),
        (2, 2),
    ]
    assert ends[-1].seconds_left == 0
    assert all(each.seconds_left is not None and each.seconds_left > 0 for each in ends[2:-2])


def test_time_left_follows_what_the_steps_took() -> None:
    pace = Pace({"sub-01": ["brain", "dvr"], "sub-02": ["brain", "dvr"]})
    pace.begins(Begins("sub-01", "brain", None))
    assert pace.seconds_left is None
    pace.begins(Begins("sub-01", "dvr", 2 * SHARES["brain"]))
    assert pace.seconds_left == pytest.approx(2 * (SHARES["brain"] + 2 * SHARES["dvr"]))
    pace.through("sub-01")
    assert pace.seconds_left == pytest.approx(2 * (SHARES["brain"] + SHARES["dvr"]))
    # what was unchanged says nothing about the pace
    pace.begins(Begins("sub-02", "brain", None))
    pace.begins(Begins("sub-02", "dvr", None))
    assert pace.seconds_left == pytest.approx(2 * SHARES["dvr"])
    # two at a time take half as long
    both = Pace({"sub-01": ["brain", "dvr"], "sub-02": ["brain", "dvr"]}, jobs=2)
    both.begins(Begins("sub-01", "brain", None))
    both.begins(Begins("sub-01", "dvr", SHARES["brain"]))
    assert both.seconds_left == pytest.approx((SHARES["brain"] + 2 * SHARES["dvr"]) / 2)


def test_a_stop_is_heard_between_steps_and_the_next_run_goes_on_from_there(raw: Path, tmp_path: Path) -> None:
    stop, events = StopRequest(), []
    for event in prepare_cohort(raw, tmp_path / "out", OPTIONS, subjects=["01"], stop=stop):
        events.append(event)
        if isinstance(event, Progress) and event.detail == "sub-01: pet":
            stop.request()
    assert isinstance(events[-1], Stopped)
    assert steps(events)[-1] == "pet"
    assert not (tmp_path / "out" / ".prepare" / "sub-01" / "report.json").exists()
    rest = list(prepare_cohort(raw, tmp_path / "out", OPTIONS, subjects=["01"]))
    before = len(list((tmp_path / "out" / ".prepare" / "sub-01").glob("*.json")))
    assert before > 5
    assert worked(rest).endswith(" 4 unchanged")  # brain, the FLAIR's alignment, lesions, pet


def test_a_stop_before_the_first_step_makes_nothing(raw: Path, tmp_path: Path) -> None:
    stop = StopRequest()
    stop.request()
    events = list(prepare_cohort(raw, tmp_path / "out", OPTIONS, stop=stop))
    assert isinstance(events[-1], Stopped)
    assert not any(isinstance(event, Saved) for event in events)
    assert not list((tmp_path / "out").glob("sub-*"))


def test_two_at_a_time_say_and_make_the_same(own: Path, raw: Path, prepared: Prepared) -> None:
    events = list(prepare_cohort(raw, own, CHANGED, jobs=2, threads=2))
    assert sorted(steps(events)) == sorted(steps(prepared[1]))
    assert worked(events).startswith("sub-01, 1 steps worked on")
    (skipped,) = [event for event in events if isinstance(event, Skipped)]
    assert skipped.subject == "sub-02, brain"
    assert [event for event in events if isinstance(event, Progress)][-1].done == 2


def test_two_at_a_time_hear_a_stop(raw: Path, tmp_path: Path) -> None:
    stop, events = StopRequest(), []
    for event in prepare_cohort(raw, tmp_path / "out", OPTIONS, subjects=["01"], jobs=2, threads=1, stop=stop):
        events.append(event)
        if isinstance(event, Progress) and event.detail == "sub-01: brain":
            stop.request()
    assert isinstance(events[-1], Stopped)
    assert "masks" not in steps(events)
    assert not bids_path(tmp_path / "out", "01", None, "MTR").exists()


def test_a_broken_lesion_mask_costs_the_lesions_and_nothing_else(own: Path, raw: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(raw, tmp_path / "raw", copy_function=lambda a, b: Path(b).symlink_to(a)))
    (mask,) = broken.glob("derivatives/lesions/**/*_mask.nii.gz")
    mask.unlink()
    mask.write_bytes(b"\x1f\x8b no more")
    events = list(prepare_cohort(broken, own, OPTIONS, subjects=["01"]))
    (skipped,) = [event for event in events if isinstance(event, Skipped)]
    assert skipped.subject == "sub-01, lesions"
    assert mask.name in skipped.reason
    assert steps(events)[-1] == "for-looking"


def test_a_cohort_among_the_derivatives_is_no_input_of_its_own(raw: Path, own: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(raw, tmp_path / "raw", copy_function=lambda a, b: Path(b).symlink_to(a)))
    inside = Path(shutil.move(own, folder / "derivatives" / "myelin"))
    assert bids_path(inside, "01", None, "brain").exists()
    plain = {role: path.relative_to(folder) for role, path in read_raw(folder)[0].files.items()}
    assert plain == {role: path.relative_to(raw) for role, path in read_raw(raw)[0].files.items()}
    shutil.rmtree(inside / ".prepare")  # one that has just been begun
    assert "brain" not in read_raw(folder, out=inside)[0].files


def test_what_cannot_be_is_refused_before_anything_is_written(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='no subject "sub-03"'):
        read_raw(raw, ["03"])
    with pytest.raises(UsageError, match="the raw dataset's own folder"):
        next(prepare_cohort(raw, raw, OPTIONS))
    (tmp_path / "dataset_description.json").write_text("{}")
    with pytest.raises(UsageError, match="holds another dataset"):
        next(prepare_cohort(raw, tmp_path, OPTIONS))


def test_a_single_visit_of_a_person_can_be_chosen(tmp_path: Path) -> None:
    for session in ("a", "b"):
        (tmp_path / "sub-01" / f"ses-{session}" / "anat").mkdir(parents=True)
    (tmp_path / "sub-02").mkdir()

    def keys(*chosen: str) -> list[str]:
        return [visit.key for visit in read_raw(tmp_path, chosen)]

    assert keys() == ["sub-01_ses-a", "sub-01_ses-b", "sub-02"]
    assert keys("01") == ["sub-01_ses-a", "sub-01_ses-b"]
    assert keys("sub-01_ses-b", "02") == ["sub-01_ses-b", "sub-02"]
    assert planned(RawSubject("02", None, {}), OPTIONS) == []
