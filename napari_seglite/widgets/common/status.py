"""A progress bar and a sentence: how a job is doing."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

ERROR_STYLE = "color: #ff7a7a"


class JobStatus(QWidget):
    """Shows how far a job is and says what happened, errors in red."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.label = QLabel(text)
        self.label.setWordWrap(True)
        self.label.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Two lines from the start, so that the rows below do not jump.
        self.label.setMinimumHeight(2 * self.label.fontMetrics().lineSpacing())
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.bar)
        column.addWidget(self.label)
        self.rest()

    def text(self) -> str:
        """Return what it says."""
        return self.label.text()

    def say(self, text: str, error: bool = False) -> None:
        """Say something."""
        self.label.setText(text)
        self.label.setStyleSheet(ERROR_STYLE if error else "")

    def start(self) -> None:
        """Begin with a job whose length is not known yet."""
        self.say("Starting …")
        self.bar.setRange(0, 0)
        self.bar.setEnabled(True)

    def advance(self, done: int, total: int) -> None:
        """Show how much is done."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def rest(self) -> None:
        """Show that nothing runs."""
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.bar.setEnabled(False)
