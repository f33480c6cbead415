"""The row for the project: its name, and whether corrections are on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from ...annotation import known_projects
from ...errors import SegliteError
from ..common import JobRunner
from .project_layers import OpenedImage, read_images, show_image

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..common import CorrectionTracker


class ProjectRow(QWidget):
    """The project's name, and a button that opens another one.

    Parameters
    ----------
    viewer : ViewerModel
        Shows the images of a project.
    tracker : CorrectionTracker
        Holds the project.

    Signals
    -------
    opened(TrackedLayer)
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
        self.runner = JobRunner(self)
        self.name = QLabel()
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = QPushButton("Open …")
        self.open_button.setToolTip("An earlier project, or an empty folder for a new one")
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
        return self.runner.busy

    def show_state(self) -> None:
        """Show the project's name, and whether everything is saved."""
        project = self.tracker.project
        if project is None:
            self.name.setText("none until you paint")
            self.name.setToolTip("")
            return
        state = "saving …" if self.tracker.waiting else "saved"
        self.name.setText(f"{project.folder.name} · {state}")
        self.name.setToolTip(str(project.folder))

    def open_project(self, folder: Path) -> None:
        """Open a project and its images, or create one in an empty folder."""
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
        self.runner.start(
            lambda stop: read_images(project, stop),
            progressed=self._on_opened,
            failed=lambda text: self.said.emit(text, True),
        )

    def _choose(self) -> None:
        projects = known_projects()
        folder = QFileDialog.getExistingDirectory(
            self, "A project, or an empty folder", str(projects[0]) if projects else ""
        )
        if folder:
            self.open_project(Path(folder))

    def _on_opened(self, opened: OpenedImage | str) -> None:
        if isinstance(opened, str):
            self.said.emit(opened, True)
        else:
            self.opened.emit(show_image(self.viewer, self.tracker, opened))
