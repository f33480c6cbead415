"""The settings for a training run."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from napari.layers import Image, Labels
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

import src_models

from ...checkpoints import CheckpointStore
from ...errors import CheckpointError
from ...training import FineTuneRequest, Retention, Schedule
from ..common import CheckpointBox, Computer, ComputerRow, forms, keys, layers
from .network_rows import NetworkRows

if TYPE_CHECKING:
    from napari.components import ViewerModel

Replay = Literal["automatic", "always", "never"]
REPLAYS: dict[Replay, str] = {"automatic": "automatic", "always": "always", "never": "never"}
LearnsFrom = Literal["slices", "volumes"]
LEARNS_FROM: dict[LearnsFrom, str] = {"slices": "slices", "volumes": "volumes"}
# Share of the patches of a batch that come from the replay buffer.
REPLAY_SHARE = 0.25


class FineTuneForm(QWidget):
    """Layers, starting checkpoint, and settings of a training run.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers can be chosen.
    store : CheckpointStore
        Its checkpoints can be chosen to start from.
    computer : Computer
        Where networks run.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        store: CheckpointStore,
        computer: Computer,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store, self._computer = viewer, store, computer
        self._add_layers()
        self._add_names()
        self._add_numbers()
        self._add_choices()
        self._arrange()
        self.checkpoint_box.currentIndexChanged.connect(self._on_start)
        self.learns_from.currentIndexChanged.connect(self._enable_choices)
        self._on_start()

    def _add_layers(self) -> None:
        self.image_box = forms.layer_box(
            self.viewer, Image, tip="The image that you corrected; its slices are learnt"
        )
        self.labels_box = forms.layer_box(
            self.viewer, Labels, tip="Labels you corrected; the network is trained to predict them"
        )
        self.frames = QLineEdit()
        self.frames.setPlaceholderText("those you corrected")
        self.frames.setToolTip(
            "Empty: all layers and slices that you painted into or accepted, or the current slice "
            "if there are none. Otherwise slices of the chosen layer, such as 0,3,5-9 or all"
        )

    def _add_names(self) -> None:
        self.checkpoint_box = CheckpointBox(self.store, networks=True)
        self.checkpoint_box.explain(
            "The trained weights to start from, or a network from scratch. Few corrections are "
            "enough for a start that knows images like yours; from scratch takes many more"
        )
        self.network_rows = NetworkRows(self.store, self.checkpoint_box)
        self.back_button = QPushButton("Back")
        self.back_button.setToolTip(
            f"Select the checkpoint that the last run started from ({keys.BACK})"
        )
        self.name = QLineEdit()
        self.name.setToolTip(
            "Name of the new checkpoint, such as the tissue and the stain; it must be free"
        )
        self.classes = QLineEdit()
        self.classes.setPlaceholderText("as in Correct")
        self.classes.setToolTip(
            "Names of the labels from 0 upwards, such as background, cell, nucleus. If their "
            "number differs from the checkpoint's, the network gets a new last layer; all other "
            "layers keep their weights"
        )

    def _add_numbers(self) -> None:
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 600)
        self.minutes.setValue(5)
        self.minutes.setDecimals(1)
        self.minutes.setSuffix(" min")
        self.minutes.setToolTip(
            "About this long, up to twice on a busy computer: loading, scoring and saving count, "
            "pauses do not. 2 "
            "to 10 min suit a few corrected slices"
        )
        self.steps = QSpinBox()
        self.steps.setRange(0, 1_000_000)
        self.steps.setSpecialValueText("automatic")
        self.steps.setToolTip(
            "Training ends after this number of steps at the latest. Automatic (0): the number of "
            "steps and the size of patches follow from the corrections, which suits most images. "
            "A step is one change of the weights. Early stopping: it ends sooner if the held-out "
            "Dice no longer improves"
        )

    def _add_choices(self) -> None:
        self.replay = forms.combo(
            REPLAYS,
            "Replay: so that the network does not forget earlier training, a quarter of the "
            "patches come from the images that the starting checkpoint was trained on. Automatic: "
            "unless that checkpoint cannot segment your images at all",
        )
        self.decoder_only = QCheckBox("Decoder only")
        self.decoder_only.setToolTip(
            "Train only the last layers of the network (the decoder, which turns features into "
            "labels) and keep the features. Suits one or two corrected slices that look like what "
            "the checkpoint knows; otherwise leave it off"
        )
        self.objects = QCheckBox("Objects")
        self.objects.setToolTip(
            "Also learn where one object ends and the next begins, from labels with a number for "
            "each object: give the checkpoint an object head. It takes some hundred steps until "
            "that separates better than the shape of the mask. Of volumes it learns from objects "
            "that lie wholly in corrected slices: correct neighbouring ones. Always on for a "
            "checkpoint with one"
        )
        self.live = QCheckBox("Live")
        self.live.setToolTip(
            "Also learn from what you paint during training. Ticked before the start: learn after "
            "every stroke until you stop, and show the prediction of the visible area"
        )

        self.learns_from = forms.combo(
            LEARNS_FROM,
            "What a network from scratch sees at once. Slices: each by itself, which is fast and "
            "learns from few corrections. Volumes: every slice with those above and below (UNet# "
            "in 3-D, preset tiny), for noisy stacks whose slices resemble each other; a step takes "
            "several times as long, so take slices for short runs on a CPU. Slices that you did "
            "not correct are seen, but not learnt",
        )

    def _arrange(self) -> None:
        self._rows = rows = forms.form_layout()
        rows.addRow("Image", self.image_box.native)
        rows.addRow("Labels", self.labels_box.native)
        rows.addRow("Slices", self.frames)
        rows.addRow("Start from", self.checkpoint_box)
        self.network_rows.add_to(rows)
        rows.addRow("Learns from", self.learns_from)
        rows.addRow("New name", self.name)
        rows.addRow("Classes", forms.side_by_side(self.classes, self.objects))
        rows.addRow("Keep earlier training", self.replay)
        self.computer_row = ComputerRow(self._computer, rows)
        rows.addRow("Time limit", self.minutes)
        rows.addRow("Steps", self.steps)
        choices = forms.side_by_side(self.decoder_only, self.live)
        choices.addStretch(1)
        choices.addWidget(self.back_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addLayout(choices)

    @property
    def automatic(self) -> bool:
        """Whether steps and patch size follow from the corrections."""
        return self.steps.value() == 0

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.image_box.reset_choices()
        self.labels_box.reset_choices()

    def show_rows(self) -> None:
        """Show the rows for slices and for volumes if the image and the network have them."""
        image = self.image_box.value
        stack = layers.is_stack(image)
        along_z = image is not None and stack and "Z" in layers.layer_axes(image).stack
        self._rows.setRowVisible(self.frames, stack)
        self._offers_volumes = along_z and takes_volumes(self.checkpoint_box.checkpoint)
        self._rows.setRowVisible(self.learns_from, self._offers_volumes)
        self._enable_choices()

    @property
    def volumes(self) -> bool:
        """Whether a network from scratch should see volumes."""
        wanted: LearnsFrom = self.learns_from.currentData()
        return self._offers_volumes and wanted == "volumes"

    def _on_start(self, _: int = 0) -> None:
        self.suggest_name()
        start = self.checkpoint_box.checkpoint
        self._headed = self._volumetric = False
        if start and start not in src_models.names():
            with suppress(CheckpointError):
                info = self.store.info(start)
                self._headed, self._volumetric = bool(info.head), info.volumetric
        self.objects.setChecked(self._headed)
        self.show_rows()

    def _enable_choices(self, _: int = 0) -> None:
        """Offer what the start can do: volumes are not learnt live."""
        deep = self.volumes or self._volumetric
        self.objects.setEnabled(not self._headed)
        self.live.setEnabled(not deep)
        self.live.setChecked(self.live.isChecked() and not deep)

    def suggest_name(self, _: int = 0) -> None:
        """Suggest a free name for a checkpoint with the selected start."""
        if start := self.checkpoint_box.checkpoint:
            self.name.setText(self.store.free_name(start))

    def request(self) -> FineTuneRequest:
        """Return the settings as a request."""
        names = [name.strip() for name in self.classes.text().split(",") if name.strip()]
        replay: Replay = self.replay.currentData()
        return FineTuneRequest(
            self.checkpoint_box.checkpoint,
            self.name.text().strip(),
            Schedule(steps=self.steps.value() or 200, minutes=self.minutes.value()),
            retention=Retention(
                replay=0.0 if replay == "never" else REPLAY_SHARE,
                keep_always=replay == "always",
            ),
            trainable="decoder" if self.decoder_only.isChecked() else "all",
            class_names=tuple(names) or None,
            head="distance" if self.objects.isChecked() and not self._headed else None,
            options=self._options(),
            recipe=self.network_rows.chosen_recipe,
        )

    def _options(self) -> dict[str, Any] | None:
        """Return the options of a network from scratch; None for a checkpoint."""
        chosen = self.network_rows.options
        return {**(chosen or {}), "dims": 3} if self.volumes else chosen


def takes_volumes(start: str) -> bool:
    """Whether a start is a network that can be trained from scratch in three dimensions."""
    if start not in src_models.names():
        return False
    known = {option.name: option for option in src_models.card(start).options or ()}
    return "dims" in known and not known["dims"].problem(3)
