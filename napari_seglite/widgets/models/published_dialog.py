"""The questions about a file with weights that the authors of a network published."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from ...checkpoints import PUBLISHED_KINDS, CheckpointInfo, CheckpointStore, import_published
from ...errors import CheckpointError
from ...formats import safe_name
from ..common import StatusLabel, StopSignal, forms

FILTER = "Authors' weights (*.pth *.pt *.safetensors)"


class PublishedDialog(QDialog):
    """Asks whose weights a file holds, and for the new checkpoint's name and classes.

    Parameters
    ----------
    store : CheckpointStore
        Tells which names are taken.
    file : Path
        Was chosen already.
    """

    def __init__(self, store: CheckpointStore, file: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.store, self.file = store, file
        self.setWindowTitle("Authors' weights")
        self.kind_box = forms.combo(
            {name: kind.title for name, kind in PUBLISHED_KINDS.items()},
            "The network whose authors published this file. A file of another network is told",
        )
        self.name_edit = QLineEdit(safe_name(file.stem, "authors"))
        self.name_edit.setToolTip("Of the new checkpoint, such as polyps-m2snet")
        self.classes_edit = QLineEdit()
        self.classes_edit.setPlaceholderText("background, object")
        self.classes_edit.setToolTip(
            "Names of the classes that the network tells apart, background first and commas "
            "between them, such as background, polyp. Most published weights know one class"
        )
        self.about, self.problem = QLabel(), StatusLabel(lines=1)
        self.about.setWordWrap(True)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        assert ok is not None
        self.import_button = ok
        ok.setText("Import")
        self._lay_out()
        self.kind_box.currentIndexChanged.connect(self._explain)
        self.name_edit.textChanged.connect(self._check)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._explain()
        self._check()

    def _lay_out(self) -> None:
        rows = forms.form_layout()
        name = QLabel(forms.elided(self.file.name, self, 300))
        name.setToolTip(str(self.file))
        for title, field in (
            ("File", name),
            ("Weights of", self.kind_box),
            ("Name", self.name_edit),
            ("Classes", self.classes_edit),
        ):
            rows.addRow(title, field)
            label = rows.labelForField(field)
            assert label is not None
            label.setToolTip(field.toolTip())
        column = QVBoxLayout(self)
        column.addLayout(rows)
        for widget in (self.about, self.problem, self.buttons):
            column.addWidget(widget)
        self.setMinimumWidth(420)

    def _explain(self) -> None:
        kind = PUBLISHED_KINDS[self.kind_box.currentData()]
        how = "as the authors' code does it"
        if kind.normalised == "inferred":
            how = "with ImageNet's mean and deviation, because the authors' code does not say how"
        self.about.setText(
            f"{kind.text} Images are normalised {how}. Nothing in the file is run. Its licence is "
            "not known here: ask the authors before you pass it on."
        )

    def _check(self) -> None:
        """Say what is wrong with the name before anything is read."""
        problem = ""
        try:
            self.store.check_name(self.name_edit.text().strip())
        except CheckpointError as error:
            problem = str(error)
        self.problem.say(problem, error=True)
        self.import_button.setEnabled(not problem)

    def work(self) -> Callable[[StopSignal], Generator[str, None, CheckpointInfo]]:
        """Return the job that imports the file as it was asked for."""
        store, file, kind = self.store, self.file, str(self.kind_box.currentData())
        name = self.name_edit.text().strip()
        classes = self.classes_edit.text().strip()
        names = tuple(part.strip() for part in classes.split(",")) if classes else ()

        def steps(stop: StopSignal) -> Generator[str, None, CheckpointInfo]:
            yield f"Reading {file.name} …"
            return import_published(store, file, kind, name, class_names=names)

        return steps
