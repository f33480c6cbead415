"""The window in which another computer is described and tried."""

from __future__ import annotations

from collections.abc import Callable, Generator

from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...errors import RemoteError
from ...remote import Connection, RemoteAddress, read_address
from . import forms
from .computer import Computer
from .job_runner import JobRunner
from .jobs import StopSignal
from .status import JobStatus

FILES = {
    "CA": "The certificate of the authority (CA) that signed those of all computers, PEM",
    "Certificate": "Your own certificate, signed by that authority, PEM",
    "Key": "Your private key, PEM. It stays on this computer",
}
# Of the longest sentence about an address, so that the rows above do not move.
LINES = 5


class ComputerDialog(QDialog):
    """Asks for an address and for the files of TLS, and tries them.

    Parameters
    ----------
    computer : Computer
        Gets what was asked for.
    """

    def __init__(self, computer: Computer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.computer = computer
        self._tried: tuple[RemoteAddress, Connection, str] | None = None
        self.setWindowTitle("Another computer")
        self._build()
        self.runner = JobRunner(
            self, self.status, self.test_button, stopped_text="Cancelled.", keeps_partial=True
        )
        self._lay_out()
        self.test_button.clicked.connect(self.test)
        self.use_button.clicked.connect(self.use)
        self.cancel_button.clicked.connect(self.reject)
        self.finished.connect(self._shut)

    def _build(self) -> None:
        computer = self.computer
        self.address = QLineEdit(computer.url)
        self.address.setPlaceholderText("tls://gpu-room:8786")
        self.address.setToolTip(
            "Of the Dask scheduler there: tls://computer:port, or tcp://localhost:port for an SSH "
            "tunnel. The documentation says how to start it: Many computers"
        )
        self.files = [QLineEdit(path) for path in computer.files]
        self.unencrypted = QCheckBox("Send without encryption")
        self.unencrypted.setChecked(computer.unencrypted)
        self.unencrypted.setToolTip(
            "For tcp:// addresses of other computers: anybody in the network can read what is "
            "sent, and send programs to both computers. Only in a network that you trust"
        )
        self.status = JobStatus()
        label = self.status.label
        label.setMinimumHeight(LINES * label.fontMetrics().lineSpacing())
        self.test_button, self.use_button = QPushButton("Test"), QPushButton("Use")
        self.cancel_button = QPushButton("Cancel")
        self.test_button.setToolTip("Connects, and compares the versions of SegLite")
        self.use_button.setToolTip("Segment and Fine-tune run there from now on")
        for button in (self.test_button, self.use_button, self.cancel_button):
            button.setAutoDefault(False)

    def _lay_out(self) -> None:
        rows = forms.form_layout()
        rows.addRow("Address", self.address)
        for (title, tip), line in zip(FILES.items(), self.files, strict=True):
            line.setToolTip(tip)
            line.setPlaceholderText("for TLS alone")
            button = QPushButton("…")
            button.setToolTip("Choose a file")
            button.setAutoDefault(False)
            button.clicked.connect(self._chooser(title, line))
            rows.addRow(title, forms.side_by_side(line, button, stretches=(1,)))
        rows.addRow("", self.unencrypted)
        column = QVBoxLayout(self)
        column.addLayout(rows)
        column.addWidget(self.status)
        column.addLayout(
            forms.side_by_side(
                self.test_button, self.use_button, self.cancel_button, stretches=(1, 1, 1)
            )
        )
        self.setMinimumWidth(420)

    def _chooser(self, title: str, line: QLineEdit) -> Callable[[], None]:
        def choose() -> None:
            path, _ = QFileDialog.getOpenFileName(
                self, title, "", "PEM (*.pem *.crt *.key);;All (*)"
            )
            if path:
                line.setText(path)

        return choose

    def _read(self) -> RemoteAddress | None:
        """Return what was entered; None, with a sentence, if it cannot be used."""
        ca, certificate, key = (line.text() for line in self.files)
        try:
            return read_address(
                self.address.text(), ca, certificate, key, self.unencrypted.isChecked()
            )
        except RemoteError as error:
            self.status.say(str(error), error=True)
            return None

    def test(self) -> None:
        """Connect in the background, and say how it went."""
        address = self._read()
        if address is None or self.runner.busy:
            return
        connection = Connection(address)

        def work(stop: StopSignal) -> Generator[str, None, str]:
            yield f"Connecting to {address.name} …"
            try:
                return connection.describe(stop)
            except BaseException:
                connection.close()
                raise

        self.runner.start(
            work,
            progressed=self.runner.show,
            succeeded=lambda told: self._on_tried(address, connection, told),
        )

    def _on_tried(self, address: RemoteAddress, connection: Connection, told: str) -> None:
        self._forget()
        self._tried = address, connection, told
        self.status.say(told)

    def use(self) -> None:
        """Choose the computer, tried or not, and close the window."""
        address = self._read()
        if address is None:
            return
        connection, told = None, ""
        if self._tried is not None and self._tried[0] == address:
            _, connection, told = self._tried
            self._tried = None
        self.computer.set_address(address, connection, told)
        self.accept()

    def _forget(self) -> None:
        if self._tried is not None:
            self._tried[1].close()
        self._tried = None

    def _shut(self) -> None:
        self.runner.abandon()
        self._forget()
