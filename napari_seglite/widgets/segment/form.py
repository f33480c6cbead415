"""The settings for segmenting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QPushButton, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider

import src_models

from ...checkpoints import CheckpointStore
from ...errors import SegliteError
from ...inference import ENSEMBLES, RESCALE, SegmentRequest, matching_rescale
from ..common import (
    DEFAULT,
    CheckpointBox,
    describe_checkpoint,
    forms,
    layers,
    preferences,
    viewer_region,
)
from .image_rows import ImageRows, hint

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

Output = Literal["semantic", "instances"]
Scope = Literal["all", "current"]
Measure = Literal["", "entropy", "flips", "heads"]
OUTPUTS: dict[Output, str] = {
    "semantic": "Mask: one label per class",
    "instances": "Objects: one label each",
}
SCOPES: dict[Scope, str] = {"all": "All slices", "current": "Current slice"}
UNCERTAINTIES: dict[Measure, str] = {
    "": "Do not show",
    "entropy": "Of the probabilities",
    "flips": "Of mirror images, 4 runs",
    "heads": "Of the network's heads",
}
DEFAULTS = SegmentRequest(DEFAULT, "YX")
# The settings that the next session starts with.
REMEMBERED = ("checkpoint", "device", "output", "threshold", "smooth", "fill_holes", "min_size")


class SegmentForm(QWidget):
    """Image, checkpoint, device, and the way from probabilities to labels.

    Parameters
    ----------
    viewer : ViewerModel
        Its image layers can be chosen.
    store : CheckpointStore
        Its checkpoints can be chosen.

    Signals
    -------
    image_changed()
        Another image layer was chosen, or another level, other axes or channels of it.
    labelling_changed()
        A setting changed that needs no network to apply: threshold, smallest object, result.
    """

    image_changed = Signal()
    labelling_changed = Signal()

    def __init__(
        self, viewer: ViewerModel, store: CheckpointStore, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store = viewer, store
        self._build()
        self._lay_out()
        self._restore()
        self._connect()
        self._show_image()
        self._show_checkpoint()

    def _build(self) -> None:
        self.checkpoint_box = CheckpointBox(self.store)
        self.checkpoint_info = hint()
        self.checkpoint_info.setTextFormat(Qt.TextFormat.PlainText)
        self.device_box = forms.combo(tip="auto takes the fastest device of this computer")
        self.device_box.addItems(["auto", "cpu"])
        self.scope_box = forms.combo(SCOPES)
        self.area_box = forms.combo(
            viewer_region.AREAS, "Labels outside this part of the image do not change"
        )
        self.output_box = forms.combo(OUTPUTS)
        self.depth_box = forms.combo(
            tip="Pruned levels of the network are faster and coarser; it was trained for this"
        )
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.01, 0.99)
        self.threshold.setDecimals(2)
        self.threshold.setToolTip("Probability from which a pixel belongs to an object")
        self.smooth = QDoubleSpinBox()
        self.smooth.setRange(0, 50)
        self.smooth.setDecimals(1)
        self.smooth.setSingleStep(0.5)
        self.smooth.setSuffix(" px")
        self.smooth.setToolTip("Smooths outlines: width of a Gaussian over the probabilities")
        self.fill_holes = _pixels("Holes of up to this many pixels are filled, slice by slice")
        self.min_size = _pixels("Objects of fewer pixels are removed")
        self.uncertainty = forms.combo(
            UNCERTAINTIES, "Adds an image that is bright where the network is uncertain"
        )
        self.rescale = QDoubleSpinBox()
        self.rescale.setRange(*RESCALE)
        self.rescale.setSingleStep(0.1)
        self.rescale.setPrefix("× ")
        self.rescale.setValue(1)
        self.rescale.setToolTip("Enlarges the image for the network; the labels keep its size")
        self.match_button = QPushButton()
        self.match_button.setToolTip("Rescale to the pixel size of the training images")

    def _lay_out(self) -> None:
        self._rows = rows = forms.form_layout(self)
        self.image_rows = ImageRows(self.viewer, rows)
        rows.addRow("Checkpoint", self.checkpoint_box)
        rows.addRow(self.checkpoint_info)
        rows.addRow("Depth", self.depth_box)
        sizes = forms.side_by_side(self.rescale, self.match_button, stretches=(1,))
        rows.addRow("Rescale", sizes)
        rows.addRow("Device", self.device_box)
        rows.addRow("Slices", self.scope_box)
        rows.addRow("Area", self.area_box)
        rows.addRow("Result", self.output_box)
        rows.addRow("Threshold", self.threshold)
        rows.addRow("Smoothing", self.smooth)
        rows.addRow("Fill holes up to", self.fill_holes)
        rows.addRow("Smallest object", self.min_size)
        rows.addRow("Uncertainty", self.uncertainty)

    def _connect(self) -> None:
        self.image_rows.changed.connect(self._show_image)
        self.checkpoint_box.currentIndexChanged.connect(self._show_checkpoint)
        self.match_button.clicked.connect(self._match)
        for signal in (
            self.threshold.valueChanged,
            self.smooth.valueChanged,
            self.fill_holes.valueChanged,
            self.min_size.valueChanged,
            self.output_box.currentIndexChanged,
        ):
            signal.connect(lambda _: self.labelling_changed.emit())

    # ------------------------------------------------------------------ the last session
    def _restore(self) -> None:
        stored = preferences.load({name: getattr(DEFAULTS, name) for name in REMEMBERED})
        self.checkpoint_box.select(stored["checkpoint"])
        self.device_box.setCurrentText(stored["device"])
        forms.select(self.output_box, stored["output"])
        self.threshold.setValue(stored["threshold"])
        self.smooth.setValue(stored["smooth"])
        self.fill_holes.setValue(stored["fill_holes"])
        self.min_size.setValue(stored["min_size"])

    def remember(self, request: SegmentRequest) -> None:
        """Store the settings for the next session."""
        preferences.save({name: getattr(request, name) for name in REMEMBERED})

    # ------------------------------------------------------------------ the rows
    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self.image_rows.image

    def reset_choices(self) -> None:
        """Read the list of layers again."""
        self.image_rows.reset_choices()

    def _show_image(self) -> None:
        self._rows.setRowVisible(self.scope_box, layers.is_stack(self.image))
        self._offer_match()
        self.image_changed.emit()

    def _offer_match(self) -> None:
        factor = self._matching()
        self.match_button.setVisible(factor is not None)
        self.match_button.setText(f"Match (× {factor})")

    def _matching(self) -> float | None:
        try:
            if self.image is not None and (name := self.checkpoint_box.checkpoint):
                return matching_rescale(self.store.info(name), layers.pixel_size(self.image))
        except SegliteError:
            pass  # the rows about image and checkpoint show the error
        return None

    def _match(self) -> None:
        if (factor := self._matching()) is not None:
            self.rescale.setValue(factor)

    def _show_checkpoint(self, _: Any = None) -> None:
        name = self.checkpoint_box.checkpoint
        levels: tuple[int, ...] = ()
        try:
            if name:
                info = self.store.info(name)
                levels = src_models.card(info.network).pruning_levels
                self.checkpoint_info.setText(describe_checkpoint(info))
            else:
                self.checkpoint_info.setText("")
        except SegliteError as error:
            self.checkpoint_info.setText(str(error))
        self.depth_box.clear()
        self.depth_box.addItem("Full", None)
        for level in reversed(levels[:-1]):
            self.depth_box.addItem(f"Pruned to level {level}", level)
        self._rows.setRowVisible(self.depth_box, bool(levels))
        self._offer_heads(bool(levels))  # a network that can be pruned has one head per level
        self._offer_match()

    def _offer_heads(self, available: bool) -> None:
        index = self.uncertainty.findData("heads")
        if available and index < 0:
            self.uncertainty.addItem(UNCERTAINTIES["heads"], "heads")
        elif not available and index >= 0:
            self.uncertainty.removeItem(index)

    def show_devices(self, devices: list[str], tip: str) -> None:
        """Offer the devices of this computer, once they are known.

        Parameters
        ----------
        devices : list of str
            Such as ``["cpu", "cuda:0"]``.
        tip : str
            Shown under the pointer.
        """
        chosen = self.device_box.currentText()
        self.device_box.clear()
        self.device_box.addItems(["auto", *devices])
        self.device_box.setCurrentText(chosen)
        self.device_box.setToolTip(tip)

    # ------------------------------------------------------------------ the request
    def labelling(self) -> dict[str, Any]:
        """Return the arguments of `Segmentation.relabel`."""
        return {
            "threshold": round(self.threshold.value(), 4),
            "smooth": round(self.smooth.value(), 1),
            "fill_holes": self.fill_holes.value(),
            "min_size": self.min_size.value(),
            "output": self.output_box.currentData(),
        }

    def settings(self) -> dict[str, Any]:
        """Return the settings that hold for any image, as arguments of `SegmentRequest`."""
        uncertainty = self.uncertainty.currentData()
        return {
            "checkpoint": self.checkpoint_box.checkpoint,
            "device": self.device_box.currentText(),
            "pruning_level": self.depth_box.currentData(),
            "rescale": round(self.rescale.value(), 2),
            "ensemble": uncertainty if uncertainty in ENSEMBLES else "none",
            **self.labelling(),
        }

    def request(self) -> SegmentRequest:
        """Return all settings as a request for the chosen image.

        Raises
        ------
        SegliteError
            If no image is chosen, or it cannot be segmented with these settings.
        """
        layer = self.image
        if layer is None:
            raise SegliteError("Open an image first, or one of File > Open Sample > SegLite.")
        axes = layers.layer_axes(layer)
        single = axes.stacked and self.scope_box.currentData() == "current"
        return SegmentRequest(
            axes=axes.order,
            frames=(layers.current_frame(self.viewer, layer),) if single else None,
            channels=layers.choice(layer, "channels"),
            level=layers.choice(layer, "level") or 0,
            region=viewer_region.viewed_region(self.viewer, layer, self.area_box.currentData()),
            **self.settings(),
        )


def _pixels(tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(0, 1_000_000)
    box.setSuffix(" px")
    box.setToolTip(tip)
    return box
