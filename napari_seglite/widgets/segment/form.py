"""The settings for segmenting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QPushButton, QWidget

import src_models

from ...checkpoints import CheckpointStore
from ...errors import SegliteError
from ...inference import (
    ENSEMBLES,
    RESCALE,
    SegmentRequest,
    empty_problem,
    fits_objects,
    matching_rescale,
)
from ...runtime import graphs
from ..common import (
    DEFAULT,
    CheckpointBox,
    Computer,
    ComputerRow,
    describe_checkpoint,
    forms,
    layers,
    plain_tip,
    preferences,
    viewer_region,
)
from .image_rows import ImageRows, hint
from .labelling_rows import LabellingRows
from .suggestion_button import SuggestionButton

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

Scope = Literal["all", "current"]
Measure = Literal["", "entropy", "flips", "heads"]
SCOPES: dict[Scope, str] = {"all": "All slices", "current": "Current slice"}
UNCERTAINTIES: dict[Measure, str] = {
    "": "Do not show",
    "entropy": "Of the probabilities",
    "flips": "Of mirror images, 4 runs",
    "heads": "Of the network's heads",
}
DEFAULTS = SegmentRequest(DEFAULT, "YX")
# The settings that the next session starts with.
REMEMBERED = ("checkpoint", "device", "keep_empty", "precision")
PRECISIONS = {"auto": "Auto", "exact": "Exact", "fast": "Fast, bfloat16"}
KEEP_EMPTY = (
    "Labels nothing in an image, or slice of a stack, in which the network sees no object at all. "
    "Good where many are empty: they get no false objects and are done sooner. Off is safer where "
    "objects are few, small or unlike those it learnt"
)


class SegmentForm(QWidget):
    """Image, checkpoint, device, and the way from probabilities to labels.

    Parameters
    ----------
    viewer : ViewerModel
        Its image layers can be chosen.
    store : CheckpointStore
        Its checkpoints can be chosen.
    computer : Computer
        Where networks run.

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
        self,
        viewer: ViewerModel,
        store: CheckpointStore,
        computer: Computer,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store, self._computer = viewer, store, computer
        self._build()
        self._lay_out()
        self._restore()
        self._connect()
        self._show_image()
        self._show_checkpoint()

    def _build(self) -> None:
        self.checkpoint_box = CheckpointBox(self.store)
        self.checkpoint_box.explain(
            "The trained weights to segment with. Choose what was trained on images like yours, or "
            "fine-tune the nearest; Dice is the overlap with hand-made labels, 1 at best"
        )
        self.suggestion_button = SuggestionButton(self.checkpoint_box)
        self.checkpoint_info = hint()
        self.checkpoint_info.setTextFormat(Qt.TextFormat.PlainText)
        self.device_box = forms.combo(
            tip="auto takes the fastest device of the computer: a GPU if there is one"
        )
        self.device_box.addItems(["auto", "cpu"])
        self.precision_box = forms.combo(
            PRECISIONS,
            "Fast is about twice as fast on a CPU with bfloat16 and changes a few pixels at the "
            "edges. It begins once the network was prepared for OpenVINO, after some jobs. "
            "Auto: where it hardly changes the labels",
        )
        self.scope_box = forms.combo(
            SCOPES,
            "All slices of the stack, or the one in view alone: a quick way to try settings",
        )
        self.area_box = forms.combo(
            viewer_region.AREAS,
            "The part of every slice to segment; labels outside of it do not change. A small area "
            "is a quick way to try settings",
        )
        self.depth_box = forms.combo(
            tip="How much of the network computes. Pruned to level 1 leaves out its inner levels: "
            "faster and coarser, and trained for this. Full is the most exact"
        )
        self.uncertainty = forms.combo(
            UNCERTAINTIES,
            "Adds an image that is bright where the network is uncertain, and mistakes are likely. "
            "Of the probabilities needs no further run; mirror images take four",
        )
        self.keep_empty = QCheckBox("Keep empty")
        self.rescale = QDoubleSpinBox()
        self.rescale.setRange(*RESCALE)
        self.rescale.setSingleStep(0.1)
        self.rescale.setPrefix("× ")
        self.rescale.setValue(1)
        self.rescale.setToolTip(
            "Enlarges the image for the network; the labels keep its size. Good is what gives "
            "objects the size of those it learnt; 1 changes nothing"
        )
        self.match_button = QPushButton()
        self.match_button.setToolTip(
            "Rescales to the pixel size of the images that the checkpoint learnt from"
        )
        self.fit_button = QPushButton("Fit")
        self.fit_button.setToolTip(
            "Estimates how wide the objects are, from small parts of the image, and rescales them "
            "to the width that the checkpoint learnt. Good where the two differ by half or more"
        )

    def _lay_out(self) -> None:
        self._rows = rows = forms.form_layout(self)
        self.image_rows = ImageRows(self.viewer, rows)
        rows.addRow("Checkpoint", self.checkpoint_box)
        rows.addRow(self.checkpoint_info)
        rows.addRow(self.suggestion_button)
        rows.addRow("Depth", self.depth_box)
        sizes = forms.side_by_side(self.rescale, self.match_button, self.fit_button, stretches=(1,))
        rows.addRow("Rescale", sizes)
        self.computer_row = ComputerRow(self._computer, rows)
        rows.addRow("Device", self.device_box)
        rows.addRow("Precision", self.precision_box)
        rows.setRowVisible(self.precision_box, graphs.installed())
        rows.addRow("Slices", self.scope_box)
        rows.addRow("Area", self.area_box)
        rows.addRow("Empty images", self.keep_empty)
        self.labelling_rows = LabellingRows(rows)
        self.output_box, self.min_size = (
            self.labelling_rows.output_box,
            self.labelling_rows.min_size,
        )
        self.threshold, self.smooth = self.labelling_rows.threshold, self.labelling_rows.smooth
        self.fill_holes = self.labelling_rows.fill_holes
        rows.addRow("Uncertainty", self.uncertainty)

    def _connect(self) -> None:
        self.image_rows.changed.connect(self._show_image)
        self.checkpoint_box.currentIndexChanged.connect(self._show_checkpoint)
        self.match_button.clicked.connect(self._match)
        self.rescale.valueChanged.connect(self._follow_checkpoint)
        self.labelling_rows.changed.connect(self.labelling_changed)

    # ------------------------------------------------------------------ the last session
    def _restore(self) -> None:
        stored = preferences.load({name: getattr(DEFAULTS, name) for name in REMEMBERED})
        self.checkpoint_box.select(stored["checkpoint"])
        self.device_box.setCurrentText(stored["device"])
        self.keep_empty.setChecked(stored["keep_empty"])
        if graphs.installed():
            known = self.precision_box.findData(stored["precision"])
            self.precision_box.setCurrentIndex(max(known, 0))

    def remember(self, request: SegmentRequest) -> None:
        """Store the settings for the next session."""
        stored = {name: getattr(request, name) for name in REMEMBERED}
        # Also where this checkpoint does not offer them.
        chosen = {
            "keep_empty": self.keep_empty.isChecked(),
            "precision": self.precision_box.currentData(),
        }
        preferences.save({**stored, **chosen})
        self.labelling_rows.remember()

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
        self._show_stack()
        self._offer_match()
        self.image_changed.emit()

    def _show_stack(self) -> None:
        """Offer the settings for objects of a stack, for the distance that slices have now."""
        stack = layers.is_stack(self.image)
        axes = layers.layer_axes(self.image).order if stack else "YX"
        spacing = layers.slice_distance(self.image) if stack else None
        self.labelling_rows.stack.show_stack(axes, spacing)

    def _offer_match(self) -> None:
        factor = self._matching()
        self.match_button.setVisible(factor is not None)
        self.match_button.setText(f"Match (× {factor})")
        # Known pixel sizes are better than an estimate.
        self.fit_button.setVisible(factor is None and self._knows_its_objects())

    def _knows_its_objects(self) -> bool:
        try:
            name = self.checkpoint_box.checkpoint
            return bool(self.image is not None and name and fits_objects(self.store.info(name)))
        except SegliteError:
            return False  # the row about the checkpoint shows the error

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
        unable = ""
        try:
            if name:
                info = self.store.info(name)
                unable = empty_problem(info)
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
        self._unable = unable
        self.keep_empty.setEnabled(not unable)
        self.keep_empty.setToolTip(plain_tip(f"{unable} {KEEP_EMPTY}" if unable else KEEP_EMPTY))
        self._offer_heads(bool(levels))  # a network that can be pruned has one head per level
        self._offer_match()
        self._follow_checkpoint()

    def _follow_checkpoint(self, _: Any = None) -> None:
        """Show the checkpoint's own settings where the user chose none."""
        try:
            if name := self.checkpoint_box.checkpoint:
                self.labelling_rows.follow(self.store.info(name), round(self.rescale.value(), 2))
        except SegliteError:
            pass  # the row about the checkpoint shows the error

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
        self._show_stack()
        return self.labelling_rows.values()

    def settings(self) -> dict[str, Any]:
        """Return the settings that hold for any image, as arguments of `SegmentRequest`."""
        uncertainty = self.uncertainty.currentData()
        return {
            "checkpoint": self.checkpoint_box.checkpoint,
            "device": self.device_box.currentText(),
            "pruning_level": self.depth_box.currentData(),
            "rescale": round(self.rescale.value(), 2),
            "ensemble": uncertainty if uncertainty in ENSEMBLES else "none",
            "keep_empty": self.keep_empty.isChecked() and not self._unable,
            "precision": self.precision_box.currentData(),
            **self.labelling_rows.for_any_image(),
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
            **{**self.settings(), **self.labelling()},
        )
