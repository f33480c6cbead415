"""The panel that measures objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ...errors import ImageError
from ...images import long_unit
from ...labels import frame_interval, measure_series, pixel_sizes
from ..common import JobRunner, JobStatus, ScoreTable, forms, last_of, layers
from . import words
from .label_grid import label_grid
from .older_layers import choosable

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel


class MeasurePanel(QWidget):
    """Choose labels, click **Measure**, get one row per object, in a table and in the layer.

    The Labels layer's ``features`` hold the same table; napari shows them under the pointer.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers can be chosen.
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.labels_box = forms.layer_box(
            viewer, Labels, tip="The labels to measure; every number is one object"
        )
        self.labels_box.choices = lambda _: choosable(viewer.layers)
        self.image_box = forms.layer_box(
            viewer,
            Image,
            optional=True,
            tip="The image whose intensities are measured inside the objects; its size must be "
            "that of the labels. Without one, only size and shape are measured.",
        )
        self.measure_button, self.cancel_button = QPushButton("Measure"), QPushButton("Cancel")
        self.measure_button.setToolTip(
            "Measure every object: a row in the table below, and under the pointer in the view"
        )
        self.cancel_button.setToolTip("Stop measuring; nothing is shown")
        self.status = JobStatus("Size, shape and intensity of every object.")
        self.results = ScoreTable("objects.csv")
        form = forms.form_layout()
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Image", self.image_box.native)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(forms.side_by_side(self.measure_button, self.cancel_button))
        column.addWidget(self.status)
        column.addWidget(self.results, 1)
        self.runner = JobRunner(
            self,
            self.status,
            self.measure_button,
            self.cancel_button,
            ready=lambda: self.labels_box.value is not None,
        )
        self.labels_box.changed.connect(self.runner.refresh)
        self.measure_button.clicked.connect(self.measure)
        self.results.said.connect(self.status.say)
        self.runner.refresh()

    @property
    def busy(self) -> bool:
        """Whether objects are being measured."""
        return self.runner.busy

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.labels_box.reset_choices()
        self.image_box.reset_choices()
        self.runner.refresh()

    def offer(self, image: Image, labels: Labels) -> None:
        """Choose the layers that were just segmented."""
        self.reset_choices()
        self.image_box.value, self.labels_box.value = image, labels

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
        try:
            grid = label_grid(labels)
        except ImageError as error:
            self.status.say(str(error), error=True)
            return
        self.results.show_frame(None)
        # A copy, because the user may paint during the job.
        data = np.array(labels.data, np.uint8 if labels.data.dtype.kind == "b" else None)
        sizes, unit = pixel_sizes(grid)
        scale = [sizes.get(axis, 1.0) for axis in grid.axes]
        interval, time_unit = frame_interval(grid)
        text = f"lengths in {long_unit(unit)}"
        text += f", times in {long_unit(time_unit)}." if time_unit else "."
        self.runner.start(
            lambda stop: last_of(measure_series(data, pixels, scale, grid.axes, stop, interval)),
            progressed=lambda step: self.status.advance(step[0], step[1]),
            succeeded=lambda step: self._on_result(labels, step[2], text),
            failed=lambda text: self.status.say(f"{labels.name}: {text}", error=True),
        )

    def _on_result(self, labels: Labels, table: pd.DataFrame, units: str) -> None:
        self.results.show_frame(table)
        words.explain(self.results.table, list(table), words.measure)
        text = f"{len(table)} object{'' if len(table) == 1 else 's'}, {units}"
        if table.index.is_unique:
            # napari finds a label's row by the column of this name.
            labels.features = table.rename_axis("index").reset_index()
        else:
            text += (
                " Several time points use the same numbers, so the layer does not get the table."
            )
        self.status.say(text)
