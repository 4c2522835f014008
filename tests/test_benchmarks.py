"""What the benchmarks stand on where a machine is bare, short of time, or a measurement fails."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import shellcheck

from napari_myelin.core.data.cache import CohortCache
from napari_myelin.core.data.cohort import open_cohort
from napari_myelin.core.options_file import options_from, preset
from napari_myelin.core.phantom.cohort import write_cohort
from napari_myelin.core.phantom.options import PhantomOptions

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a benchmark by name, as its script would."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)

    def get(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield get
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_machine_without_git_and_without_a_package_is_described(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = script("table")
    monkeypatch.setattr(table, "PACKAGES", ("numpy", "a-package-that-is-nowhere"))
    monkeypatch.setenv("PATH", "")
    where = table.machine()
    assert where["numpy"] == np.__version__
    assert where["a-package-that-is-nowhere"] == "not installed"
    assert where["commit"] == "unknown"


def test_a_thing_that_fails_is_a_row_and_the_others_are_measured(script: Any) -> None:
    inside = script("inside")
    clock = iter(range(1, 100))

    def broken() -> float:
        raise RuntimeError("no compiler\nand much more")

    rows = inside.measure({"as it is": lambda: 2.0, "(added)": broken, "a thing": lambda: float(next(clock))}, 3)
    assert [row.what for row in rows] == ["as it is", "(added)", "without a thing"]
    assert rows[1].measured == "failed: RuntimeError: no compiler"
    assert rows[1].reached is False
    # the first turn is left out: 2, 3 and 4 s against 2 s
    assert rows[2].values["ratios"] == [1.0, 1.5, 2.0]


def test_both_networks_and_the_images_are_laid_out_as_asked(script: Any) -> None:
    import torch

    given = SimpleNamespace(device="cpu", precision="32-true", maps=2, shape=(16, 16, 16), trying=False, compile=False)
    made = script("inside").steps(given)
    for name, order in (("as it is", torch.channels_last_3d), ("channels-last memory", torch.contiguous_format)):
        step = made[name]
        wide = [p for net in (step.generator, step.discriminator) for p in net.parameters() if p.dim() == 5]
        wide = [p for p in wide if p.shape[1] > 1 and p[0, 0].numel() > 1]  # of others both orders are the same
        assert wide
        assert all(each.is_contiguous(memory_format=order) for each in (*wide, step.mri)), name


def parts_of(gpu: ModuleType, folder: Path, **minutes: float) -> dict[str, Any]:
    """Return parts of scripts in a folder, one that ends, one that fails, and one that would take a minute."""
    end = "import sys, pathlib; print('said'); pathlib.Path(sys.argv[sys.argv.index('--json') + 1]).write_text('{}')\n"
    (folder / "quick.py").write_text(end)
    (folder / "broken.py").write_text("raise SystemExit(3)\n")
    (folder / "slow.py").write_text(end + "import time\ntime.sleep(60)\n")
    return {name: gpu.Part((), length) for name, length in minutes.items()}


def run_parts(gpu: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, **parts: float) -> Any:
    monkeypatch.setattr(gpu, "HERE", folder)
    made = parts_of(gpu, folder, **parts)
    monkeypatch.setattr(gpu, "parts", lambda trying: made)
    given = SimpleNamespace(out=folder, only=None, minutes=minutes, trying=False)
    with (folder / "output.txt").open("w") as log:
        return gpu.run_all(given, log)


def test_a_part_that_fails_or_no_longer_fits_is_said_and_the_others_run(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undone = run_parts(script("gpu"), tmp_path, monkeypatch, 2, broken=1, slow=3, quick=1)
    assert undone["broken"] == "failed with exit code 3"
    assert undone["slow"].startswith("skipped: it may take 3 min, and ")
    assert list(undone) == ["broken", "slow"]
    assert json.loads((tmp_path / "quick.json").read_text()) == {}
    said = (tmp_path / "output.txt").read_text().splitlines()
    assert "said" in said
    assert "slow is " + undone["slow"] in said


def test_a_part_is_stopped_when_the_time_is_over_and_what_it_had_said_is_kept(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    undone = run_parts(script("gpu"), tmp_path, monkeypatch, 0.05, slow=0)
    assert time.monotonic() - began < 50
    assert undone == {"slow": "stopped, its time was over"}
    assert "KeyboardInterrupt" in (tmp_path / "output.txt").read_text()


def test_a_cohort_written_by_all_cores_is_the_one_that_one_core_writes(script: Any, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    for _ in write_cohort(alone, PhantomOptions(patients=2, controls=0, shape=(24, 24, 24), spacing=6.0)):
        pass
    simulated = script("simulated").simulated
    folder = simulated(tmp_path, 2, (24, 24, 24), 6.0)
    one, other = open_cohort(alone), open_cohort(folder)
    assert [subject.key for subject in one.subjects] == [subject.key for subject in other.subjects]
    for mine, theirs in zip(one.subjects, other.subjects, strict=True):
        for name in ("MTR", "dvr", "lesion"):
            np.testing.assert_array_equal(mine.volume(name).array, theirs.volume(name).array)
    at = (folder / "participants.tsv").stat().st_mtime_ns
    assert simulated(tmp_path, 2, (24, 24, 24), 6.0) == folder
    assert (folder / "participants.tsv").stat().st_mtime_ns == at


def test_the_schedule_prepares_its_subjects_once(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = script("schedule")
    for name, value in (("SUBJECTS", 2), ("HELD_OUT", 1), ("EVERY", 1)):
        monkeypatch.setattr(schedule, name, value)
    for _ in write_cohort(tmp_path, PhantomOptions(patients=3, controls=0, shape=(16, 16, 16), spacing=9.0)):
        pass
    written, trained, write, whole = [], [], CohortCache._write, schedule._whole

    def count(cache: CohortCache, key: str, *rest: Any) -> None:
        written.append(key)
        write(cache, key, *rest)

    def follow(cohort: Any, options: Any, *rest: Any) -> Any:
        trained.append(options.training.epochs)
        whole(cohort, options, *rest)
        return 5.0, 1.5 * len(trained)

    monkeypatch.setattr(CohortCache, "_write", count)
    monkeypatch.setattr(schedule, "_whole", follow)
    options = options_from(
        {
            "data": {"shape": (16, 16, 16), "spacing": 9.0},
            "network": {"maps": 2, "discriminator_maps": 2, "patch": 16},
            "runtime": {"device": "cpu"},
        },
        preset("paper"),
    )
    row = schedule.schedule(tmp_path, options, minutes=0.04)
    assert len(written) == 3
    # 1.5 s for an epoch, 2.4 s wanted with a tenth over: two epochs, which take 3 s
    assert trained == [1, 2]
    assert row.values == {"epochs": 2, "seconds": 3.0, "preparation": 5.0}


def test_the_script_for_a_bare_machine_passes_shellcheck() -> None:
    shellcheck(BENCHMARKS / "gpu.sh")
