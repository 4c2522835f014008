"""A raw phantom prepared: maps that match the phantom's own, caching, broken scans, pages, provenance."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from napari_myelin.core.data.bids import bids_path, sidecar
from napari_myelin.core.data.check import check_cohort
from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.data.volume import Volume, read_volume, write_volume
from napari_myelin.core.errors import UsageError
from napari_myelin.core.events import Event, Noted, Progress, Saved, Skipped, Stopped, StopRequest
from napari_myelin.core.phantom.cohort import PhantomSubject, make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prepare.cohort import prepare_cohort
from napari_myelin.core.prepare.options import AnatomyOptions, DtiOptions, MtrOptions, PrepareOptions
from napari_myelin.core.prepare.quality import outliers
from napari_myelin.core.prepare.raw import read_raw
from napari_myelin.core.prepare.raw_cohort import write_raw_cohort

PHANTOM = PhantomOptions(patients=1, controls=0, shape=(40, 48, 40), spacing=4.0, seed=11)
OPTIONS = PrepareOptions(anatomy=AnatomyOptions(template=False), dti=DtiOptions(dwi_motion=False))


@pytest.fixture(scope="module")
def phantom() -> PhantomSubject:
    return make_subject(0, PHANTOM)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, phantom: PhantomSubject) -> Path:
    """A patient, and sub-02, whose T1w is all that was copied, cut in half."""
    folder = tmp_path_factory.mktemp("raw") / "bids"
    for _ in write_raw_cohort(folder, PHANTOM):
        pass
    # grey matter of the phantom has a DVR of 1, which is what a reference region is
    grey = phantom.volumes["brain"].array & (np.abs(phantom.volumes["noisefree"].array - 1) < 0.02)
    place = folder / "derivatives" / "regions" / "sub-01" / "pet"
    write_volume(place / "sub-01_desc-reference_mask.nii.gz", Volume(grey, phantom.volumes["brain"].affine))
    half = folder / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    half.parent.mkdir(parents=True)
    whole = (folder / "sub-01" / "anat" / "sub-01_T1w.nii.gz").read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    out = tmp_path_factory.mktemp("prepared") / "cohort"
    return out, list(prepare_cohort(raw, out, OPTIONS))


def test_maps_match_the_phantoms_own(prepared: tuple[Path, list[Event]], phantom: PhantomSubject) -> None:
    out, _ = prepared
    volumes = {role: volume.array for role, volume in phantom.volumes.items()}
    nawm = volumes["wm"] & ~volumes["lesion"]
    # each scan was interpolated twice, to be simulated and to be prepared: at 4 mm that mixes tissues at their border
    deep = binary_erosion(nawm)

    def off(role: str, truth: str, region: np.ndarray) -> float:
        made = read_volume(bids_path(out, "01", None, role))
        assert made.same_grid(phantom.volumes["brain"])
        return float((made.array - volumes[truth])[region].mean())

    assert abs(off("dvr", "noisefree", nawm)) < 0.01
    assert abs(off("dvr", "noisefree", volumes["lesion"])) < 0.02
    assert abs(off("MTR", "MTR", deep)) < 2
    assert abs(off("RD", "RD", deep)) < 0.2
    assert abs(off("AD", "AD", deep)) < 0.2
    for role, least in (("brain", 0.95), ("wm", 0.8)):
        mask = read_volume(bids_path(out, "01", None, role), mask=True).array
        assert 2 * (mask & volumes[role]).sum() / (mask.sum() + volumes[role].sum()) > least


def test_what_comes_out_is_a_cohort_that_can_be_trained_on(prepared: tuple[Path, list[Event]]) -> None:
    cohort = open_cohort(prepared[0])
    assert cohort.phantom  # what is simulated stays so
    (subject,) = cohort.subjects
    assert {"MTR", "FA", "RD", "AD", "MD", "dvr", "lesion", "wm", "brain", "t1w"} <= set(subject.files)
    (report,) = check_cohort(cohort, ("MTR", "FA", "RD", "AD"))
    assert [finding.text for finding in report.findings if finding.level == "error"] == []


def test_a_lesion_mask_keeps_its_volume_on_the_way(prepared: tuple[Path, list[Event]]) -> None:
    report = json.loads((prepared[0] / ".prepare" / "sub-01" / "report.json").read_text())
    before, after = report["facts"]["masks"]["lesion_ml"]
    assert after == pytest.approx(before, rel=0.05)
    assert report["facts"]["lesions"]["drawn_on"] == "flair"


def test_a_broken_scan_is_told_and_the_others_go_on(prepared: tuple[Path, list[Event]]) -> None:
    out, events = prepared
    (skipped,) = [event for event in events if isinstance(event, Skipped)]
    assert skipped.subject == "sub-02, brain"
    assert "truncated or damaged" in skipped.reason
    assert any(isinstance(event, Noted) and "oblique by 12.0 degrees" in event.text for event in events)
    (saved,) = [event for event in events if isinstance(event, Saved)]
    page = Path(saved.path).read_text(encoding="utf-8")
    assert page.index("sub-02") < page.index("sub-01")  # what failed stands first
    own = (out / ".prepare" / "sub-01" / "preparation.html").read_text(encoding="utf-8")
    assert own.count("<img") >= 3 * 6
    assert "Registration" in own
    assert "Phantom: these subjects are simulated" in own


def test_sidecars_say_what_a_map_was_made_from(prepared: tuple[Path, list[Event]], raw: Path) -> None:
    table = json.loads(sidecar(bids_path(prepared[0], "01", None, "MTR")).read_text())
    source = raw / "sub-01" / "anat" / "sub-01_mt-off_MTR.nii.gz"
    assert table["SourceChecksums"][source.name] == "sha256:" + sha256(source.read_bytes()).hexdigest()
    assert table["Options"] == {"register_pair": True}
    assert table["Software"]["simpleitk"]


def worked(events: list[Event]) -> str:
    return next(each.detail for each in events if isinstance(each, Progress) and each.detail.startswith("sub-01"))


def test_only_what_changed_is_made_again(prepared: tuple[Path, list[Event]], raw: Path) -> None:
    again = OPTIONS.model_copy(update={"mtr": MtrOptions(register_pair=False)})
    first = list(prepare_cohort(raw, prepared[0], OPTIONS, subjects=["01"]))
    assert worked(first).startswith("sub-01, 0 steps worked on")
    second = list(prepare_cohort(raw, prepared[0], again, subjects=["01"]))
    assert worked(second).startswith("sub-01, 1 steps worked on")
    bids_path(prepared[0], "01", None, "MTR").unlink()
    third = list(prepare_cohort(raw, prepared[0], again, subjects=["01"]))
    assert worked(third).startswith("sub-01, 1 steps worked on")


def test_a_stop_is_heard_between_subjects_and_an_unknown_subject_is_refused(raw: Path, tmp_path: Path) -> None:
    stop = StopRequest()
    stop.request()
    events = list(prepare_cohort(raw, tmp_path / "out", OPTIONS, stop=stop))
    assert isinstance(events[-1], Stopped)
    with pytest.raises(UsageError, match='no subject "sub-03"'):
        read_raw(raw, ["03"])


def test_outliers_are_far_from_the_cohorts_median() -> None:
    values = {f"sub-{n}": {"MTR": 50 + 0.1 * n} for n in range(6)}
    values["sub-9"] = {"MTR": 60.0}
    found = outliers(values)
    assert found.pop("sub-9") == ["MTR"]
    assert not any(found.values())
