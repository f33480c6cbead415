"""The panel that segments files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...checkpoints import CheckpointStore
from ...errors import SegliteError
from ...inference import SegmentRequest
from ..common import Job, JobStatus, Stop, side_by_side

if TYPE_CHECKING:
    from ...batch import BatchEvent, BatchRequest

FORMATS = {"tif": "TIFF", "zarr": "OME-Zarr"}
WAITING, DONE, FAILED = "", "✓ ", "✗ "


class BatchPanel(QWidget):
    """Choose files, click **Segment files**, find their labels in a folder.

    Parameters
    ----------
    store : CheckpointStore
        Where checkpoints come from.
    settings : callable
        Returns what the Segment tab is set to, as arguments of `SegmentRequest`.
    """

    def __init__(
        self,
        store: CheckpointStore,
        settings: Callable[[], dict[str, Any]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.store, self.settings = store, settings
        self.files: list[Path] = []
        self._job: Job | None = None
        self._failed = 0
        self._build()

    def _build(self) -> None:
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setToolTip("A file that failed says why under the pointer")
        self.add_button, self.clear_button = QPushButton("Add files …"), QPushButton("Clear")
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("beside the first image")
        self.folder_button = QPushButton("…")
        self.folder_button.setToolTip("Choose the folder for the labels")
        self.format_box = QComboBox()
        for value, text in FORMATS.items():
            self.format_box.addItem(text, value)
        self.match = QCheckBox("Match pixel sizes")
        self.match.setToolTip("Rescale every image to the pixel size that the checkpoint learnt")
        self.start_button, self.cancel_button = QPushButton("Segment files"), QPushButton("Cancel")
        self.status = JobStatus("Checkpoint, device and the rest are those of the Segment tab.")
        folder = QHBoxLayout()
        folder.addWidget(self.folder, 1)
        folder.addWidget(self.folder_button)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels into", folder)
        form.addRow("Format", self.format_box)
        form.addRow("", self.match)
        column = QVBoxLayout(self)
        column.addWidget(self.list, 1)
        column.addLayout(side_by_side(self.add_button, self.clear_button))
        column.addLayout(form)
        column.addLayout(side_by_side(self.start_button, self.cancel_button))
        column.addWidget(self.status)

        self.add_button.clicked.connect(self._ask_for_files)
        self.clear_button.clicked.connect(lambda: self.set_files([]))
        self.folder_button.clicked.connect(self._ask_for_folder)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self._enable()

    @property
    def busy(self) -> bool:
        """Whether files are being segmented."""
        return self._job is not None

    def set_files(self, files: list[Path]) -> None:
        """Say which files."""
        self.files = list(dict.fromkeys(files))
        self.list.clear()
        for path in self.files:
            self.list.addItem(QListWidgetItem(path.name))
        self._enable()

    def _enable(self) -> None:
        self.start_button.setEnabled(bool(self.files) and not self.busy)
        self.cancel_button.setEnabled(self.busy)
        for button in (self.add_button, self.clear_button):
            button.setEnabled(not self.busy)

    def _ask_for_files(self) -> None:
        found, _ = QFileDialog.getOpenFileNames(self, "Images to segment")
        self.set_files([*self.files, *map(Path, found)])

    def _ask_for_folder(self) -> None:
        if found := QFileDialog.getExistingDirectory(self, "Folder for the labels"):
            self.folder.setText(found)

    # ------------------------------------------------------------------ segmenting
    def request(self) -> BatchRequest:
        """Return what the panel and the Segment tab are set to.

        Raises
        ------
        SegliteError
            If that makes no sense.
        """
        from ...batch import BatchRequest

        folder = self.folder.text().strip()
        return BatchRequest(
            SegmentRequest(axes="YX", **self.settings()),
            Path(folder) if folder else self.files[0].parent,
            format=self.format_box.currentData(),
            match=self.match.isChecked(),
        )

    def start(self) -> None:
        """Segment the files in the list."""
        if self.busy or not self.files:
            return
        try:
            request = self.request()
        except SegliteError as error:
            self.status.say(str(error), error=True)
            return
        self.set_files(self.files)
        self._failed = 0
        self.status.start()
        files = self.files
        self._job = job = Job(
            lambda stop, gone: _work(files, request, self.store, lambda: stop() or gone()),
            self,
            runs_network=True,
        )
        job.progressed.connect(self._on_event)
        job.succeeded.connect(lambda _: self._on_end(request))
        job.failed.connect(lambda text: self.status.say(text, error=True))
        job.ended.connect(self._on_ended)
        self._enable()
        job.start()

    def cancel(self) -> None:
        """Stop; files that are done stay."""
        if self._job is not None:
            self._job.stop()
            self.cancel_button.setEnabled(False)
            self.status.say("Cancelling …")

    def _on_event(self, event: BatchEvent) -> None:
        if self._job is None or self._job.stopping:
            return
        item = self.list.item(event.position - 1)
        assert item is not None
        if event.progress is not None:
            share = event.progress.done / max(event.progress.total, 1)
            self.status.advance(round(1000 * (event.position - 1 + share)), 1000 * event.count)
            self.status.say(f"{event.path.name}: {event.progress.text}")
        elif event.error:
            self._failed += 1
            item.setText(FAILED + event.path.name)
            item.setToolTip(event.error)
            self.status.say(event.error, error=True)
        else:
            item.setText(DONE + event.path.name)
            item.setToolTip(" ".join([str(event.target), *event.notices]))

    def _on_end(self, request: BatchRequest) -> None:
        done = len(self.files) - self._failed
        text = f"{done} of {len(self.files)} files segmented into {request.output}."
        if self._failed:
            text += " The others say why not under the pointer."
        self.status.say(text, error=bool(self._failed))

    def _on_ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.status.say("Cancelled. Files with a tick are done.")
        self._job = None
        self.status.rest()
        self._enable()


def _work(
    files: list[Path], request: BatchRequest, store: CheckpointStore, stop: Stop
) -> Generator[BatchEvent, None, bool]:
    from ...batch import run_batch
    from ...inference import Segmenter

    yield from run_batch(files, request, Segmenter(store), stop)
    return True
