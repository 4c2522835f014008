"""How exact the preparation of raw scans is, and how long it takes.

    python benchmarks/preparation.py [registration] [logan] [whole] [--json FILE]

- ``registration``: how well a phantom comes back that was moved by a known affine and warp, as rough as its own (14 mm)
  and smoother ones. Mean error inside the brain.
- ``logan``: the curves of a real scan (``../shared/real/pet-tacs``) painted into a phantom as a 4D PET with noise: bias
  and SD of the DVR of each region where there is a fit, and the time of the fit.
- ``whole``: a raw phantom prepared from end to end, its maps against the phantom's own, region by region.

Times are of the processor, all threads together, because other work does not change them; the clock's stand beside.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import binary_erosion
from table import Row, arguments, machine, report

from napari_myelin.core.data.bids import bids_path
from napari_myelin.core.data.transform import read_transform
from napari_myelin.core.data.volume import Volume, read_volume
from napari_myelin.core.events import Skipped
from napari_myelin.core.phantom import anatomy
from napari_myelin.core.phantom.cohort import make_subject
from napari_myelin.core.phantom.options import PhantomOptions
from napari_myelin.core.prepare.anatomy import brain_mask, template_t1w, unbiased
from napari_myelin.core.prepare.cohort import prepare_cohort
from napari_myelin.core.prepare.frames import HALF_LIFE, Frames
from napari_myelin.core.prepare.logan import logan_reference
from napari_myelin.core.prepare.nonlinear import warp_to_template
from napari_myelin.core.prepare.options import PrepareOptions
from napari_myelin.core.prepare.raw_cohort import write_raw_cohort
from napari_myelin.core.prepare.raw_phantom import Head, make_scan, t1w
from napari_myelin.core.prepare.registration import align

REAL = Path(__file__).parents[2] / "shared" / "real" / "pet-tacs"
PAPER = (128, 160, 128)
REGIONS = {  # of the phantom -> the curve that is painted there (which one is arbitrary), and its DVR by the full curve
    "white matter": ("Left-Cerebral-White-Matter", 1.244),
    "grey matter": ("Left-Thalamus", 1.312),
    "lesions": ("Right-Cerebellum-Cortex", 0.992),
}
NOISES = (0.0, 0.05, 0.1, 0.2, 0.4)  # SD of a voxel of the last 5 minutes, relative to the reference region
HALF = 0.5  # voxels: what is asked for


class Clock:
    """Seconds of processor and of the wall, once left."""

    processor = wall = 0.0

    def __str__(self) -> str:
        return f"{self.processor:.1f} s of processor, {self.wall:.1f} s by the clock"


@contextmanager
def clock() -> Iterator[Clock]:
    """Measure what is done inside."""
    made, processor, wall = Clock(), time.process_time(), time.perf_counter()
    yield made
    made.processor, made.wall = time.process_time() - processor, time.perf_counter() - wall


# --- registration -----------------------------------------------------------------------------------


def moved_back(fwhm: float, seed: int, spacing: float) -> dict[str, float]:
    """Return the errors in mm of a phantom's way to the template, affine and non-linear, and what it took."""
    edges = [round(edge * 1.22 / spacing) for edge in PAPER]
    before, anatomy.WARP_FWHM = anatomy.WARP_FWHM, fwhm
    try:
        options = PhantomOptions(patients=1, controls=0, shape=tuple(edges), spacing=spacing, seed=seed)
        head, random = Head(make_subject(0, options)), np.random.default_rng(seed)
    finally:
        anatomy.WARP_FWHM = before
    scan = make_scan(random, head, (0.85 * spacing,) * 3, left_first=True)
    image = Volume(t1w(random, head, scan), scan.affine)
    brain = brain_mask(image).array
    corrected, _ = unbiased(image, brain)
    model, _ = template_t1w()
    stripped = Volume(np.where(brain, corrected.array, 0).astype(np.float32), image.affine)
    start = align(stripped, model, "affine", mask=brain, centre=True).matrix
    with clock() as took:
        found = warp_to_template(corrected, brain, model, start)
    points = apply_affine(image.affine, np.argwhere(brain)[::11])
    own = apply_affine(np.linalg.inv(scan.pose), points)
    inside = head.at(own).maps["brain"] > 0.5
    points, truth = points[inside], head.phantom.to_template(own[inside])

    def errors(there: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(there - truth, axis=1))

    there = found.to_template(points)
    back = np.linalg.norm(found.from_template(there) - points, axis=1)
    return {
        "moved": errors(points).mean(),
        "affine": errors(apply_affine(start, points)).mean(),
        "error": errors(there).mean(),
        "most": float(np.percentile(errors(there), 95)),
        "back": float(back.mean()),
        "folded": found.folded,
        "seconds": took.processor,
    }


def registration() -> list[Row]:
    """Return a row for each roughness of the warp, at 2 mm, and one for the phantom as it comes, at 1.22 mm."""
    rows = []
    for fwhm, spacing in ((14.0, 1.22), (14.0, 2.0), (25.0, 2.0), (40.0, 2.0)):
        seen = [moved_back(fwhm, seed, spacing) for seed in (3, 4)]
        mean = {name: float(np.mean([each[name] for each in seen])) for name in seen[0]}
        voxels, before, by_header = (mean[name] / spacing for name in ("error", "affine", "moved"))
        said = (
            f"{voxels:.2f} voxels ({mean['error']:.2f} mm; 95 % {mean['most']:.2f}); affine {before:.2f}"
            f" voxels, headers {by_header:.1f}; there and back {mean['back']:.2f} mm; "
            f"folded {mean['folded']:.1%}; {mean['seconds']:.0f} s"
        )
        what = f"warp of 1.2 mm an axis, correlated over {fwhm:g} mm, phantom of {spacing:g} mm"
        rows.append(Row(what, said, f"below {HALF} voxels", voxels < HALF, mean))
    return rows


# --- Logan ------------------------------------------------------------------------------------------


def real_curves() -> tuple[Frames, dict[str, np.ndarray]]:
    """Return the frames of the real scan and its regional curves."""
    (path,) = REAL.glob("*_tacs.tsv")
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    table = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    return Frames(table["frame_start"], table["frame_end"] - table["frame_start"]), table


def logan() -> list[Row]:
    """Return bias and SD of each region's DVR under noise, and the time of one fit."""
    frames, table = real_curves()
    phantom = make_subject(0, PhantomOptions(patients=1, controls=0, shape=PAPER, spacing=1.22, seed=7))
    masks = {name: volume.array for name, volume in phantom.volumes.items() if volume.array.dtype == bool}
    where = {
        "white matter": masks["wm"] & ~masks["lesion"],
        "lesions": masks["lesion"],
        "grey matter": masks["brain"] & ~masks["wm"],
    }
    reference = table["Left-Cerebellum-Cortex"]
    clean = np.tile(reference.astype(np.float32), (*PAPER, 1))
    for name, mask in where.items():
        clean[mask] = table[REGIONS[name][0]]
    decay = np.exp(np.log(2) / HALF_LIFE["C11"] * frames.middle)
    spread = np.sqrt(np.maximum(reference, 1e-3) * decay / frames.duration)
    five = spread[-1] * np.sqrt(frames.duration[-1] / 300)  # of a frame of 5 minutes at the scan's end
    rows, random = [], np.random.default_rng(0)
    for noise in NOISES:
        scale = (noise * reference[-1] / five * spread / np.sqrt(np.maximum(reference, 1e-3))).astype(np.float32)
        pet = clean + scale * np.sqrt(np.maximum(clean, 0)) * random.standard_normal(clean.shape, dtype=np.float32)
        with clock() as took:
            fit = logan_reference(pet.reshape(-1, frames.count), reference, frames, 30.0)
        dvr, fitted = fit.dvr.reshape(PAPER), fit.r2.reshape(PAPER) > 0
        parts = {name: dvr[mask & fitted] - REGIONS[name][1] for name, mask in where.items()}
        said = "; ".join(f"{name} {each.mean():+.3f} ({each.std():.3f})" for name, each in parts.items())
        rows.append(
            Row(f"DVR's bias (SD), noise {noise:g}", said, values={n: float(e.mean()) for n, e in parts.items()})
        )
    size = " x ".join(map(str, (*PAPER, frames.count)))
    rows.append(Row(f"fit of {size}", str(took), "under 60 s", took.wall < 60, {"seconds": took.processor}))
    return rows


# --- from end to end --------------------------------------------------------------------------------


def whole() -> list[Row]:
    """Return the errors of each map of one prepared raw phantom, and what it took."""
    options = PhantomOptions(patients=1, controls=0, seed=7)
    phantom = make_subject(0, options)
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "cohort"
        for _ in write_raw_cohort(raw, options):
            pass
        with clock() as took:
            events = list(prepare_cohort(raw, out, PrepareOptions()))
        failed = [event for event in events if isinstance(event, Skipped)]
        assert not failed, failed
        return [*_against(phantom, out), Row("raw scans to maps, one patient", str(took), values=vars(took))]


def _against(phantom: object, out: Path) -> Iterator[Row]:
    truth = {name: volume.array for name, volume in phantom.volumes.items()}  # type: ignore[attr-defined]
    nawm = truth["wm"] & ~truth["lesion"]
    regions = {"normal-appearing white matter": nawm, "its inside": binary_erosion(nawm), "lesions": truth["lesion"]}
    for role, own in (("MTR", "MTR"), ("FA", "FA"), ("RD", "RD"), ("AD", "AD"), ("dvr", "noisefree")):
        off = read_volume(bids_path(out, "01", None, role)).array - truth[own]
        said = "; ".join(f"{name} {off[mask].mean():+.3f} ({off[mask].std():.3f})" for name, mask in regions.items())
        yield Row(f"{role}, made minus the phantom's own: mean (SD)", said)
    for role in ("brain", "wm", "lesion"):
        made = read_volume(bids_path(out, "01", None, role), mask=True).array
        dice = 2 * (made & truth[role]).sum() / (made.sum() + truth[role].sum())
        yield Row(f"{role}, Dice", f"{dice:.3f}, volume {made.sum() / truth[role].sum():.3f} of the true one")
    points = apply_affine(phantom.volumes["brain"].affine, np.argwhere(truth["brain"])[::11])  # type: ignore[attr-defined]
    found = read_transform(bids_path(out, "01", None, "to_template"))(points)
    errors = np.linalg.norm(found - phantom.to_template(points), axis=1)  # type: ignore[attr-defined]
    said = f"{errors.mean() / 1.22:.2f} voxels ({errors.mean():.2f} mm; 95 % {np.percentile(errors, 95):.2f})"
    yield Row("transform to the template, error", said, f"below {HALF} voxels", bool(errors.mean() / 1.22 < HALF))


PARTS = {part.__name__: part for part in (registration, logan, whole)}


def main() -> None:
    """Measure what is asked for, by default all."""
    parser = arguments(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    given, began_on = parser.parse_args(), machine()
    rows = [row for name in given.parts or PARTS for row in PARTS[name]()]
    report("Preparation of raw scans", rows, given.json, began_on)


if __name__ == "__main__":
    main()
