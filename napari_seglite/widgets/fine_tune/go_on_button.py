"""A button that goes on where the time limit left a run too few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from .texts import is_better

if TYPE_CHECKING:
    from ...training import Finished
    from .form import FineTuneForm

# How much longer the next try is where nothing was gained.
LONGER = 2


class GoOnButton(QPushButton):
    """Starts another round after a run that got too few steps; else it is hidden.

    The round starts from the run's checkpoint, for as long again. Where the run gained nothing, it
    starts from the same checkpoint as the run, for longer.

    Parameters
    ----------
    form : FineTuneForm
        Start and time limit of the round go there, as if the user had chosen them.

    Signals
    -------
    asked()
        The form is ready for the round.
    """

    asked = Signal()

    def __init__(self, form: FineTuneForm, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._form = form
        self._start, self._minutes = "", 0.0
        self.setToolTip(
            "Training got few of its steps in the time limit. Go on: another round starts from the "
            "new checkpoint, and its own is saved beside it if it is better. If nothing was "
            "gained: try again from the same start, for longer"
        )
        self.clicked.connect(self._on_click)
        self.hide()

    def offer(self, event: Finished, start: str) -> None:
        """Offer another round, if a run that started from `start` needs one."""
        minutes = self._form.minutes.value()
        if event.checkpoint is not None and is_better(event):
            self._start, self._minutes = event.checkpoint.id, minutes
            self.setText(f"Go on for {self._minutes:g} min")
        else:
            longest = self._form.minutes.maximum()
            self._start, self._minutes = start, min(LONGER * minutes, longest)
            self.setText(f"Try again for {self._minutes:g} min")
        self.setVisible(event.too_few)

    def _on_click(self) -> None:
        form = self._form
        form.checkpoint_box.select(self._start)
        form.minutes.setValue(self._minutes)
        form.live.setChecked(False)  # which would have no time limit
        self.asked.emit()
