"""The rows of a form for the image, its level, axes and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton

from ...errors import SegliteError
from ...inference import parse_numbers
from ..common import colours, forms, layers, plain_tip
from ..file_layers import facts_of
from .channel_layers import channel_layers, join_channels
from .image_choice import ImageChoice
from .scene_row import SceneRow

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ImageRows(QObject):
    """Rows to choose an image layer and, where there is a choice, its level, axes and channels.

    Choices are stored in the layer. Axes and channels can be typed, too. If the layer's file holds
    several images, another row opens the others.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers can be chosen.
    rows : QFormLayout
        The form to add the rows to.

    Signals
    -------
    changed()
        Another layer was chosen, or another level, other axes or channels.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, rows: QFormLayout) -> None:
        super().__init__(rows)
        self._rows = rows
        self.viewer = viewer
        self.choice = ImageChoice(viewer, self)
        self.box = self.choice.box
        self.info = hint()
        self.level_box = forms.combo(
            tip="Resolution of a multiscale image, 0 the finest. Coarser ones are faster; objects "
            "are smaller for the network"
        )
        self.axes_box = _typed(
            "What the axes of the image are: T time, Z depth, C channels, Y, X. Choose, or type "
            "such as ZCYX"
        )
        self.channels_box = _typed(
            "Channels for the network, in the order of the checkpoint's inputs, such as 0 or 2,0. "
            "A checkpoint with one input sees their mean"
        )
        self.scenes = SceneRow(viewer, self)
        self.join_button = QPushButton()
        image_row = forms.side_by_side(self.box.native, self.choice.pin, stretches=(1,))
        rows.addRow("Image", image_row)
        rows.addRow(self.info)
        rows.addRow("Scene", self.scenes.box)
        rows.addRow("Level", self.level_box)
        rows.addRow("Axes", self.axes_box)
        rows.addRow("Channels", self.channels_box)
        rows.addRow("Channels", self.join_button)
        self.scenes.said.connect(self._say)
        self.scenes.opened.connect(self._on_opened)
        self.box.changed.connect(self.refresh)
        self.join_button.clicked.connect(self._join)
        viewer.layers.selection.events.changed.connect(self._show_channels)
        self.level_box.activated.connect(self._level_chosen)
        for combo, chosen in (
            (self.axes_box, self._axes_chosen),
            (self.channels_box, self._channels_chosen),
        ):
            combo.activated.connect(chosen)
            line = combo.lineEdit()
            assert line is not None
            line.editingFinished.connect(chosen)
        self.refresh()

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        layer: Image | None = self.box.value
        return layer

    def reset_choices(self) -> None:
        """Read the list of layers again."""
        self.choice.reset_choices()
        self.refresh()

    def close(self) -> None:
        """Follow the viewer no more."""
        self.choice.close()
        self.viewer.layers.selection.events.changed.disconnect(self._show_channels)

    def _show_channels(self, _: object = None) -> None:
        """Offer to take several layers as the channels of one image."""
        found = channel_layers(self.viewer, self.image)
        self._rows.setRowVisible(self.join_button, bool(found))
        self.join_button.setText(f"Join {len(found)} layers")
        names = ", ".join(f"{k} {layer.name}" for k, layer in enumerate(found))
        self.join_button.setToolTip(
            plain_tip(
                f"Adds a layer with these channels and hides theirs: {names}. To choose others, "
                "select them in the layer list with Ctrl"
            )
        )

    def _join(self) -> None:
        if found := channel_layers(self.viewer, self.image):
            layer = join_channels(self.viewer, found)
            self.box.reset_choices()
            self.box.value = layer
            self.refresh()  # it may have been chosen before its axes were known

    def refresh(self) -> None:
        """Show the properties and choices of the layer."""
        layer = self.image
        self._say("Open an image to begin" if layer is None else layers.describe_layer(layer))
        facts = None if layer is None else facts_of(layer)
        self.info.setToolTip("" if facts is None else plain_tip(facts.text))
        self.box.native.setToolTip(self.info.toolTip())
        self._rows.setRowVisible(self.scenes.box, self.scenes.show_scenes(facts))
        several = layer is not None and layer.multiscale
        self._rows.setRowVisible(self.level_box, several)
        self.level_box.clear()
        if layer is not None and several:
            sizes = [" × ".join(map(str, reversed(level.shape))) for level in layer.data]
            self.level_box.addItems([f"{k}: {size}" for k, size in enumerate(sizes)])
            self.level_box.setCurrentIndex(layers.choice(layer, "level") or 0)
        self._show_axes(layer)
        self._show_channels()
        self.changed.emit()

    def _show_axes(self, layer: Image | None) -> None:
        likely = [] if layer is None else layers.likely_axes(layer)
        self._rows.setRowVisible(self.axes_box, likely not in ([], ["YX"], ["YXC"]))
        self.axes_box.clear()
        self.axes_box.addItems(likely)
        channels = 1
        if layer is not None:
            try:
                axes = layers.layer_axes(layer)
                channels = axes.channel_count(layers.pixels(layer).shape)
                self.axes_box.setCurrentText(axes.order)
            except SegliteError:
                self.axes_box.setCurrentText("")
        self._rows.setRowVisible(self.channels_box, channels > 1)
        self.channels_box.clear()
        self.channels_box.addItems(["all", *map(str, range(channels))])
        facts = None if layer is None else facts_of(layer)
        for k, name in enumerate(() if facts is None else facts.channels[:channels]):
            self.channels_box.setItemText(k + 1, f"{k} {name}")
        chosen = None if layer is None else layers.choice(layer, "channels")
        self.channels_box.setCurrentText("all" if chosen is None else ",".join(map(str, chosen)))

    def _level_chosen(self, level: int) -> None:
        if self.image is not None:
            layers.choose(self.image, level=level)
            self.refresh()

    def _axes_chosen(self, _: int = 0) -> None:
        layer, text = self.image, self.axes_box.currentText().strip().upper()
        if layer is not None and text and text != _order(layer):
            # Channels chosen for other axes do not apply.
            self._choose(layer, axes=text, channels=None)

    def _channels_chosen(self, _: int = 0) -> None:
        layer, text = self.image, self.channels_box.currentText().strip().lower()
        if layer is None:
            return
        if (row := self.channels_box.findText(text, Qt.MatchFlag.MatchFixedString)) > 0:
            text = str(row - 1)  # without the channel's name
        try:
            chosen = None if text in ("", "all") else parse_numbers(text, "channels")
        except SegliteError as error:
            self._say(str(error), error=True)
            return
        if chosen != layers.choice(layer, "channels"):
            self._choose(layer, channels=chosen)

    def _on_opened(self, layer: Image) -> None:
        self.box.reset_choices()
        self.box.value = layer

    def _choose(self, layer: Image, **choices: object) -> None:
        try:
            layers.choose(layer, **choices)
        except SegliteError as error:
            self._show_axes(layer)
            self._say(str(error), error=True)
            return
        self.refresh()

    def _say(self, text: str, error: bool = False) -> None:
        self.info.setText(text)
        colours.tint(self.info, "error" if error else "hint")


def hint() -> QLabel:
    """Return an empty label for remarks under a row."""
    label = QLabel()
    label.setWordWrap(True)
    colours.tint(label, "hint")
    return label


def _order(layer: Image) -> str:
    try:
        return layers.layer_axes(layer).order
    except SegliteError:
        return ""


def _typed(tip: str) -> QComboBox:
    box = QComboBox()
    box.setEditable(True)
    box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    box.setToolTip(tip)
    return box
