"""The row for the project: its name, and whether corrections are on disk."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from ...annotation import Finding, ProjectInUse, examine, known_projects
from ...errors import SegliteError
from ..common import ERROR_STYLE, JobRunner
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
        self.elsewhere_button = QPushButton("Save elsewhere …")
        self.elsewhere_button.setToolTip("Save all corrected layers in another folder")
        self.elsewhere_button.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.name, 1)
        row.addWidget(self.elsewhere_button)
        row.addWidget(self.open_button)
        self.open_button.clicked.connect(self._choose)
        self.elsewhere_button.clicked.connect(self.ask_elsewhere)
        tracker.saved.connect(self.show_state)
        tracker.changed.connect(self.show_state)
        self.show_state()

    @property
    def busy(self) -> bool:
        """Whether a project is being opened."""
        return self.runner.busy

    def show_state(self) -> None:
        """Show the project's name, and whether everything is saved."""
        project, problem = self.tracker.project, self.tracker.problem
        self.elsewhere_button.setVisible(bool(problem and self.tracker.unsaved))
        self.name.setStyleSheet(ERROR_STYLE if problem else "")
        if project is None:
            self.name.setText("none until you paint")
            self.name.setToolTip("")
            return
        state = "not saved" if problem else "saving …" if self.tracker.waiting else "saved"
        self.name.setText(f"{project.folder.name} · {state}")
        self.name.setToolTip(problem or str(project.folder))

    def open_project(self, folder: Path) -> None:
        """Open a project and its images, or create one in an empty folder."""
        if self.busy:
            return
        try:
            project = self.tracker.open(folder, create=True)
        except ProjectInUse as error:
            self.said.emit(str(error), True)
            return
        except (SegliteError, OSError) as error:
            self.said.emit(str(error), True)
            self._examine(folder)
            return
        self.show_state()
        if not project.images:
            return
        if not project.damaged:
            self.said.emit("Opening …", False)
        self.runner.start(
            lambda stop: read_images(project, stop),
            progressed=self._on_opened,
            failed=lambda text: self.said.emit(text, True),
        )

    # ------------------------------------------------------------------ when something is wrong
    def _examine(self, folder: Path) -> None:
        """Look for what is wrong with a project that cannot be opened, and offer to repair it."""
        self.runner.start(
            lambda stop: examined(folder),
            succeeded=lambda findings: self._offer_repair(folder, findings),
            failed=lambda _: None,  # no project at all, as the first error said
        )

    def _offer_repair(self, folder: Path, findings: list[Finding]) -> None:
        if not findings:
            return
        found = "\n\n".join(f"{f.text}\nRepair: {f.remedy}" for f in findings[:5])
        question = f"{folder.name} is damaged.\n\n{found}\n\nRepair it? No file is deleted."
        if QMessageBox.question(self, "SegLite", question) == QMessageBox.StandardButton.Yes:
            self.runner.start(
                lambda stop: examined(folder, repair=True),
                ended=lambda: self.open_project(folder),
                failed=lambda text: self.said.emit(text, True),
            )

    def ask_elsewhere(self) -> bool:
        """Ask for a folder and save all corrected layers there; returns success."""
        folder = QFileDialog.getExistingDirectory(self, "An empty folder to save in")
        if not folder:
            return False
        try:
            self.tracker.save_elsewhere(Path(folder))
        except (SegliteError, OSError) as error:
            self.said.emit(str(error), True)
            return False
        self.said.emit(f"Your corrections are saved in {folder} from now on.", False)
        self.show_state()
        return True

    def may_close(self) -> bool:
        """Save everything before the window closes; ask if that is not possible.

        Returns
        -------
        bool
            Whether to close.
        """
        self.tracker.flush()
        while self.tracker.unsaved and self.tracker.problem:
            answer = self._ask_unsaved()
            if answer == QMessageBox.StandardButton.Discard:
                return True
            if answer != QMessageBox.StandardButton.Save:
                return False
            if self.ask_elsewhere():
                self.tracker.flush()
        return True

    def _ask_unsaved(self) -> QMessageBox.StandardButton:
        names = ", ".join(self.tracker.unsaved)
        buttons = QMessageBox.StandardButton
        box = QMessageBox(
            QMessageBox.Icon.Warning,
            "SegLite",
            f"Corrections of {names} are not saved.\n\n{self.tracker.problem}",
            buttons.Save | buttons.Discard | buttons.Cancel,
            self,
        )
        for button, text in (
            (buttons.Save, "Save elsewhere …"),
            (buttons.Discard, "Close without saving"),
            (buttons.Cancel, "Do not close"),
        ):
            if (widget := box.button(button)) is not None:
                widget.setText(text)
        return buttons(box.exec())

    # ------------------------------------------------------------------ opening
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


def examined(folder: Path, repair: bool = False) -> Generator[None, None, list[Finding]]:
    """Examine a project as a job, see `examine`."""
    yield
    return examine(folder, repair)
