"""The way from probabilities to labels: kind of result, threshold, smoothing, sizes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QSpinBox

from ...checkpoints import CheckpointInfo
from ...inference import SegmentRequest
from ...labels import Output
from ..common import DEFAULT, KeySlider, forms, preferences
from .stack_rows import StackRows

OUTPUTS: dict[Output, str] = {
    "semantic": "Mask of each class",
    "instances": "Separate objects",
}
# What the checkpoint's card says until the user chooses, and how preferences store "not chosen".
_OWN = {"output": "checkpoint", "min_size": -1, "split_depth": -1.0, "least_probability": -1.0}
_PLAIN = ("threshold", "smooth", "fill_holes")
_DEFAULTS = SegmentRequest(DEFAULT, "YX")


class LabellingRows(QObject):
    """The settings that need no network to apply.

    Kind of result and smallest object are what the checkpoint's card says until the user chooses
    something else. A choice holds for other checkpoints, too; to choose what the card says is to
    follow it again.

    Parameters
    ----------
    rows : QFormLayout
        The form to add the rows to.

    Signals
    -------
    changed()
        One of the settings.
    """

    changed = Signal()

    def __init__(self, rows: QFormLayout) -> None:
        super().__init__(rows)
        self._own: dict[str, Any] = {
            "output": "semantic",
            "min_size": 0,
            "split_depth": None,
            "least_probability": 0.0,
        }
        self._rows = rows
        self._chosen: dict[str, Any] = {}
        self._following = False
        self._build()
        rows.addRow("Result", self.output_box)
        rows.addRow("Threshold", self.threshold)
        rows.addRow("Smoothing", self.smooth)
        rows.addRow("Fill holes up to", self.fill_holes)
        rows.addRow("Smallest object", self.min_size)
        rows.addRow("Split depth", self.split_depth)
        rows.addRow("Least probability", self.least_probability)
        self.stack = StackRows(rows)
        self._restore()
        self._show_rows()
        for signal in (
            self.threshold.valueChanged,
            self.smooth.valueChanged,
            self.fill_holes.valueChanged,
        ):
            signal.connect(lambda _: self.changed.emit())
        self.output_box.currentIndexChanged.connect(lambda _: self._note("output"))
        self.stack.changed.connect(self.changed)
        self.min_size.valueChanged.connect(lambda _: self._note("min_size"))
        self.split_depth.valueChanged.connect(lambda _: self._note("split_depth"))
        self.least_probability.valueChanged.connect(lambda _: self._note("least_probability"))

    def _build(self) -> None:
        self.output_box = forms.combo(
            OUTPUTS,
            "A mask numbers classes. Objects are numbered one by one, and split where they touch. "
            "At first what the checkpoint is for: objects for nuclei",
        )
        self.threshold = KeySlider(0.01, 0.99)
        self.threshold.setToolTip(
            "Probability from which a pixel is foreground. 0.5 is usual; lower finds more and "
            "wider objects. Arrow keys move it by 0.01, page keys by 0.1"
        )
        self.smooth = QDoubleSpinBox()
        self.smooth.setRange(0, 50)
        self.smooth.setDecimals(1)
        self.smooth.setSingleStep(0.5)
        self.smooth.setSuffix(" px")
        self.smooth.setToolTip(
            "Standard deviation of a Gaussian over the probabilities: smoother outlines. 0 is "
            "none, 1 to 2 px rounds jagged edges"
        )
        self.fill_holes = _pixels(
            "Holes of up to this many pixels are filled, slice by slice. 0 fills none"
        )
        self.min_size = _pixels(
            "Objects of fewer pixels (in a stack, voxels) are removed. At first the smallest that "
            "the checkpoint learnt, such as 25 px for nuclei; 0 keeps all"
        )

        self.split_depth = KeySlider(0.01, 0.5)
        self.split_depth.setToolTip(
            "How deep the dip between two objects must be for them to be two, as the network's "
            "object head sees it. Lower splits more. At first what suits the checkpoint, such as "
            "0.08 for nuclei"
        )

        self.least_probability = KeySlider(0.0, 0.99)
        self.least_probability.setToolTip(
            "Objects whose pixels have a lower mean probability are removed: raise it where the "
            "network sees objects that are none. At first what suits the checkpoint; 0 keeps all"
        )

    def _restore(self) -> None:
        stored = preferences.load({**{n: getattr(_DEFAULTS, n) for n in _PLAIN}, **_OWN})
        self._chosen = {k: None if stored[k] == none else stored[k] for k, none in _OWN.items()}
        self.threshold.setValue(stored["threshold"])
        self.smooth.setValue(stored["smooth"])
        self.fill_holes.setValue(stored["fill_holes"])

    def remember(self) -> None:
        """Store the settings for the next session."""
        shown = self.values()
        own = {k: none if self._chosen[k] is None else self._chosen[k] for k, none in _OWN.items()}
        preferences.save({**{name: shown[name] for name in _PLAIN}, **own})

    def values(self) -> dict[str, Any]:
        """Return the settings as arguments of `Segmentation.relabel`."""
        return {**self.for_any_image(), **self.stack.values()}

    def for_any_image(self) -> dict[str, Any]:
        """Return the settings that do not depend on the slices of an image."""
        return {
            **self.stack.for_any_image(),
            "threshold": round(self.threshold.value(), 4),
            "smooth": round(self.smooth.value(), 1),
            "fill_holes": self.fill_holes.value(),
            "min_size": self.min_size.value(),
            "output": self.output_box.currentData(),
            "split_depth": self._depth(),
            "least_probability": round(self.least_probability.value(), 4),
        }

    def _depth(self) -> float | None:
        return None if self._own["split_depth"] is None else round(self.split_depth.value(), 4)

    def _show_rows(self) -> None:
        """Show the rows that apply to this kind of result and this checkpoint."""
        objects = self.output_box.currentData() == "instances"
        self.stack.show_objects(objects)
        headed = self._own["split_depth"] is not None
        self._rows.setRowVisible(self.split_depth, objects and headed)
        self._rows.setRowVisible(self.least_probability, objects)

    def follow(self, info: CheckpointInfo, rescale: float) -> None:
        """Show what a checkpoint's card says where the user chose nothing.

        Parameters
        ----------
        info : CheckpointInfo
            The card.
        rescale : float
            Factor by which the image is enlarged for the network.
        """
        request = SegmentRequest(info.id, "YX", rescale=rescale).resolved(info)
        self._own = {name: getattr(request, name) for name in _OWN}
        before = self.values()
        shown = {
            k: own if self._chosen[k] is None else self._chosen[k] for k, own in self._own.items()
        }
        self._following = True
        forms.select(self.output_box, shown["output"])
        self.min_size.setValue(shown["min_size"])
        self.least_probability.setValue(shown["least_probability"])
        if self._own["split_depth"] is not None:
            self.split_depth.setValue(shown["split_depth"])
        self._following = False
        self._show_rows()
        if self.values() != before:
            self.changed.emit()

    def _note(self, name: str) -> None:
        """Take what is shown for the user's choice."""
        self._show_rows()
        if not self._following:
            value = self.values()[name]
            self._chosen[name] = None if value == self._own[name] else value
            self.changed.emit()


def _pixels(tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(0, 1_000_000)
    box.setSuffix(" px")
    box.setToolTip(tip)
    return box
