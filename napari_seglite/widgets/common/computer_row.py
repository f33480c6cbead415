"""The row in which the computer that runs the networks is chosen."""

from __future__ import annotations

from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QWidget

from . import colours, forms
from .computer import HERE, THERE, Computer
from .computer_dialog import ComputerDialog

OTHER = "Another computer"


class ComputerRow(QWidget):
    """A list with this computer and the other one, a button to set that up, and its state.

    Parameters
    ----------
    computer : Computer
        Shared by the tabs.
    rows : QFormLayout
        Gets the row, and one for the state below it.
    """

    def __init__(self, computer: Computer, rows: QFormLayout) -> None:
        super().__init__()
        self.computer, self._rows = computer, rows
        self.box = forms.combo({HERE: "This computer", THERE: OTHER})
        self.box.setToolTip(
            "Where the network runs. Another computer is reached through its Dask scheduler: "
            "pixels and checkpoint are sent there, labels and new checkpoints come back. Live "
            "learning is always on this computer"
        )
        self.setToolTip(self.box.toolTip())
        self.button = QPushButton("Edit")
        self.button.setToolTip("The address of the other computer, its certificates, and a test")
        self.label = QLabel()
        self.label.setWordWrap(True)
        colours.tint(self.label, "hint")
        self.dialog: ComputerDialog | None = None
        line = forms.side_by_side(self.box, self.button, stretches=(1,))
        line.setContentsMargins(0, 0, 0, 0)
        self.setLayout(line)
        rows.addRow("Compute on", self)
        rows.addRow(self.label)
        self.box.activated.connect(self._on_chosen)
        self.button.clicked.connect(self.set_up)
        computer.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the choice, and what is known of the other computer."""
        computer = self.computer
        self.box.setItemText(1, computer.host or OTHER)
        forms.select(self.box, THERE if computer.elsewhere else HERE)
        self.label.setText(computer.state)
        self._rows.setRowVisible(self.label, bool(computer.state))

    def _on_chosen(self, _: int) -> None:
        elsewhere = self.box.currentData() == THERE
        if elsewhere and not self.computer.url:
            self.refresh()
            self.set_up()
        else:
            self.computer.choose(elsewhere)

    def set_up(self) -> None:
        """Open the window in which the other computer is described."""
        self.dialog = ComputerDialog(self.computer, self)
        self.dialog.open()
