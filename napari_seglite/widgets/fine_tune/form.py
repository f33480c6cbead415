"""The rows, buttons and curves of the Fine-tune panel."""

from __future__ import annotations

from enum import Enum

from napari.layers import Image, Labels
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...checkpoints import CheckpointStore
from ...training import FineTuneRequest, Retention, RunStatus, Schedule
from ..common import CheckpointBox, JobStatus, TrainingCurves, layers
from .before_after_view import BeforeAfterView


class Remember(Enum):
    """What a checkpoint shall not forget."""

    RELATED = "related"
    ALWAYS = "always"
    NEVER = "never"


class FineTuneForm(QWidget):
    """What can be set for a training run, and what it shows.

    Parameters
    ----------
    store : CheckpointStore
        Lists where to start.
    """

    def __init__(self, store: CheckpointStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image_box = layers.layer_box(Image)
        self.labels_box = layers.layer_box(Labels)
        self.labels_box.native.setToolTip(
            "Labels you corrected; the network takes them for the truth"
        )
        self.frames = QLineEdit()
        self.frames.setPlaceholderText("what you corrected; or 0,3,5-9; all")
        self.frames.setToolTip(
            "Every layer and slice you painted into or accepted, unless you name slices of this "
            "layer; the current slice if there is none"
        )
        self.checkpoint_box = CheckpointBox(store, networks=True)
        self.name = QLineEdit()
        self.classes = QLineEdit()
        self.classes.setPlaceholderText("as in Correct; or background, cell, …")
        self.classes.setToolTip(
            "Names of the labels from 0 upwards. More or fewer than before give the network a new "
            "last layer; the rest keeps what it learnt"
        )
        self._add_numbers()
        self._add_choices()
        self.start_button = QPushButton("Fine-tune")
        self.pause_button = QPushButton("Pause")
        self.pause_button.setCheckable(True)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("End after the current step and keep the best weights so far")
        self.back_button = QPushButton("Back")
        self.back_button.setToolTip("Select the checkpoint that training began with (Shift-B)")
        self.status = JobStatus("Correct a result with the brush, then fine-tune on it.")
        self.curve = TrainingCurves()
        self.pair = BeforeAfterView()
        self._arrange()

    def _add_numbers(self) -> None:
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 600)
        self.minutes.setValue(5)
        self.minutes.setDecimals(1)
        self.minutes.setSuffix(" min")
        self.minutes.setToolTip("Training ends after this time at the latest")
        self.steps = QSpinBox()
        self.steps.setRange(0, 1_000_000)
        self.steps.setSpecialValueText("as many steps as suit")
        self.steps.setSuffix(" steps")
        self.steps.setToolTip(
            "Training ends after so many steps at the latest; at 0, as many as suit what was "
            "corrected, with patches that suit the objects"
        )

    def _add_choices(self) -> None:
        self.remember = QComboBox()
        for text, choice in (
            ("what is related", Remember.RELATED),
            ("everything", Remember.ALWAYS),
            ("nothing", Remember.NEVER),
        ):
            self.remember.addItem(text, choice)
        self.remember.setToolTip(
            "So that it does not forget, a quarter of what it learns from is what the checkpoint "
            "learnt before. What is related: unless the checkpoint is of no use for these images"
        )
        self.decoder_only = QCheckBox("Decoder only")
        self.decoder_only.setToolTip("The first layers keep their weights: for few corrections")
        self.live = QCheckBox("Live")
        self.live.setToolTip(
            "What you paint meanwhile is learnt too. Ticked before the start, the network learns "
            "after every stroke until you stop it, and shows what it makes of the view"
        )

    def _arrange(self) -> None:
        self.form = form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image_box.native)
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Slices", self.frames)
        start = QHBoxLayout()
        start.addWidget(self.checkpoint_box, 1)
        start.addWidget(self.back_button)
        form.addRow("Start from", start)
        form.addRow("New name", self.name)
        form.addRow("Classes", self.classes)
        form.addRow("Remember", self.remember)
        form.addRow("At most", self.minutes)
        form.addRow("and", self.steps)
        choices = QHBoxLayout()
        for box in (self.decoder_only, self.live):
            choices.addWidget(box)
        choices.addStretch(1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        for button in (self.pause_button, self.stop_button):
            buttons.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(choices)
        column.addLayout(buttons)
        column.addWidget(self.status)
        column.addWidget(self.pair)
        column.addWidget(self.curve, 1)

    @property
    def automatic(self) -> bool:
        """Whether settings shall suit what was corrected."""
        return self.steps.value() == 0

    @property
    def every_stroke(self) -> bool:
        """Whether it learns after every stroke until it is stopped."""
        return self.live.isChecked()

    def show_slices(self, stacked: bool) -> None:
        """Ask for slices where there are some."""
        self.form.setRowVisible(self.frames, stacked)

    def request(self) -> FineTuneRequest:
        """Return what is set."""
        names = [name.strip() for name in self.classes.text().split(",") if name.strip()]
        remember = self.remember.currentData()
        return FineTuneRequest(
            self.checkpoint_box.checkpoint,
            self.name.text().strip(),
            Schedule(steps=self.steps.value() or 200, minutes=self.minutes.value()),
            retention=Retention(
                replay=0.0 if remember == Remember.NEVER else 0.25,
                keep_always=remember == Remember.ALWAYS,
            ),
            trainable="decoder" if self.decoder_only.isChecked() else "all",
            class_names=tuple(names) or None,
        )

    @staticmethod
    def progress(status: RunStatus) -> str:
        """Describe in a line how a run is doing."""
        parts = [f"Step {status.step}" + (f" of {status.steps}" if status.steps else "")]
        if rate := status.steps_per_second:
            parts.append(f"{rate:.1f} per second" if rate >= 1 else f"{1 / rate:.1f} s each")
        if (left := status.seconds_left) is not None:
            parts.append(f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left")
        if status.best is not None:
            parts.append(f"best Dice {status.best:.3f}")
        if status.memory:
            parts.append(f"{status.memory / 1e9:.1f} GB on {status.device}")
        return ", ".join(parts)
