"""A raw phantom prepared: maps that match the phantom's own, broken scans, pages, provenance."""

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
from napari_myelin.core.data.volume import read_volume
from napari_myelin.core.events import Event, Noted, Saved, Skipped
from napari_myelin.core.phantom.cohort import PhantomSubject
from napari_myelin.core.prepare.quality import outliers

Prepared = tuple[Path, list[Event]]


def test_maps_match_the_phantoms_own(prepared: Prepared, phantom: PhantomSubject) -> None:
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


def test_what_comes_out_is_a_cohort_that_can_be_trained_on(prepared: Prepared) -> None:
    cohort = open_cohort(prepared[0])
    assert cohort.phantom  # what is simulated stays so
    (subject,) = cohort.subjects
    assert {"MTR", "FA", "RD", "AD", "MD", "dvr", "lesion", "wm", "brain", "t1w"} <= set(subject.files)
    (report,) = check_cohort(cohort, ("MTR", "FA", "RD", "AD"))
    assert [finding.text for finding in report.findings if finding.level == "error"] == []


def test_a_lesion_mask_keeps_its_volume_on_the_way(prepared: Prepared) -> None:
    report = json.loads((prepared[0] / ".prepare" / "sub-01" / "report.json").read_text())
    before, after = report["facts"]["masks"]["lesion_ml"]
    assert after == pytest.approx(before, rel=0.05)
    assert report["facts"]["lesions"]["drawn_on"] == "flair"


def test_a_broken_scan_is_told_and_the_others_go_on(prepared: Prepared) -> None:
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


def test_sidecars_say_what_a_map_was_made_from(prepared: Prepared, raw: Path) -> None:
    table = json.loads(sidecar(bids_path(prepared[0], "01", None, "MTR")).read_text())
    source = raw / "sub-01" / "anat" / "sub-01_mt-off_MTR.nii.gz"
    assert table["SourceChecksums"][source.name] == "sha256:" + sha256(source.read_bytes()).hexdigest()
    assert table["Options"] == {"register_pair": True}
    assert table["Software"]["simpleitk"]


def test_outliers_are_far_from_the_cohorts_median() -> None:
    values = {f"sub-{n}": {"MTR": 50 + 0.1 * n} for n in range(6)}
    values["sub-9"] = {"MTR": 60.0}
    found = outliers(values)
    assert found.pop("sub-9") == ["MTR"]
    assert not any(found.values())
