"""Events as lines of JSON, and the wish to stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_myelin.core.events import (
    Epoch,
    Event,
    Failed,
    Finished,
    Kept,
    Preview,
    Progress,
    Saved,
    Skipped,
    Started,
    Step,
    SteppedDown,
    Stopped,
    StopRequest,
    from_json,
    read_events,
)

EVENTS: list[Event] = [
    Started(["sketcher"], 2, 3, ["sub-01"], ["sub-02"], "cpu", resumed=True, notes=["a note"]),
    Progress("reading", 1, 2, "sub-01"),
    Step("sketcher", 1, 2, {"l1": 0.25}, 0.5),
    Epoch("sketcher", 1, 2, {"l1": 0.25}, None, {"mse": 0.01, "loss": 0.1}, 3.0, 3.0),
    Preview("sketcher", 1, "sub-02", "preview.npz"),
    Saved("model", "model.safetensors"),
    Stopped("refiner1", 1, 2),
    SteppedDown("sketcher", 1, 3, {"crop": 64, "window": 64, "checkpointing": True}),
    Failed("cause", "advice", "trace", usage=True),
    Skipped("sub-03", "no FA"),
    Kept(["sub-01", "sub-02"]),
    Finished("model.safetensors", 12.5),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_every_event_reads_back_from_its_line(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert from_json(line) == event


def test_a_half_written_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [event.to_json() for event in EVENTS]
    path.write_text("\n".join(lines)[:-7], encoding="utf-8")
    assert read_events(path) == EVENTS[:-1]
    assert read_events(tmp_path / "absent.jsonl") == []


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown event kind 'dance'"):
        from_json('{"kind": "dance"}')


def test_a_stop_is_asked_for_by_a_call_or_by_a_file(tmp_path: Path) -> None:
    stop = StopRequest(tmp_path / "stop")
    assert not stop
    (tmp_path / "stop").touch()
    assert stop
    (tmp_path / "stop").unlink()
    assert not stop
    stop.request()
    assert stop
