"""A box inside a panel that offers something, with a button for each answer; it does not hold the window up."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget


class Offer(QFrame):
    """Hidden until something is offered; ``answered`` says that it is free for the next."""

    answered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("offer")
        self.setStyleSheet("#offer { border: 1px solid #d9a13b; border-radius: 4px; }")
        self.text = QLabel()
        self.text.setWordWrap(True)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)  # else a second line is cut
        self.text.setSizePolicy(policy)
        self.row = QHBoxLayout()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(8, 6, 8, 6)
        whole.addWidget(self.text)
        whole.addLayout(self.row)
        self.about: object = None
        self.hide()

    @property
    def buttons(self) -> list[QPushButton]:
        """The answers, from left to right."""
        return [self.row.itemAt(index).widget() for index in range(self.row.count())]

    def make(self, text: str, answers: dict[str, Callable[[], None]], about: object = None) -> None:
        """Offer something.

        Parameters
        ----------
        text
            A sentence or two.
        answers
            Label of each button, and what it does after the box is gone.
        about
            What it is about, for whoever wants to take it back (`withdraw`).
        """
        self.withdraw()
        self.about = about
        self.text.setText(text)
        for label, act in answers.items():
            button = QPushButton(label)
            button.clicked.connect(lambda checked=False, act=act: self._answered(act))
            self.row.addWidget(button)
        self.show()

    def withdraw(self) -> None:
        """Take the offer back."""
        self.about = None
        while self.row.count():
            button = self.row.takeAt(0).widget()
            button.hide()  # it is deleted only when the window gets its turn
            button.deleteLater()
        self.hide()

    def _answered(self, act: Callable[[], None]) -> None:
        self.withdraw()
        act()
        if self.isHidden():
            self.answered.emit()
