"""The panel that compares labels with a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QCheckBox, QPushButton, QVBoxLayout, QWidget

from ...errors import ImageError
from ...images import long_unit
from ...labels import ADDED, LENGTHS, MISSED, OTHER_CLASS, Evaluation, evaluate, pixel_sizes
from ..common import JobRunner, JobStatus, ScoreTable, forms, last_of, layers
from . import words
from .label_grid import label_grid
from .legend import Legend
from .older_layers import ERRORS, choosable, hide_older

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
MEANINGS = {
    COLOURS[MISSED]: "missed",
    COLOURS[ADDED]: "false",
    COLOURS[OTHER_CLASS]: "wrong class",
    "transparent": "right",
}


LEGEND_TIP = (
    "The colours of the layer of errors. Missed: only in the reference; false: only in the labels; "
    "wrong class: in both, with another number; right: not coloured."
)
LABELS_TIP = "The labels to judge, such as those of a segmentation"
TRUTH_TIP = (
    "The labels that you trust, such as those that an expert drew. They must have the same size; "
    "choose the layer of the other list to swap the two."
)


class EvaluatePanel(QWidget):
    """Choose labels and a reference, click **Compare**, get a table and an overlay of errors."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._chosen: tuple[Labels | None, Labels | None] = (None, None)
        self._build()
        self.runner = JobRunner(
            self,
            self.status,
            self.compare_button,
            self.cancel_button,
            ready=lambda: None not in (self.labels_box.value, self.truth_box.value),
        )
        for box in (self.labels_box, self.truth_box):
            box.changed.connect(self._on_chosen)
        self.tidy_button.clicked.connect(self.hide_older)
        self.compare_button.clicked.connect(self.evaluate)
        self.results.said.connect(self.status.say)
        self.runner.refresh()

    def _build(self) -> None:
        self.labels_box = forms.layer_box(self.viewer, Labels, tip=LABELS_TIP)
        self.truth_box = forms.layer_box(self.viewer, Labels, optional=True, tip=TRUTH_TIP)
        for box in (self.labels_box, self.truth_box):
            box.choices = lambda _: choosable(self.viewer.layers)
        self.classes, self.slices = QCheckBox("Each class"), QCheckBox("Each slice")
        self.objects, self.overlay = QCheckBox("Objects"), QCheckBox("Show errors")
        self.classes.setToolTip(
            "Also a row of scores for each class. Tick it where labels are classes, not objects."
        )
        self.slices.setToolTip(
            "Also a row of scores for each slice, to find the slices that are still wrong"
        )
        self.objects.setToolTip(
            "Also match objects one to one: F1 at an IoU of 0.5 to 0.9, AP50 and AJI. Tick it "
            "where every object has its own number, such as nuclei."
        )
        self.overlay.setToolTip("Add a layer that shows where labels and reference differ")
        self.legend = Legend(MEANINGS, LEGEND_TIP)
        self.overlay.toggled.connect(self.legend.setVisible)
        self.overlay.setChecked(True)
        self.compare_button, self.cancel_button = QPushButton("Compare"), QPushButton("Cancel")
        self.compare_button.setToolTip("Score the labels against the reference; changes neither")
        self.cancel_button.setToolTip("Stop comparing; nothing is shown")
        self.tidy_button = QPushButton("Hide older layers")
        self.tidy_button.setToolTip(
            "Hide previews, uncertainty, errors and earlier labels of SegLite, so that the images "
            "and their current labels remain. Nothing is removed: the eyes in the layer list show "
            "them again."
        )
        self.status = JobStatus("Compare labels with others that you trust.")
        self.results = ScoreTable("scores.csv")
        form = forms.form_layout()
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Reference", self.truth_box.native)
        column = QVBoxLayout(self)
        column.addLayout(form)
        for row in (
            (self.classes, self.slices),
            (self.objects, self.overlay),
            (self.legend,),
            (self.compare_button, self.cancel_button),
            (self.tidy_button,),
        ):
            column.addLayout(forms.side_by_side(*row))
        column.addWidget(self.status)
        column.addWidget(self.results, 1)

    @property
    def busy(self) -> bool:
        """Whether labels are being compared."""
        return self.runner.busy

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.labels_box.reset_choices()
        self.truth_box.reset_choices()
        self._on_chosen()

    def _on_chosen(self, _: Any = None) -> None:
        """Keep the two apart: to choose the layer of the other list swaps them."""
        labels, truth = self.labels_box.value, self.truth_box.value
        if labels is not None and labels is truth:
            was_labels, was_truth = self._chosen
            to_labels = labels is was_labels
            before = was_truth if to_labels else was_labels
            others = [layer for layer in self.labels_box.choices if layer is not labels]
            other = before if before in others else next(iter(others), None)
            box = self.labels_box if to_labels and other is not None else self.truth_box
            with box.changed.blocked():
                box.value = other
        self._chosen = self.labels_box.value, self.truth_box.value
        self.runner.refresh()

    def hide_older(self) -> None:
        """Hide everything of SegLite but the current labels."""
        hidden = hide_older(self.viewer)
        names = ", ".join(hidden[:4]) + (", …" if len(hidden) > 4 else "")
        self.status.say(f"Hidden: {names}." if hidden else "There is nothing older to hide.")

    def evaluate(self) -> None:
        """Start comparing the chosen layers."""
        labels, truth = self.labels_box.value, self.truth_box.value
        if self.busy or labels is None or truth is None:
            return
        try:
            grid = label_grid(truth)
        except ImageError as error:
            self.status.say(str(error), error=True)
            return
        # Copies, because the user may paint during the job.
        mirrored = layers.mirrored_axes(labels, truth)  # two files of one volume may be
        pair = np.flip(np.array(labels.data), mirrored), np.array(truth.data)
        sizes, unit = pixel_sizes(grid)
        options: dict[str, Any] = {
            "axes": grid.axes,
            "spacing": [sizes.get(axis, 1.0) for axis in grid.axes],
            "classes": self.classes.isChecked(),
            "slices": self.slices.isChecked(),
            "objects": self.objects.isChecked(),
        }
        self.results.show_frame(None)
        self.runner.start(
            lambda stop: last_of(evaluate(*pair, **options, stop=stop)),
            progressed=lambda step: self.runner.show(f"Comparing: {step[0]} …"),
            succeeded=lambda step: self._on_result(labels, truth, step[1], long_unit(unit)),
            failed=lambda text: self.status.say(f"{labels.name}, {truth.name}: {text}", error=True),
        )

    def _on_result(self, labels: Labels, truth: Labels, evaluation: Evaluation, unit: str) -> None:
        table, scores = evaluation.table(), evaluation.rows["all"]
        titles = {name: TITLES.get(name, name.replace("f1_", "F1 at ")) for name in table}
        titles |= {name: f"{titles[name]} ({unit})" for name in LENGTHS}
        self.results.show_frame(table, titles)
        words.explain(self.results.table, list(table), words.score)
        distance = f"95 % Hausdorff distance {scores['hausdorff95']:.3g} {unit}"
        lines = [f"Dice {scores['dice']:.3f}, {distance}", *evaluation.notices]
        self.status.say("\n".join(lines))
        if self.overlay.isChecked() and truth in self.viewer.layers:
            self._show_errors(labels, truth, evaluation.errors)

    def _show_errors(self, labels: Labels, truth: Labels, errors: np.ndarray) -> None:
        name = f"{labels.name} errors"
        before = [layer for layer in self.viewer.layers if layer.name == name]
        if before and before[0].data.shape == errors.shape:
            before[0].data = errors
            return
        placement = {
            key: getattr(truth, key)
            for key in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        }
        colours = {0: "transparent", **COLOURS, None: "transparent"}
        colormap = DirectLabelColormap(color_dict=colours)
        self.viewer.add_labels(
            errors, name=name, colormap=colormap, metadata={ERRORS: True}, **placement
        )

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        self.results.save(path)
