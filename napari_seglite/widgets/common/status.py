"""A sentence for the user, alone or below a progress bar."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from . import colours


class StatusLabel(QLabel):
    """Shows a sentence, errors in red.

    Parameters
    ----------
    text : str
        Shown at first.
    lines : int
        Lines to reserve, so that the rows below do not jump.
    """

    def __init__(self, text: str = "", lines: int = 2, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)  # it may be from a file of somebody else
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setMinimumHeight(lines * self.fontMetrics().lineSpacing())
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence."""
        self.setText(text)
        colours.tint(self, "error" if error else None)


class JobStatus(QWidget):
    """Shows the progress of a job and a sentence about it."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar, self.label = QProgressBar(), StatusLabel(text)
        self.bar.setTextVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.bar)
        column.addWidget(self.label)
        self.rest()

    def text(self) -> str:
        """Return the sentence."""
        return self.label.text()

    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence, errors in red."""
        self.label.say(text, error)

    def start(self) -> None:
        """Show that a job of unknown length began."""
        self.say("Starting …")
        self.bar.setRange(0, 0)
        self.bar.setEnabled(True)

    def advance(self, done: int, total: int) -> None:
        """Show that `done` of `total` parts are done."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def rest(self) -> None:
        """Show that nothing runs."""
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.bar.setEnabled(False)
