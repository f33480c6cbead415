"""How objects reach through a stack, and whether they keep their ids over time."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QSpinBox

from ...inference import SegmentRequest, stack_objects_for
from ...labels import StackObjects
from ..common import DEFAULT, forms

WAYS: dict[StackObjects, str] = {
    "volume": "Split in 3-D",
    "joined": "Join slices",
    "slices": "Slices on their own",
}
_DEFAULTS = SegmentRequest(DEFAULT, "YX")
_LARGEST_GAP = 10


class StackRows(QObject):
    """The settings for objects of a stack, shown where they apply.

    The way through a Z stack is the usual one for the distance of its slices until the user
    chooses another; to choose the usual one is to follow it again.

    Parameters
    ----------
    rows : QFormLayout
        The form to add the rows to.

    Signals
    -------
    changed()
        The user changed one of the settings.
    """

    changed = Signal()

    def __init__(self, rows: QFormLayout) -> None:
        super().__init__(rows)
        self._rows = rows
        self._axes, self._objects = "YX", False
        self._spacing: float | None = None
        self._chosen: StackObjects | None = None
        self._following = False
        self._build()
        rows.addRow("3-D objects", self.way_box)
        rows.addRow("Over time", self.over_time)
        rows.addRow("Least overlap", self.overlap)
        rows.addRow("Largest gap", self.gap)
        self._offer()
        self.way_box.currentIndexChanged.connect(lambda _: self._choose_way())
        for signal in (self.overlap.valueChanged, self.gap.valueChanged, self.over_time.toggled):
            signal.connect(lambda _: self._tell())

    def _build(self) -> None:
        self.way_box = forms.combo(
            WAYS,
            "How objects reach through the slices. Split in 3-D respects the distance of slices "
            "and is best where it is at most a few pixels. Join slices finds objects slice by "
            "slice and joins those that overlap: good for slices far apart, such as serial "
            "sections. Slices on their own have objects of their own",
        )
        self.overlap = QSpinBox()
        self.overlap.setRange(1, 100)
        self.overlap.setSuffix(" %")
        self.overlap.setValue(round(100 * _DEFAULTS.least_overlap))
        self.overlap.setToolTip(
            "Objects of neighbouring slices or time points are one if at least this share of the "
            "smaller lies in the larger. 25 % is usual; higher where different objects are joined, "
            "lower where one is cut"
        )
        self.gap = QSpinBox()
        self.gap.setRange(0, _LARGEST_GAP)
        self.gap.setToolTip(
            "Slices or time points that an object may miss in between and still be one. 0 is "
            "usual; 1 bridges single bad slices. Nothing is painted into the gap"
        )
        self.over_time = QCheckBox("Keep ids")
        self.over_time.setToolTip(
            "An object that overlaps with one of the time point before has its id. Good for "
            "objects that move by less than their width; of two that divide, one keeps the id"
        )

    def show_stack(self, axes: str, spacing: float | None) -> None:
        """Offer what applies to an image, with the usual way for its slices.

        Parameters
        ----------
        axes : str
            Of the image.
        spacing : float or None
            Distance of its slices, in pixels of a slice; None if unknown.
        """
        self._axes, self._spacing = axes, spacing if "Z" in axes else None
        self._following = True
        forms.select(self.way_box, self._chosen or self._usual)
        self._following = False
        self._offer()

    def show_objects(self, objects: bool) -> None:
        """Show the rows for objects, or hide them for masks."""
        self._objects = objects
        self._offer()

    def values(self) -> dict[str, Any]:
        """Return the settings for the image as arguments of `Segmentation.relabel`."""
        stack = "Z" in self._axes
        return {
            **self.for_any_image(),
            "stack_objects": self.way_box.currentData() if stack else None,
            "slice_spacing": (self._spacing or 1.0) if stack else None,
        }

    def for_any_image(self) -> dict[str, Any]:
        """Return the settings that do not depend on the slices of the image."""
        return {
            "stack_objects": self._chosen,
            "least_overlap": self.overlap.value() / 100,
            "largest_gap": self.gap.value(),
            "time_objects": self.over_time.isChecked(),
        }

    @property
    def _usual(self) -> StackObjects:
        return stack_objects_for(self._spacing or 1.0)

    def _offer(self) -> None:
        stack, series = (self._objects and axis in self._axes for axis in "ZT")
        joined = stack and self.way_box.currentData() == "joined"
        self._rows.setRowVisible(self.way_box, stack)
        self._rows.setRowVisible(self.over_time, series)
        for box in (self.overlap, self.gap):
            self._rows.setRowVisible(box, joined or (series and self.over_time.isChecked()))

    def _choose_way(self) -> None:
        if not self._following:
            way = self.way_box.currentData()
            self._chosen = None if way == self._usual else way
            self._tell()

    def _tell(self) -> None:
        self._offer()
        self.changed.emit()
