"""The panel that measures objects."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtWidgets import QFormLayout, QPushButton, QVBoxLayout, QWidget

from ..common import Job, JobStatus, ScoreTable, Stop, layers, side_by_side

if TYPE_CHECKING:
    import pandas as pd

_LETTERS = "TZYX"


class MeasurePanel(QWidget):
    """Choose labels, click **Measure**, get a row an object: in a table and in the layer.

    The Labels layer's ``features`` hold the same table, where napari shows them under the pointer.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self.labels_box = layers.layer_box(Labels)
        self.image_box = layers.layer_box(Image, optional=True)
        self.image_box.native.setToolTip("For intensities; of the labels' size")
        self.measure_button = QPushButton("Measure")
        self.cancel_button = QPushButton("Cancel")
        self.status = JobStatus("Size, shape and intensity of every object.")
        self.results = ScoreTable("objects.csv")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Image", self.image_box.native)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(side_by_side(self.measure_button, self.cancel_button))
        column.addWidget(self.status)
        column.addWidget(self.results, 1)
        self.labels_box.changed.connect(self._enable)
        self.measure_button.clicked.connect(self.measure)
        self.cancel_button.clicked.connect(self.cancel)
        self.results.said.connect(self.status.say)
        self._enable()

    @property
    def busy(self) -> bool:
        """Whether objects are being measured."""
        return self._job is not None

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.labels_box.reset_choices()
        self.image_box.reset_choices()
        self._enable()

    def take(self, image: Image, labels: Labels) -> None:
        """Offer what was just segmented."""
        self.reset_choices()
        self.image_box.value, self.labels_box.value = image, labels

    def _enable(self, _: Any = None) -> None:
        self.measure_button.setEnabled(self.labels_box.value is not None and not self.busy)
        self.cancel_button.setEnabled(self.busy)

    def measure(self) -> None:
        """Start measuring the chosen layers."""
        labels, image = self.labels_box.value, self.image_box.value
        if self.busy or labels is None:
            return
        pixels = None if image is None else layers.pixels(image)
        if pixels is not None and pixels.shape[: labels.ndim] != labels.data.shape:
            self.status.say(
                f"{image.name} and {labels.name} differ in size, so intensities cannot be "
                "measured. Choose another image, or none.",
                error=True,
            )
            return
        self.results.show_frame(None)
        self.status.start()
        # A copy: the user goes on painting meanwhile.
        data = np.array(labels.data)
        scale = np.abs(labels.scale).tolist()
        names = [layers.letter(name) for name in labels.axis_labels]
        axes = "".join(names) if all(names) else _LETTERS[-labels.ndim :]
        self._job = job = Job(
            lambda stop, gone: _work(data, pixels, scale, axes, lambda: stop() or gone()), self
        )
        job.progressed.connect(lambda done: self.status.advance(*done))
        job.succeeded.connect(lambda table: self._on_result(labels, table))
        job.failed.connect(lambda text: self.status.say(f"{labels.name}: {text}", error=True))
        job.ended.connect(self._on_ended)
        self._enable()
        job.start()

    def cancel(self) -> None:
        """Stop measuring."""
        if self._job is not None:
            self._job.stop()
            self.status.say("Cancelling …")

    def _on_result(self, labels: Labels, table: pd.DataFrame) -> None:
        if self._job is None or self._job.stopping:
            return
        self.results.show_frame(table)
        unit = str(labels.units[-1])
        text = f"{len(table)} objects, lengths in {unit}."
        if table.index.is_unique:
            # napari finds a label's row by the column of this name.
            labels.features = table.rename_axis("index").reset_index()
        else:
            text += " Numbers come back in other time points, so the layer does not get the table."
        self.status.say(text)

    def _on_ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.status.say("Cancelled.")
        self._job = None
        self.status.rest()
        self._enable()


def _work(
    labels: np.ndarray, image: Any, spacing: list[float], axes: str, stop: Stop
) -> Generator[tuple[int, int], None, pd.DataFrame]:
    from ...labels import measure_series

    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    steps = []
    for done, count, table in measure_series(labels, image, spacing, axes, stop):
        steps = [table]
        yield done, count
    return steps[-1]
