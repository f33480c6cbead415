"""The row for the project: its name, and whether corrections are on disk."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)
from superqt import QElidingLabel

from ...annotation import (
    Finding,
    ProjectInUse,
    examine,
    export_project,
    import_project,
    known_projects,
)
from ...errors import SegliteError
from ..common import JobRunner, StopSignal, colours
from .project_layers import OpenedImage, read_images, show_image

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..common import CorrectionTracker

ZIP = "Projects (*.zip)"


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
        self.name = QElidingLabel()
        self.name.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = QPushButton("Open …")
        self.open_button.setToolTip("An earlier project, or an empty folder for a new one")
        self.elsewhere_button = QPushButton("Save to …")
        self.elsewhere_button.setToolTip("Save all corrected layers in another folder")
        self.elsewhere_button.hide()
        self.more_button = QToolButton()
        self.more_button.setText("⋯")
        self.more_button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.more_button.setToolTip("Export, examine or move this project")
        self.more_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more_button.setMenu(self._menu())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.name, 1)
        row.addWidget(self.elsewhere_button)
        row.addWidget(self.open_button)
        row.addWidget(self.more_button)
        self.open_button.clicked.connect(self._choose)
        self.elsewhere_button.clicked.connect(self.ask_elsewhere)
        tracker.saved.connect(self.show_state)
        tracker.changed.connect(self.show_state)
        self.show_state()

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        self.actions_of_project = [
            menu.addAction("Export to one file …", self.ask_export),
            menu.addAction("Save elsewhere …", self.ask_elsewhere),
        ]
        menu.addSeparator()
        menu.addAction("Open an exported project …", self.ask_import)
        menu.addAction("Examine a project …", self.ask_examine)
        menu.aboutToShow.connect(self._enable_actions)
        return menu

    def _enable_actions(self) -> None:
        for action in self.actions_of_project:
            if action is not None:
                action.setEnabled(self.tracker.project is not None and not self.busy)

    @property
    def busy(self) -> bool:
        """Whether a project is being opened."""
        return self.runner.busy

    def show_state(self) -> None:
        """Show the project's name, and whether everything is saved."""
        project, problem = self.tracker.project, self.tracker.problem
        astray = bool(problem and self.tracker.unsaved)
        self.elsewhere_button.setVisible(astray)
        self.open_button.setHidden(astray)
        colours.tint(self.name, "error" if problem else None)
        if project is None:
            self.name.setText("none until you paint")
            self.name.setToolTip("")
            return
        state = "saving …" if self.tracker.waiting else "saved"
        self.name.setText("not saved" if problem else f"{project.folder.name} · {state}")
        self.name.setToolTip(f"{project.folder}\n{problem}".strip())

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
            failed=self._say_failed,
        )

    def _start(self, act: Callable[[], Any], **outcomes: Any) -> None:
        """Do something in one go, as a job; `outcomes` are those of `JobRunner.start`."""

        def work(_: StopSignal) -> Generator[None, None, Any]:
            yield
            return act()

        self.runner.start(work, **{"failed": self._say_failed, **outcomes})

    def _say_failed(self, text: str) -> None:
        self.said.emit(text, True)

    # ------------------------------------------------------------------ other places
    def ask_export(self) -> None:
        """Ask for a file and write the whole project into it."""
        project = self.tracker.project
        if project is None or self.busy:
            return
        name = f"{project.folder.name}.zip"
        path, _ = QFileDialog.getSaveFileName(self, "Export the project", name, ZIP)
        if path:
            self.tracker.flush()
            self.said.emit("Exporting …", False)
            self._start(
                lambda: export_project(project, Path(path)),
                succeeded=lambda _: self.said.emit(f"The project is in {path}.", False),
            )

    def ask_import(self) -> None:
        """Ask for an exported project and a folder, and open it there."""
        source, _ = QFileDialog.getOpenFileName(self, "An exported project", "", ZIP)
        if not source or self.busy:
            return
        folder = QFileDialog.getExistingDirectory(self, "An empty folder for the project")
        if folder:
            self.said.emit("Unpacking …", False)
            unpacked: list[Path] = []

            def ended() -> None:
                for path in unpacked:
                    self.open_project(path)

            self._start(
                lambda: import_project(Path(source), Path(folder)),
                succeeded=unpacked.append,
                ended=ended,
            )

    # ------------------------------------------------------------------ when something is wrong
    def ask_examine(self) -> None:
        """Ask for a project and look for what is wrong with it."""
        folder = QFileDialog.getExistingDirectory(self, "A project to examine")
        if folder and not self.busy:
            self.said.emit("Examining …", False)
            self._examine(Path(folder), asked=True)

    def _examine(self, folder: Path, asked: bool = False) -> None:
        """Look for what is wrong with a project, and offer to repair it."""

        def done(findings: list[Finding]) -> None:
            if findings:
                self._offer_repair(folder, findings)
            elif asked:
                self.said.emit(f"All is well with {folder.name}.", False)

        def failed(text: str) -> None:
            if asked:  # else the first error said why it cannot be opened
                self._say_failed(text)

        self._start(lambda: examine(folder), succeeded=done, failed=failed)

    def _offer_repair(self, folder: Path, findings: list[Finding]) -> None:
        found = "\n\n".join(f"{f.text}\nRepair: {f.remedy}" for f in findings[:5])
        question = f"{folder.name} is damaged.\n\n{found}\n\nRepair it? No file is deleted."
        if QMessageBox.question(self, "SegLite", question) == QMessageBox.StandardButton.Yes:
            self._start(
                lambda: examine(folder, repair=True), ended=lambda: self.open_project(folder)
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
