"""The button that selects the checkpoint to try first."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QPushButton, QWidget

from ..common import MARK, CheckpointBox, plain_tip

_TIP = "Selects the checkpoint to try first on this image"


class SuggestionButton(QPushButton):
    """Selects the suggested checkpoint; hidden where the selected one is no worse.

    Parameters
    ----------
    box : CheckpointBox
        Where it is selected.
    """

    def __init__(self, box: CheckpointBox, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = box
        self.setToolTip(_TIP)
        self.hide()
        self.clicked.connect(self._on_click)
        box.suggested.connect(self.show_suggestion)
        box.currentIndexChanged.connect(self.show_suggestion)

    def show_suggestion(self, _: Any = None) -> None:
        """Show what is suggested now, with its reason under the pointer."""
        better = self._box.better
        if better is not None:
            self.setText(f"{MARK}Suggested: {better.checkpoint}")
            self.setToolTip(plain_tip(f"{_TIP}. {better.reason}"))
        self.setVisible(better is not None)

    def _on_click(self) -> None:
        if (better := self._box.better) is not None:
            self._box.select(better.checkpoint)
