"""Which project corrections go to, and whether they are on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from ...annotation import known_projects
from ...errors import SegliteError
from ..common import Job
from .project_layers import read_images, show_image

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..common import CorrectionTracker


class ProjectRow(QWidget):
    """The project's name, and a button to work in another one.

    Parameters
    ----------
    viewer : ViewerModel
        Where a project's images are shown.
    tracker : CorrectionTracker
        Keeps the project.

    Signals
    -------
    opened(Tracked)
        An image of a project was added to the viewer, with its labels.
    said(str, bool)
        A sentence for the user, and whether it is an error.
    """

    opened = Signal(object)
    said = Signal(str, bool)

    def __init__(
        self, viewer: ViewerModel, tracker: CorrectionTracker, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer, self.tracker = viewer, tracker
        self._job: Job | None = None
        self.name = QLabel()
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = QPushButton("Open …")
        self.open_button.setToolTip("A project from before, or an empty folder for a new one")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.name, 1)
        row.addWidget(self.open_button)
        self.open_button.clicked.connect(self._choose)
        tracker.saved.connect(self.show_state)
        tracker.changed.connect(self.show_state)
        self.show_state()

    @property
    def busy(self) -> bool:
        """Whether a project is being opened."""
        return self._job is not None

    def show_state(self) -> None:
        """Name the project, and say whether everything is saved."""
        project = self.tracker.project
        if project is None:
            self.name.setText("at the first stroke")
            self.name.setToolTip("")
            return
        state = "saving …" if self.tracker.waiting else "saved"
        self.name.setText(f"{project.folder.name} · {state}")
        self.name.setToolTip(str(project.folder))

    def open_project(self, folder: Path) -> None:
        """Open a project and its images, or make one in an empty folder."""
        if self.busy:
            return
        try:
            project = self.tracker.open(folder, create=True)
        except (SegliteError, OSError) as error:
            self.said.emit(str(error), True)
            return
        self.show_state()
        if not project.images:
            return
        self.said.emit("Opening …", False)
        self._job = job = Job(lambda stop, gone: read_images(project, gone), self)
        job.progressed.connect(self._on_opened)
        job.failed.connect(lambda text: self.said.emit(text, True))
        job.ended.connect(self._on_ended)
        job.start()

    def _choose(self) -> None:
        before = known_projects()
        folder = QFileDialog.getExistingDirectory(
            self, "A project, or an empty folder", str(before[0]) if before else ""
        )
        if folder:
            self.open_project(Path(folder))

    def _on_opened(self, found: Any) -> None:
        if isinstance(found, str):
            self.said.emit(found, True)
        else:
            self.opened.emit(show_image(self.viewer, self.tracker, found))

    def _on_ended(self) -> None:
        self._job = None
