"""A field for a folder, typed or chosen."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLineEdit

from napari_myelin.widgets.words import in_home


class FolderField(QLineEdit):
    """A folder as a user writes it: with ``~`` for the home, and not necessarily there yet."""

    @property
    def path(self) -> Path | None:
        """The folder that is given; None where none is."""
        text = self.text().strip()
        try:
            return Path(text).expanduser() if text else None
        except RuntimeError:  # ~somebody, who is not known here
            return Path(text)

    def choose(self, title: str, otherwise: Path | None = None) -> None:
        """Ask for a folder, and hold it if one is chosen.

        Parameters
        ----------
        title
            Of the dialog.
        otherwise
            Where the dialog begins if the field is empty; the home where neither is there.
        """
        start = self.path or otherwise
        start = start if start is not None and start.exists() else Path.home()
        if chosen := QFileDialog.getExistingDirectory(self, title, str(start)):
            self.setText(in_home(Path(chosen)))
