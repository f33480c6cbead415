"""What the user sets before segmenting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QWidget,
)
from superqt import QLabeledDoubleSlider

import src_models

from ...checkpoints import CheckpointStore
from ...errors import SegliteError
from ...inference import ENSEMBLES, RESCALE, SegmentRequest, matching_rescale
from ..common import DEFAULT, CheckpointBox, describe, layers, preferences, viewer_region
from .image_rows import ImageRows, hint

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

OUTPUTS = {"semantic": "Mask: one label a class", "instances": "Objects: one label each"}
SCOPES = {"all": "All slices", "current": "Current slice"}
UNCERTAINTIES = {
    "": "Do not show",
    "entropy": "Of the probabilities",
    "flips": "Of mirror images, 4 runs",
    "heads": "Of the network's heads",
}
DEFAULTS = SegmentRequest(DEFAULT, "YX")


class SegmentForm(QWidget):
    """Image, checkpoint, device, and how probabilities become labels.

    Signals
    -------
    image_changed()
        Another image layer was chosen, or another level, other axes or channels of it.
    labelling_changed()
        Something that takes no network to apply: threshold, smallest object, kind of result.
    """

    image_changed = Signal()
    labelling_changed = Signal()

    def __init__(
        self, viewer: ViewerModel, store: CheckpointStore, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store = viewer, store
        self.checkpoint_box = CheckpointBox(store)
        self.checkpoint_info = hint()
        self.device_box = QComboBox()
        self.device_box.addItems(["auto", "cpu"])
        self.device_box.setToolTip("auto takes the fastest device of this computer")
        self.scope_box = _combo(SCOPES)
        self.area_box = _combo(viewer_region.AREAS)
        self.area_box.setToolTip("Only this part of the labels changes")
        self.output_box = _combo(OUTPUTS)
        self.depth_box = QComboBox()
        self.depth_box.setToolTip("Less depth is faster and coarser; the network was made for it")
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.01, 0.99)
        self.threshold.setDecimals(2)
        self.threshold.setToolTip("Probability from which a pixel belongs to an object")
        self.smooth = QDoubleSpinBox()
        self.smooth.setRange(0, 50)
        self.smooth.setDecimals(1)
        self.smooth.setSingleStep(0.5)
        self.smooth.setSuffix(" px")
        self.smooth.setToolTip("Evens out borders; width of a Gaussian over the probabilities")
        self.fill_holes = QSpinBox()
        self.fill_holes.setRange(0, 1_000_000)
        self.fill_holes.setSuffix(" px")
        self.fill_holes.setToolTip("Holes of up to so many pixels are filled, slice by slice")
        self.uncertainty = _combo(UNCERTAINTIES)
        self.uncertainty.setToolTip("Adds an image that is bright where the network is unsure")
        self.rescale = QDoubleSpinBox()
        self.rescale.setRange(*RESCALE)
        self.rescale.setSingleStep(0.1)
        self.rescale.setPrefix("× ")
        self.rescale.setValue(1)
        self.rescale.setToolTip("How much larger the network sees the image; labels keep its size")
        self.match_button = QPushButton()
        self.match_button.setToolTip("Show the network pixels of the size it learnt")
        self.min_size = QSpinBox()
        self.min_size.setRange(0, 1_000_000)
        self.min_size.setSuffix(" px")
        self.min_size.setToolTip("Objects of fewer pixels are removed")
        self._lay_out()
        self._restore()
        self._connect()
        self._show_image()
        self._show_checkpoint()

    def _lay_out(self) -> None:
        self._rows = rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.image_rows = ImageRows(rows)
        rows.addRow("Checkpoint", self.checkpoint_box)
        rows.addRow(self.checkpoint_info)
        rows.addRow("Depth", self.depth_box)
        sizes = QHBoxLayout()
        sizes.addWidget(self.rescale, 1)
        sizes.addWidget(self.match_button)
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

    def _restore(self) -> None:
        stored = preferences.load(self._kept(DEFAULTS))
        self.checkpoint_box.select(stored["checkpoint"])
        self.device_box.setCurrentText(stored["device"])
        self.output_box.setCurrentIndex(max(0, self.output_box.findData(stored["output"])))
        self.threshold.setValue(stored["threshold"])
        self.smooth.setValue(stored["smooth"])
        self.fill_holes.setValue(stored["fill_holes"])
        self.min_size.setValue(stored["min_size"])

    def remember(self, request: SegmentRequest) -> None:
        """Keep the settings for the next session."""
        preferences.save(self._kept(request))

    @staticmethod
    def _kept(request: SegmentRequest) -> dict[str, Any]:
        names = ("checkpoint", "device", "output", "threshold", "smooth", "fill_holes", "min_size")
        return {name: getattr(request, name) for name in names}

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
            pass  # the rows about image and checkpoint say what is wrong
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
                self.checkpoint_info.setText(describe(info))
            else:
                self.checkpoint_info.setText("")
        except SegliteError as error:
            self.checkpoint_info.setText(str(error))
        self.depth_box.clear()
        self.depth_box.addItem("Full", None)
        for level in reversed(levels[:-1]):
            self.depth_box.addItem(f"Pruned to level {level}", level)
        self._rows.setRowVisible(self.depth_box, bool(levels))
        self._offer_heads(bool(levels))  # there is one a level
        self._offer_match()

    def _offer_heads(self, there: bool) -> None:
        found = self.uncertainty.findData("heads")
        if there and found < 0:
            self.uncertainty.addItem(UNCERTAINTIES["heads"], "heads")
        elif not there and found >= 0:
            self.uncertainty.removeItem(found)

    def show_devices(self, found: list[str], hint: str) -> None:
        """Offer the devices of this computer, once they are known."""
        chosen = self.device_box.currentText()
        self.device_box.clear()
        self.device_box.addItems(["auto", *found])
        self.device_box.setCurrentText(chosen)
        self.device_box.setToolTip(hint)

    def labelling(self) -> dict[str, Any]:
        """Return what `Segmentation.relabel` takes."""
        return {
            "threshold": round(self.threshold.value(), 4),
            "smooth": round(self.smooth.value(), 1),
            "fill_holes": self.fill_holes.value(),
            "min_size": self.min_size.value(),
            "output": self.output_box.currentData(),
        }

    def settings(self) -> dict[str, Any]:
        """Return what is set whatever the image is, as arguments of `SegmentRequest`."""
        shown = self.uncertainty.currentData()
        return {
            "checkpoint": self.checkpoint_box.checkpoint,
            "device": self.device_box.currentText(),
            "pruning_level": self.depth_box.currentData(),
            "rescale": round(self.rescale.value(), 2),
            "ensemble": shown if shown in ENSEMBLES else "none",
            **self.labelling(),
        }

    def request(self) -> SegmentRequest:
        """Return what the form is set to.

        Raises
        ------
        SegliteError
            If that cannot be segmented.
        """
        layer = self.image
        if layer is None:
            raise SegliteError("Open an image first, or one of File > Open Sample > SegLite.")
        axes = layers.layer_axes(layer)
        one = axes.stacked and self.scope_box.currentData() == "current"
        return SegmentRequest(
            axes=axes.order,
            frames=(layers.current_frame(self.viewer, layer),) if one else None,
            channels=layers.choice(layer, "channels"),
            level=layers.choice(layer, "level") or 0,
            region=viewer_region.region(self.viewer, layer, self.area_box.currentData()),
            **self.settings(),
        )


def _combo(entries: dict[str, str]) -> QComboBox:
    box = QComboBox()
    # A long entry must not widen the dock.
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    for value, text in entries.items():
        box.addItem(text, value)
    return box
