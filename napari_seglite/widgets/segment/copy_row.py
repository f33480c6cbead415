"""Buttons that copy how to repeat a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QWidget

from ..common import layers

if TYPE_CHECKING:
    from .result_layers import ResultLayer


class CopyRow(QWidget):
    """Copies the last result's settings as a command or as a Python script.

    Parameters
    ----------
    last : callable
        Returns the last result, or None.

    Signals
    -------
    said(str)
        A sentence for the user.
    """

    said = Signal(str)

    def __init__(self, last: Callable[[], ResultLayer | None]) -> None:
        super().__init__()
        self._last = last
        self.command, self.python = QPushButton("Copy as command"), QPushButton("Copy as Python")
        self.command.setToolTip(
            "Copies the shell command that gives the same labels as the last result"
        )
        self.python.setToolTip(
            "Copies a Python script that gives the same labels as the last result"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.command)
        row.addWidget(self.python)
        self.command.clicked.connect(lambda: self._copy(command=True))
        self.python.clicked.connect(lambda: self._copy(command=False))

    def _copy(self, command: bool) -> None:
        shown = self._last()
        if shown is None:
            self.said.emit("Segment an image first. Then this button copies how to repeat it.")
            return
        request, image = shown.result.request, shown.image
        path = layers.file_of(image)
        request = replace(request, axes=layers.axes_in_file(image, request.axes))
        text = request.as_command([path], ".") if command else request.as_python(path)
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(text)
        remark = "" if image.source.path else f" The image has no file yet: save it as {path}."
        self.said.emit("Copied." + remark)
