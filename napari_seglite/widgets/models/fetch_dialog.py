"""The window in which checkpoints of a release are chosen and fetched."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

import src_models

from ...catalogue import Catalogue, Entry, FetchProgress, fetching, read_catalogue
from ...checkpoints import CheckpointInfo, CheckpointStore, printable
from ..common import JobRunner, JobStatus, StopSignal, forms, preferences


class FetchDialog(QDialog):
    """Lists the checkpoints of a catalogue and fetches them, while the user works on.

    Parameters
    ----------
    store : CheckpointStore
        Gets the checkpoints.

    Signals
    -------
    fetched(object)
        The card of a new checkpoint.
    """

    fetched = Signal(object)

    def __init__(self, store: CheckpointStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.store = store
        self.catalogue: Catalogue | None = None
        self.setWindowTitle("Fetch checkpoints")
        self.tree = QTreeWidget()
        self.tree.setRootIsDecorated(False)
        forms.show_columns(self.tree, "Checkpoint", "MB", "Here")
        self.about, self.status = QLabel(), JobStatus()
        self.about.setWordWrap(True)
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.about.setMinimumHeight(3 * self.about.fontMetrics().lineSpacing())
        self.about.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.fetch_button, self.cancel_button = QPushButton("Fetch"), QPushButton("Cancel")
        self.close_button = QPushButton("Close")
        self.fetch_button.setToolTip(
            "Downloads the checkpoint, compares its SHA-256 with the catalogue's, and adds it to "
            "your own. Nothing in the file is run"
        )
        self.cancel_button.setToolTip("Stops; what has come is removed")
        self.close_button.setToolTip("A download that runs is cancelled")
        for button in (self.fetch_button, self.cancel_button, self.close_button):
            button.setAutoDefault(False)  # Return in the list must not close the window
        self.runner = JobRunner(
            self,
            self.status,
            self.fetch_button,
            self.cancel_button,
            ready=lambda: self.selected is not None,
            stopped_text="Cancelled. Nothing was kept.",
            keeps_partial=True,
        )
        column = QVBoxLayout(self)
        column.addWidget(self.tree)
        column.addWidget(self.about)
        column.addWidget(self.status)
        column.addLayout(
            forms.side_by_side(
                self.fetch_button, self.cancel_button, self.close_button, stretches=(2, 1, 1)
            )
        )
        self.resize(440, 340)
        self.tree.currentItemChanged.connect(lambda *_: self._on_selected())
        self.fetch_button.clicked.connect(self.fetch)
        self.close_button.clicked.connect(self.reject)
        self.finished.connect(self.runner.abandon)

    # ------------------------------------------------------------------ the list
    def open_list(self) -> None:
        """Show the window and, unless something is being fetched, read the catalogue again."""
        if not self.runner.busy:
            address = preferences.load({"catalogue": ""})["catalogue"]
            self.runner.start(lambda stop: _read(address, stop), succeeded=self._show)
        self.show()
        self.raise_()

    @property
    def selected(self) -> Entry | None:
        """The selected entry, if it is not there yet."""
        item = self.tree.currentItem()
        if self.catalogue is None or item is None:
            return None
        entry = self.catalogue.entries[self.tree.indexOfTopLevelItem(item)]
        return None if self.store.is_taken(entry.id) else entry

    def _show(self, catalogue: Catalogue) -> None:
        """List the entries of a catalogue."""
        self.tree.clear()
        self.catalogue = catalogue
        for entry in catalogue.entries:
            here = "yes" if self.store.is_taken(entry.id) else ""
            item = QTreeWidgetItem([entry.id, f"{entry.size / 1e6:.1f}", here])
            self.tree.addTopLevelItem(item)
        self.tree.setCurrentItem(self.tree.topLevelItem(0))
        self.status.say(catalogue.empty_text)

    def _on_selected(self) -> None:
        item = self.tree.currentItem()
        if self.catalogue is not None and item is not None:
            entry = self.catalogue.entries[self.tree.indexOfTopLevelItem(item)]
            self.about.setText(_about(entry))
        self.runner.refresh()

    # ------------------------------------------------------------------ the buttons
    def fetch(self) -> None:
        """Fetch the selected checkpoint in the background."""
        store, catalogue, entry = self.store, self.catalogue, self.selected
        if entry is None or self.runner.busy:
            return
        self.runner.start(
            lambda stop: fetching(store, entry.id, catalogue, stop),
            progressed=self._on_progress,
            succeeded=self._on_fetched,
        )

    def _on_progress(self, progress: FetchProgress) -> None:
        # Kilobytes, since Qt's numbers have 32 bits.
        self.runner.show(progress.text, progress.done // 1000, max(1, progress.total // 1000))

    def _on_fetched(self, info: CheckpointInfo) -> None:
        for item in self.tree.findItems(info.id, Qt.MatchFlag.MatchExactly):
            item.setText(2, "yes")
        self.status.say(f"{info.id} is there. Choose it in the Models tab or in a list.")
        self.fetched.emit(info)


def _read(address: str, stop: StopSignal) -> Generator[Any, None, Catalogue]:
    """Read the catalogue in the job's thread."""
    yield
    return read_catalogue(address or None, stop)


def _about(entry: Entry) -> str:
    """Return what a catalogue says about a checkpoint."""
    network = entry.network
    if network in src_models.names():
        network = src_models.card(network).title
    parts = [entry.description, network, f"Licence: {entry.licence or 'not stated'}"]
    return printable(" · ".join(part.rstrip(".") for part in parts if part), longest=600)
