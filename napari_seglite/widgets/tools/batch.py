"""The panel that segments files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLineEdit,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...checkpoints import CheckpointStore
from ...errors import SegliteError
from ...inference import SegmentRequest
from ..common import JobRunner, JobStatus, StopSignal, forms
from .file_list import DONE, FAILED, SKIPPED, FileList
from .opened_results import ResultOpener
from .replacing import ask_to_replace
from .time_left import TimeLeft

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...batch import BatchEvent, BatchRequest
    from ...formats import Inputs

FORMATS = {
    "auto": "like the image",
    "tif": "TIFF",
    "zarr": "OME-Zarr",
    "nifti": "NIfTI",
    "dicom-seg": "DICOM SEG",
    "nrrd": "NRRD",
    "inside": "inside the OME-Zarr image",
}
# From this many files on, a sentence names the worst.
FEW = 5


class BatchPanel(QWidget):
    """Choose files, click **Segment files**, find their labels beside them or in a folder.

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
        self._rows: list[int] = []  # of the files that are being segmented
        self._failed = 0
        self._time = TimeLeft()
        self._build()
        self.runner = JobRunner(
            self,
            self.status,
            self.start_button,
            self.cancel_button,
            ready=lambda: bool(self.list.count()),
            runs_network=True,
            stopped_text="Cancelled. Files with a tick are done.",
        )
        self.finder = JobRunner(self)
        self.opener = ResultOpener(viewer, self)
        self.opener.said.connect(self.status.say)
        for runner in (self.runner, self.finder, self.opener.runner):
            runner.changed.connect(self._enable)
        self.open_button.clicked.connect(self.open_results)
        self.list.itemDoubleClicked.connect(self._on_double_click)
        self.list.dropped.connect(self.add)
        self.list.edited.connect(self._on_edited)
        self.add_button.clicked.connect(self._ask_for_files)
        self.add_folder_button.clicked.connect(self._ask_for_images)
        self.clear_button.clicked.connect(lambda: self.set_files([]))
        self.folder_button.clicked.connect(self._ask_for_folder)
        self.start_button.clicked.connect(self.start)
        self._on_edited()

    def _build(self) -> None:
        self.list = FileList()
        self.add_button = _button("Add files …", "Choose images to segment; any number at once")
        self.add_folder_button = _button(
            "Add folder …",
            "Add the images of a folder, without its subfolders and without labels by SegLite",
        )
        self.clear_button = _button("Clear", "Empty the list; nothing is deleted on disk")
        self.open_button = _button(
            "Open",
            "Show the labels of the selected files on their images; double-click does the same",
        )
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("beside each image")
        self.folder.setToolTip(
            "The folder for the labels. Leave it empty to write each file's labels beside it, "
            "which suits files from several folders."
        )
        self.folder_button = _button("…", "Choose the folder for the labels")
        self.format_box = forms.combo(
            FORMATS,
            "The file format of the labels. “Like the image” is a good choice: NIfTI for NIfTI "
            "images, TIFF for all others.",
        )
        self.match = QCheckBox("Match pixel sizes")
        self.match.setToolTip(
            "Rescale every image to the pixel size of the training images. Tick it when the "
            "images differ in magnification; files and checkpoint must state their pixel sizes."
        )
        self.start_button = _button(
            "Segment files",
            "Segment all files in the list, with the checkpoint and settings of the Segment tab",
        )
        self.cancel_button = _button("Cancel", "Stop; files with a tick are done and stay")
        self.status = JobStatus("All other settings are those of the Segment tab.")
        form = forms.form_layout()
        form.addRow("Labels into", forms.side_by_side(self.folder, self.folder_button))
        form.addRow("Format", self.format_box)
        form.addRow("", self.match)
        column = QVBoxLayout(self)
        column.addWidget(self.list, 1)
        column.addLayout(forms.side_by_side(self.add_button, self.add_folder_button))
        column.addLayout(forms.side_by_side(self.open_button, self.clear_button))
        column.addLayout(form)
        column.addLayout(forms.side_by_side(self.start_button, self.cancel_button))
        column.addWidget(self.status)

    @property
    def busy(self) -> bool:
        """Whether files are being segmented."""
        return self.runner.busy

    # ------------------------------------------------------------------ the list
    @property
    def files(self) -> list[Path]:
        """The files in the list."""
        return self.list.files

    def set_files(self, files: list[Path]) -> None:
        """List the files to segment, each once."""
        self.list.clear()
        self.list.add(files)

    def add(self, paths: Iterable[Path]) -> None:
        """Add files, and the images of folders, without labels that SegLite wrote."""
        paths = list(paths)
        if self.busy or self.finder.busy or not paths:
            return
        self.status.say("Looking for images …")
        self.finder.start(
            lambda _: _found(paths),
            succeeded=self._on_found,
            failed=lambda text: self.status.say(text, error=True),
        )

    def _on_found(self, found: Inputs) -> None:
        before = self.list.count()
        self.list.add(found.paths)
        added = self.list.count() - before
        lines = [f"{_files(added)} added.", *found.left_out[:5]]
        if len(found.left_out) > 5:
            lines.append(f"{len(found.left_out) - 5} more left out.")
        self.status.say("\n".join(lines))

    def _on_edited(self) -> None:
        self.runner.refresh()
        self._enable()

    def _enable(self) -> None:
        free = not self.busy and not self.finder.busy
        self.list.locked = not free
        for button in (self.add_button, self.add_folder_button, self.clear_button):
            button.setEnabled(free)
        done = self.list.results(range(self.list.count()))
        self.open_button.setEnabled(bool(done) and not self.opener.runner.busy)

    def _ask_for_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Images to segment")
        self.list.add(map(Path, paths))  # also labels, since the user chose each of them

    def _ask_for_images(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Folder of images to segment"):
            self.add([Path(folder)])

    def _ask_for_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Folder for the labels"):
            self.folder.setText(folder)

    # ------------------------------------------------------------------ results
    def open_results(self) -> None:
        """Show the labels of the selected files, or else of the first one, on their images."""
        selected = sorted(self.list.row(item) for item in self.list.selectedItems())
        pairs = self.list.results(selected or range(self.list.count()))
        self.opener.open(pairs if selected else pairs[:1])

    def _on_double_click(self, item: QListWidgetItem) -> None:
        pairs = self.list.results([self.list.row(item)])
        if not pairs:
            self.status.say("This file has no labels yet. Segment it first.")
        self.opener.open(pairs)

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
            Path(folder) if folder else None,
            format=self.format_box.currentData(),
            match=self.match.isChecked(),
        )

    def start(self) -> None:
        """Segment the files in the list, after a question if some have labels already."""
        from ...batch import labelled_already

        files = self.files
        if self.busy or not files:
            return
        try:
            request = self.request()
        except SegliteError as error:
            self.status.say(str(error), error=True)
            return
        existing = labelled_already(files, request)
        answer = ask_to_replace(self, list(existing.values()), len(files)) if existing else ""
        if answer == "cancel":
            return
        self._rows = [k for k, f in enumerate(files) if answer != "skip" or f not in existing]
        self._failed = 0
        self.list.forget_results()
        for row in set(range(len(files))) - set(self._rows):
            target = existing[files[row]]
            self.list.finish(row, SKIPPED, f"{target} was there already and is kept.", target)
        self._enable()
        self._run([files[k] for k in self._rows], request)

    def _run(self, files: list[Path], request: BatchRequest) -> None:
        if not files:
            self.status.say("All files have labels already; nothing was changed.")
            return
        self._time = TimeLeft()
        store = self.store
        self.runner.start(
            lambda stop: _segmented(files, request, store, stop),
            progressed=self._on_event,
            succeeded=lambda _: self._on_result(request.output),
        )

    def cancel(self) -> None:
        """Stop; files that are done stay."""
        self.runner.stop()

    def _on_event(self, event: BatchEvent) -> None:
        row = self._rows[event.position - 1]
        if event.progress is not None:
            share = event.progress.done / max(event.progress.total, 1)
            whole = (event.position - 1 + share) / event.count
            parts = [f"File {event.position} of {event.count}", self._time.text(whole)]
            title = " · ".join(filter(None, parts))
            text = f"{title}\n{event.path.name}: {event.progress.text}"
            self.runner.show(text, round(1000 * whole), 1000)
        elif event.error:
            self._failed += 1
            self.list.finish(row, FAILED, event.error)
            self.status.say(event.error, error=True)
        else:
            tip = " ".join([str(event.target), *event.notices])
            self.list.finish(row, DONE, tip, event.target, event.quality)
            self._enable()

    def _on_result(self, folder: Path | None) -> None:
        count = len(self._rows)
        place = "each beside its image" if folder is None else f"into {folder}"
        text = f"{count - self._failed} of {_files(count)} segmented {place}."
        if count - self._failed >= FEW:
            text += f" Look first at {', '.join(self.list.worst()[:5])}."
        if skipped := self.list.count() - count:
            text += f" {_files(skipped)} with labels kept."
        if self._failed:
            text += " Hover over a failed file to see the reason."
        self.status.say(text, error=bool(self._failed))


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _found(paths: list[Path]) -> Generator[None, None, Inputs]:
    from ...formats import find_images

    yield
    return find_images(paths)


def _segmented(
    files: list[Path], request: BatchRequest, store: CheckpointStore, stop: StopSignal
) -> Generator[BatchEvent, None, None]:
    from ...batch import IN_MEMORY, run_batch
    from ...inference import Segmenter

    yield from run_batch(files, request, Segmenter(store, IN_MEMORY), stop)
