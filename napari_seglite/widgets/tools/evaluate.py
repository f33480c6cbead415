"""The panel that compares labels with a reference."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QCheckBox, QFormLayout, QPushButton, QVBoxLayout, QWidget

from ...labels import ADDED, MISSED, OTHER_CLASS, Evaluation, evaluate
from ..common import Job, JobStatus, ScoreTable, Stop, layers, side_by_side

if TYPE_CHECKING:
    from napari.components import ViewerModel

TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "sensitivity": "Sensitivity",
    "precision": "Precision",
    "hausdorff95": "95 % Hausdorff",
    "surface_distance": "Surface distance",
    "ap50": "AP50",
    "aji": "AJI",
}
COLOURS: dict[int | None, str] = {MISSED: "#ff4040", ADDED: "#40a0ff", OTHER_CLASS: "#ffd040"}


class EvaluatePanel(QWidget):
    """Choose labels and a reference, click **Compare**, get a table and an overlay of errors."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.comparison: Evaluation | None = None
        self._job: Job | None = None
        self._build()

    def _build(self) -> None:
        self.labels_box, self.truth_box = layers.layer_box(Labels), layers.layer_box(Labels)
        self.classes = QCheckBox("Each class")
        self.slices = QCheckBox("Each slice")
        self.objects = QCheckBox("Objects")
        self.objects.setToolTip("F1 at IoU 0.5 to 0.9, AP50 and AJI of labels that are objects")
        self.overlay = QCheckBox("Show errors")
        self.overlay.setToolTip("Missed in red, added in blue, another class in yellow")
        self.overlay.setChecked(True)
        self.compare_button = QPushButton("Compare")
        self.cancel_button = QPushButton("Cancel")
        self.status = JobStatus("Compare labels with others that you trust.")
        self.results = ScoreTable("scores.csv")
        self.results.said.connect(self.status.say)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Reference", self.truth_box.native)
        column = QVBoxLayout(self)
        column.addLayout(form)
        for row in (
            (self.classes, self.slices),
            (self.objects, self.overlay),
            (self.compare_button, self.cancel_button),
        ):
            column.addLayout(side_by_side(*row))
        column.addWidget(self.status)
        column.addWidget(self.results, 1)

        for box in (self.labels_box, self.truth_box):
            box.changed.connect(self._enable)
        self.compare_button.clicked.connect(self.evaluate)
        self.cancel_button.clicked.connect(self.cancel)
        self._enable()

    # ------------------------------------------------------------------ state
    @property
    def busy(self) -> bool:
        """Whether a comparison runs."""
        return self._job is not None

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.labels_box.reset_choices()
        self.truth_box.reset_choices()
        self._enable()

    def _enable(self, _: Any = None) -> None:
        both = self.labels_box.value is not None and self.truth_box.value is not None
        self.compare_button.setEnabled(both and not self.busy)
        self.cancel_button.setEnabled(self.busy)

    # ------------------------------------------------------------------ comparing
    def evaluate(self) -> None:
        """Start comparing the chosen layers."""
        labels, truth = self.labels_box.value, self.truth_box.value
        if self.busy or labels is None or truth is None:
            return
        if labels == truth:
            self.status.say("Choose two different layers.", error=True)
            return
        # Copies: the user goes on painting meanwhile.
        pair = np.array(labels.data), np.array(truth.data)
        options = {
            "spacing": tuple(np.abs(truth.scale).tolist()),
            "classes": self.classes.isChecked(),
            "slices": self.slices.isChecked(),
            "objects": self.objects.isChecked(),
        }
        self.comparison = None
        self.results.show_frame(None)
        self.status.start()
        self._job = job = Job(lambda stop, gone: _work(pair, options, stop, gone), self)
        job.progressed.connect(lambda row: self.status.say(f"Comparing: {row} …"))
        job.succeeded.connect(lambda result: self._on_result(labels, truth, result))
        job.failed.connect(
            lambda text: self.status.say(f"{labels.name}, {truth.name}: {text}", error=True)
        )
        job.ended.connect(self._on_ended)
        self._enable()
        job.start()

    def cancel(self) -> None:
        """Stop the comparison."""
        if self._job is not None:
            self._job.stop()
            self.status.say("Cancelling …")

    def _on_result(self, labels: Labels, truth: Labels, comparison: Evaluation) -> None:
        if self._job is None or self._job.stopping:
            return
        self.comparison = comparison
        table, scores = comparison.table(), comparison.rows["all"]
        titles = {name: TITLES.get(name, name.replace("f1_", "F1 at ")) for name in table}
        self.results.show_frame(table, titles)
        unit = str(truth.units[-1])
        self.status.say(
            f"Dice {scores['dice']:.3f}, 95 % Hausdorff distance {scores['hausdorff95']:.3g} {unit}"
        )
        if self.overlay.isChecked() and truth in self.viewer.layers:
            self._show_errors(labels, truth, comparison)

    def _show_errors(self, labels: Labels, truth: Labels, comparison: Evaluation) -> None:
        name = f"{labels.name} errors"
        before = [layer for layer in self.viewer.layers if layer.name == name]
        if before and before[0].data.shape == comparison.errors.shape:
            before[0].data = comparison.errors
            return
        placement = {
            key: getattr(truth, key)
            for key in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        }
        colours = {0: "transparent", **COLOURS, None: "transparent"}
        self.viewer.add_labels(
            comparison.errors,
            name=name,
            colormap=DirectLabelColormap(color_dict=colours),
            **placement,
        )

    def _on_ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.status.say("Cancelled.")
        self._job = None
        self.status.rest()
        self._enable()

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        self.results.save(path)


def _work(
    pair: tuple[np.ndarray, np.ndarray], options: dict[str, Any], stop: Stop, gone: Stop
) -> Generator[str, None, Evaluation | None]:
    so_far = None
    for row, comparison in evaluate(*pair, **options, stop=lambda: stop() or gone()):
        so_far = comparison
        yield row
    return so_far
