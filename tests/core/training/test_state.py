"""The resumable state on disk, and the run's diary."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_myelin.core.errors import MyelinError
from napari_myelin.core.events import Progress, read_events
from napari_myelin.core.training.record import Record
from napari_myelin.core.training.state import load_state, save_state


def test_the_newest_state_is_read_and_the_one_before_it_kept(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        save_state(tmp_path, number, {"number": number, "weights": torch.full((3,), float(number))})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000002.pt", "000000000010.pt"]
    state = load_state(tmp_path)
    assert state is not None
    assert state["number"] == 10
    assert state["weights"].tolist() == [10.0] * 3


@pytest.mark.parametrize("damage", ["truncated", "empty", "a flipped byte"])
def test_a_damaged_state_is_passed_over(damage: str, tmp_path: Path) -> None:
    save_state(tmp_path, 1, {"number": 1})
    newest = save_state(tmp_path, 2, {"number": 2, "weights": torch.zeros(1000)})
    content = bytearray(newest.read_bytes())
    if damage == "a flipped byte":
        content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content[: {"truncated": len(content) // 2, "empty": 0}.get(damage, len(content))])
    state = load_state(tmp_path)
    assert state is not None
    assert state["number"] == 1


def test_no_state_is_none_and_no_whole_state_an_error(tmp_path: Path) -> None:
    assert load_state(tmp_path / "absent") is None
    (tmp_path / "000000000001.pt").write_bytes(b"nothing")
    with pytest.raises(MyelinError, match=r"no state in .* is whole"):
        load_state(tmp_path)


def test_a_failed_write_leaves_the_states_that_were_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path, 1, {"number": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(MyelinError, match=r"No space left on device.*free some space and resume"):
        save_state(tmp_path, 2, {"number": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001.pt"]


def test_a_file_that_cannot_grow_any_more_is_one_sentence(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # a real limit, as a full disk is: torch hides the system's error
    save_state(tmp_path, 1, {"number": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(MyelinError, match=r"cannot save the run's state in .*: File too large; free some space"):
            save_state(tmp_path, 2, {"number": 2, "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001.pt"]


def test_the_diary_is_cut_back_to_where_the_state_was_saved(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.write(Progress("a", 1, 3))
    size = record.size()
    record.write(Progress("a", 2, 3))
    record.cut(size)
    record.write(Progress("a", 3, 3))
    assert [event.done for event in read_events(record.path) if isinstance(event, Progress)] == [1, 3]


def test_only_the_first_rank_writes(tmp_path: Path) -> None:
    silent = Record(tmp_path / "run", speaks=False)
    silent.write(Progress("a", 1, 1))
    silent.cut(0)
    assert not (tmp_path / "run").exists()
