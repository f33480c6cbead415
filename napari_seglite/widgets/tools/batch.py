"""The panel that segments files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
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
from ..common import JobRunner, JobStatus, StopSignal, forms
from .opened_results import ResultOpener

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...batch import BatchEvent, BatchRequest

FORMATS = {
    "auto": "like the image",
    "tif": "TIFF",
    "zarr": "OME-Zarr",
    "nifti": "NIfTI",
    "dicom-seg": "DICOM SEG",
    "nrrd": "NRRD",
    "inside": "inside the OME-Zarr image",
}
DONE, FAILED = "✓ ", "✗ "


class BatchPanel(QWidget):
    """Choose files, click **Segment files**, find their labels in a folder.

    **Open** shows the labels of a file on their image.

    Parameters
    ----------
    viewer : ViewerModel
        Shows results.
    store : CheckpointStore
        Shared by the panels.
    settings : callable
        Returns the settings of the Segment tab as arguments of `SegmentRequest`.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        store: CheckpointStore,
        settings: Callable[[], dict[str, Any]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.store, self.settings = store, settings
        self.files: list[Path] = []
        self._done: dict[int, Path] = {}  # labels by the number of their file
        self._failed = 0
        self._build()
        self.runner = JobRunner(
            self,
            self.status,
            self.start_button,
            self.cancel_button,
            ready=lambda: bool(self.files),
            runs_network=True,
            stopped_text="Cancelled. Files with a tick are done.",
        )
        self.opener = ResultOpener(viewer, self)
        self.opener.said.connect(self.status.say)
        self.runner.changed.connect(self._enable)
        self.opener.runner.changed.connect(self._enable)
        self.open_button.clicked.connect(self.open_results)
        self.list.itemDoubleClicked.connect(self.open_results)
        self.add_button.clicked.connect(self._ask_for_files)
        self.clear_button.clicked.connect(lambda: self.set_files([]))
        self.folder_button.clicked.connect(self._ask_for_folder)
        self.start_button.clicked.connect(self.start)
        self.runner.refresh()

    def _build(self) -> None:
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setToolTip("Hover over a failed file to see the reason.")
        self.add_button, self.clear_button = QPushButton("Add files …"), QPushButton("Clear")
        self.open_button = QPushButton("Open")
        self.open_button.setToolTip(
            "Show the labels of the selected files on their images; double-click does the same"
        )
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("beside the first image")
        self.folder_button = QPushButton("…")
        self.folder_button.setToolTip("Choose the folder for the labels")
        self.format_box = forms.combo(FORMATS)
        self.match = QCheckBox("Match pixel sizes")
        self.match.setToolTip("Rescale every image to the pixel size of the training images")
        self.start_button, self.cancel_button = QPushButton("Segment files"), QPushButton("Cancel")
        self.status = JobStatus("All other settings are those of the Segment tab.")
        form = forms.form_layout()
        form.addRow("Labels into", forms.side_by_side(self.folder, self.folder_button))
        form.addRow("Format", self.format_box)
        form.addRow("", self.match)
        column = QVBoxLayout(self)
        column.addWidget(self.list, 1)
        column.addLayout(forms.side_by_side(self.add_button, self.clear_button, self.open_button))
        column.addLayout(form)
        column.addLayout(forms.side_by_side(self.start_button, self.cancel_button))
        column.addWidget(self.status)

    @property
    def busy(self) -> bool:
        """Whether files are being segmented."""
        return self.runner.busy

    def set_files(self, files: list[Path]) -> None:
        """List the files to segment, each once."""
        self.files = list(dict.fromkeys(files))
        self._done = {}
        self.list.clear()
        for path in self.files:
            self.list.addItem(QListWidgetItem(path.name))
        self.runner.refresh()
        self._enable()

    def _enable(self) -> None:
        for button in (self.add_button, self.clear_button):
            button.setEnabled(not self.busy)
        self.open_button.setEnabled(bool(self._done) and not self.opener.runner.busy)

    def _ask_for_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Images to segment")
        self.set_files([*self.files, *map(Path, paths)])

    def _ask_for_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Folder for the labels"):
            self.folder.setText(folder)

    def open_results(self, _: Any = None) -> None:
        """Show the labels of the selected files, or else of the first one, on their images."""
        selected = sorted(self.list.row(item) for item in self.list.selectedItems())
        rows = selected or list(self._done)[:1]
        self.opener.open([(self.files[k], self._done[k]) for k in rows if k in self._done])

    # ------------------------------------------------------------------ segmenting
    def request(self) -> BatchRequest:
        """Return the settings of this panel and of the Segment tab.

        Raises
        ------
        SegliteError
            If they contradict each other.
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
        files, store = self.files, self.store
        self.runner.start(
            lambda stop: _segmented(files, request, store, stop),
            progressed=self._on_event,
            succeeded=lambda _: self._on_result(request.output),
        )

    def cancel(self) -> None:
        """Stop; files that are done stay."""
        self.runner.stop()

    def _on_event(self, event: BatchEvent) -> None:
        item = self.list.item(event.position - 1)
        assert item is not None
        if event.progress is not None:
            share = event.progress.done / max(event.progress.total, 1)
            done = round(1000 * (event.position - 1 + share))
            self.runner.show(f"{event.path.name}: {event.progress.text}", done, 1000 * event.count)
        elif event.error:
            self._failed += 1
            item.setText(FAILED + event.path.name)
            item.setToolTip(event.error)
            self.status.say(event.error, error=True)
        else:
            if event.target is not None:
                self._done[event.position - 1] = event.target
                self._enable()
            item.setText(DONE + event.path.name)
            item.setToolTip(" ".join([str(event.target), *event.notices]))

    def _on_result(self, folder: Path) -> None:
        count = len(self.files)
        text = f"{count - self._failed} of {count} files segmented into {folder}."
        if self._failed:
            text += " Hover over a failed file to see the reason."
        self.status.say(text, error=bool(self._failed))


def _segmented(
    files: list[Path], request: BatchRequest, store: CheckpointStore, stop: StopSignal
) -> Generator[BatchEvent, None, None]:
    from ...batch import run_batch
    from ...inference import Segmenter

    yield from run_batch(files, request, Segmenter(store), stop)
