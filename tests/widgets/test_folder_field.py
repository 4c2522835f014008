"""A field for a folder: what is typed is a path, what is chosen is short to read, a dialog begins where one looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_myelin.widgets.folder_field import FolderField


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("  ", None),
        ("/data/study ", Path("/data/study")),
        ("~nobody-of-that-name/study", Path("~nobody-of-that-name/study")),  # no home to expand: no error while typing
    ],
)
def test_what_is_typed_is_a_path(qtbot: Any, text: str, path: Path | None) -> None:
    field = FolderField()
    qtbot.addWidget(field)
    field.setText(text)
    assert field.path == path


def test_the_home_is_a_tilde_both_ways(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    field = FolderField()
    qtbot.addWidget(field)
    field.setText("~/study")
    assert field.path == Path.home() / "study"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(Path.home() / "other"))
    field.choose("Folder")
    assert field.text() == str(Path("~") / "other")


def test_a_dialog_begins_at_the_folder_else_at_the_other_one_else_at_home(
    qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *given: begun.append(given[2]) or "")
    field = FolderField()
    qtbot.addWidget(field)
    field.choose("Folder")
    field.choose("Folder", tmp_path)
    field.setText(str(tmp_path))
    field.choose("Folder", Path("/"))
    field.setText(str(tmp_path / "not there"))
    field.choose("Folder")
    assert begun == [str(Path.home()), str(tmp_path), str(tmp_path), str(Path.home())]
    assert field.path == tmp_path / "not there"  # nothing was chosen: nothing changes
