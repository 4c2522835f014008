from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from napari_myelin.core.data.volume import Volume
from napari_myelin.core.errors import MyelinError
from napari_myelin.widgets.lesions import journal as module
from napari_myelin.widgets.lesions.journal import Journal, find_journals, read_journal
from napari_myelin.widgets.lesions.journal_records import CHANGE, packed_change, record, records, unpacked_change

SHAPE = (7, 9, 11)
AFFINE = np.array([[-1.0, 0.2, 0.0, 30.0], [0.1, 1.5, 0.3, -20.0], [0.0, -0.4, 3.0, 5.0], [0.0, 0.0, 0.0, 1.0]])


def empty() -> Volume:
    return Volume(np.zeros(SHAPE, dtype=bool), AFFINE)


def stroke(journal: Journal, voxels: list[int], value: bool) -> None:
    journal.record(np.array(voxels), np.full(len(voxels), value))


def test_a_journal_gives_the_mask_back_bit_by_bit(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "sub-01", empty(), "/data/cohort")
    stroke(journal, [3, 4, 5, 690], True)
    stroke(journal, [4], False)
    assert journal.wait()
    journal.close(keep=True)
    journal.wait()
    (found,) = find_journals(tmp_path)
    assert np.flatnonzero(found.mask.array).tolist() == [3, 5, 690]
    assert found.mask.array.shape == SHAPE
    assert (found.mask.affine == AFFINE).all()
    assert (found.key, found.dataset) == ("sub-01", "/data/cohort")
    assert found.fits("sub-01", empty())
    assert not found.fits("sub-02", empty())
    assert not found.fits("sub-01", Volume(empty().array, AFFINE + np.eye(4)[[3, 0, 0, 0]].T * 0.5))


def test_each_change_holds_the_voxels_and_their_values_before_and_after() -> None:
    voxels, old, new = np.array([0, 7, 2**33]), np.array([False, True, False]), np.array([True, False, True])
    assert [part.tolist() for part in unpacked_change(packed_change(voxels, old, new))] == [
        [0, 7, 2**33],
        [False, True, False],
        [True, False, True],
    ]


def test_a_torn_last_record_is_left_out_wherever_it_is_torn(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "sub-01", empty())
    stroke(journal, [1], True)
    journal.wait()
    whole = journal.path.stat().st_size
    stroke(journal, [2], True)
    journal.wait()
    content = journal.path.read_bytes()
    for cut in range(whole, len(content)):
        torn = tmp_path / "torn.mask-journal"
        torn.write_bytes(content[:cut])
        assert np.flatnonzero(read_journal(torn).mask.array).tolist() == [1], cut
    torn.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # all there, but not what was written
    assert np.flatnonzero(read_journal(torn).mask.array).tolist() == [1]
    journal.close(keep=False)


def test_records_end_at_the_first_that_is_not_whole() -> None:
    one, two = record(CHANGE, 1.5, b"one"), record(CHANGE, 2.5, b"two")
    assert list(records(one + two)) == [(CHANGE, 1.5, b"one"), (CHANGE, 2.5, b"two")]
    assert list(records(one[:-1] + two)) == []


def test_a_long_journal_is_written_anew_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT", 400)
    journal = Journal(tmp_path / "masks", "sub-01", empty())
    random = np.random.default_rng(0)
    expected = np.zeros(np.prod(SHAPE), dtype=bool)
    sizes = []
    for _ in range(40):
        voxels = random.choice(expected.size, 20, replace=False)
        values = random.random(20) < 0.5
        expected[voxels] = values
        journal.record(voxels, values)
        assert journal.wait()
        sizes.append(journal.path.stat().st_size)
    assert min(np.diff(sizes)) < 0  # it was shortened
    assert max(sizes) < 1500
    assert (read_journal(journal.path).mask.array.reshape(-1) == expected).all()
    assert list((tmp_path / "masks").iterdir()) == [journal.path]
    journal.close(keep=False)


def test_a_journal_that_is_being_written_is_not_offered_and_an_ended_one_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    journal = Journal(folder, "sub-01", empty())
    stroke(journal, [1], True)
    journal.wait()
    assert journal.path.exists()
    assert find_journals(folder) == []
    journal.close(keep=False)
    journal.wait()
    assert list(folder.iterdir()) == []
    assert find_journals(tmp_path / "nowhere") == []


def test_a_mask_from_before_another_folder_was_chosen_is_found_too(tmp_path: Path) -> None:
    for number, folder in enumerate(("home", "chosen")):
        journal = Journal(tmp_path / folder, "sub-01", empty())
        stroke(journal, [number], True)
        journal.wait()
        journal.close(keep=True)
        journal.wait(10)
    newest, oldest = find_journals(tmp_path / "chosen", tmp_path / "home")
    assert np.flatnonzero(newest.mask.array).tolist() == [1]
    assert np.flatnonzero(oldest.mask.array).tolist() == [0]
    assert len(find_journals(tmp_path / "home", tmp_path / "home")) == 1


def test_what_is_no_journal_is_left_out_and_named_when_asked_for(tmp_path: Path) -> None:
    for name, content in {"a": b"", "b": b"no json\n", "c": b'{"format": "x"}\n', "d": b"\xff\xfe\x00"}.items():
        path = tmp_path / f"{name}.mask-journal"
        path.write_bytes(content)
        with pytest.raises(MyelinError, match=path.name):
            read_journal(path)
    assert find_journals(tmp_path) == []


def test_a_full_disk_is_said_once_a_stroke_and_the_next_one_writes_everything(tmp_path: Path) -> None:
    said: list[str] = []
    journal = Journal(tmp_path, "sub-01", empty(), failed=said.append)
    stroke(journal, [1], True)
    assert journal.wait()
    before = journal.path.stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 5, limit[1]))  # room for a part of the next record
    try:
        stroke(journal, [2], True)
        assert not journal.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert len(said) == 1
    assert "save the mask, or free some space" in said[0]
    assert np.flatnonzero(read_journal(journal.path).mask.array).tolist() == [1]  # what was there is still readable
    stroke(journal, [3], True)
    assert journal.wait()
    assert np.flatnonzero(read_journal(journal.path).mask.array).tolist() == [1, 2, 3]
    journal.close(keep=False)


def test_after_kill_9_the_mask_is_there_to_the_last_stroke(tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        import numpy as np
        from napari_myelin.core.data.volume import Volume
        from napari_myelin.widgets.lesions.journal import Journal
        random = np.random.default_rng(5)
        mask = random.random({SHAPE}) < 0.3
        journal = Journal(Path(sys.argv[1]), "sub-01", Volume(mask.copy(), np.eye(4)))
        for _ in range(25):
            voxels = random.choice(mask.size, 30, replace=False)
            values = random.random(30) < 0.5
            mask.reshape(-1)[voxels] = values
            journal.record(voxels, values)
        journal.wait()
        print(np.packbits(mask).tobytes().hex(), flush=True)
        time.sleep(600)
    """
    words = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        expected = process.stdout.readline().strip()
        assert find_journals(tmp_path) == []  # it is somebody's
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (found,) = find_journals(tmp_path)
    assert np.packbits(found.mask.array).tobytes().hex() == expected
