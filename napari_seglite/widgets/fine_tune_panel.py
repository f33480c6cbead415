"""The panel that learns from corrected labels."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ..engine.requests import parse_numbers
from ..errors import AnnotationError, SegliteError
from ..store.checkpoints import CheckpointStore
from . import layers
from .checkpoint_box import CheckpointBox
from .curve import TrainingCurve
from .jobs import Job, Stop
from .preload import load_training
from .status import JobStatus

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..engine.axes import ImageAxes
    from ..engine.training import FineTuneRequest, TrainingEvent


class FineTunePanel(QWidget):
    """Train a checkpoint on corrected labels, in the background.

    Signals
    -------
    trained(str)
        The id of a new checkpoint.
    """

    trained = Signal(str)

    def __init__(
        self, viewer: ViewerModel, store: CheckpointStore, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store = viewer, store
        self._job: Job | None = None
        self._saved = False
        self._build()
        self._suggest_name()
        self._layers_changed()

    # ------------------------------------------------------------------ building
    def _build(self) -> None:
        self.image_box = layers.layer_box(Image)
        self.labels_box = layers.layer_box(Labels)
        self.labels_box.native.setToolTip(
            "Labels you corrected; the network takes them for the truth"
        )
        self.frames = QLineEdit()
        self.frames.setPlaceholderText("current slice; or 0,3,5-9, or all")
        self.frames.setToolTip("The slices whose labels are corrected completely")
        self.checkpoint_box = CheckpointBox(self.store, networks=True)
        self.name = QLineEdit()
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 600)
        self.minutes.setValue(5)
        self.minutes.setDecimals(1)
        self.minutes.setSuffix(" min")
        self.minutes.setToolTip("Training ends after this time at the latest")
        self.steps = QSpinBox()
        self.steps.setRange(1, 1_000_000)
        self.steps.setValue(200)
        self.steps.setSuffix(" steps")
        self.steps.setToolTip("Training ends after this many steps at the latest")

        self.start_button = QPushButton("Fine-tune")
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("End after the current step and keep the best weights so far")
        self.status = JobStatus("Correct a result with the brush, then fine-tune on it.")
        self.curve = TrainingCurve()

        self.form = form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image_box.native)
        form.addRow("Labels", self.labels_box.native)
        form.addRow("Slices", self.frames)
        form.addRow("Start from", self.checkpoint_box)
        form.addRow("New name", self.name)
        form.addRow("At most", self.minutes)
        form.addRow("or", self.steps)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        buttons.addWidget(self.stop_button, 1)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(buttons)
        column.addWidget(self.status)
        column.addWidget(self.curve, 1)

        self.image_box.changed.connect(self._layers_changed)
        self.labels_box.changed.connect(self._layers_changed)
        self.checkpoint_box.currentIndexChanged.connect(self._suggest_name)
        self.start_button.clicked.connect(self.fine_tune)
        self.stop_button.clicked.connect(self.stop)
        self._enable()

    # ------------------------------------------------------------------ state
    @property
    def busy(self) -> bool:
        """Whether training runs."""
        return self._job is not None

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.image_box.reset_choices()
        self.labels_box.reset_choices()
        self._layers_changed()

    def take(self, image: Image, labels: Labels, checkpoint: str) -> None:
        """Offer what was just segmented for correction."""
        self.reset_choices()
        self.image_box.value, self.labels_box.value = image, labels
        self.checkpoint_box.select(checkpoint)

    def _layers_changed(self, _: Any = None) -> None:
        self.form.setRowVisible(self.frames, layers.is_stack(self.image_box.value))
        self._enable()

    def _ready(self) -> bool:
        both = self.image_box.value is not None and self.labels_box.value is not None
        return both and not self.busy

    def _suggest_name(self, _: Any = None) -> None:
        if start := self.checkpoint_box.checkpoint:
            self.name.setText(self.store.free_name(start))

    def _enable(self) -> None:
        self.start_button.setEnabled(self._ready())
        self.stop_button.setEnabled(self.busy)

    def say(self, text: str, error: bool = False) -> None:
        """Show a line under the buttons."""
        self.status.say(text, error)

    # ------------------------------------------------------------------ training
    def request(self) -> FineTuneRequest:
        """Return what the panel is set to."""
        from ..engine.training import FineTuneRequest

        return FineTuneRequest(
            checkpoint=self.checkpoint_box.checkpoint,
            name=self.name.text().strip(),
            steps=self.steps.value(),
            minutes=self.minutes.value(),
        )

    def _chosen_frames(self, image: Image, axes: ImageAxes) -> tuple[int, ...] | None:
        text = self.frames.text().strip().lower()
        if not axes.stacked or text == "all":
            return None
        if not text or text.startswith("current"):
            return (layers.current_frame(self.viewer, image),)
        frames, count = parse_numbers(text), axes.frame_count(layers.pixels(image).shape)
        if beyond := [k for k in frames if not 0 <= k < count]:
            raise AnnotationError(f"{image.name} has no slice {beyond[0]}; it has {count}, from 0.")
        return frames

    def fine_tune(self) -> None:
        """Start training on the chosen layers."""
        if self.busy:
            return
        image, labels = self.image_box.value, self.labels_box.value
        try:
            if image is None or labels is None:
                raise AnnotationError("Choose an image and a Labels layer that you corrected.")
            axes = layers.layer_axes(image)
            frames = self._chosen_frames(image, axes)
            request = replace(self.request(), spacing=layers.pixel_size(image))
        except (SegliteError, ValueError) as error:
            self.say(str(error), error=True)
            return
        self.curve.clear()
        self.status.start()
        # A copy: the user goes on painting while the network learns.
        truth = np.array(labels.data)
        data, name, channels = layers.pixels(image), image.name, layers.choice(image, "channels")
        self._saved = False
        self._job = job = Job(
            lambda *stops: self._work(request, name, data, truth, axes, frames, channels, *stops),
            self,
        )
        job.progressed.connect(self._on_event)
        job.failed.connect(lambda text: self.say(text, error=True))
        job.ended.connect(self._on_ended)
        self._enable()
        job.start()

    def _work(
        self,
        request: FineTuneRequest,
        name: str,
        data: Any,
        truth: np.ndarray,
        axes: ImageAxes,
        frames: tuple[int, ...] | None,
        channels: tuple[int, ...] | None,
        stop: Stop,
        abort: Stop,
    ) -> Generator[TrainingEvent, None, None]:
        load_training()
        from ..engine.dataset import frames_of
        from ..engine.fine_tuner import FineTuner
        from ..engine.training import start_info

        info = start_info(request, self.store)
        images = frames_of(name, data, truth, axes, info, frames, channels)
        yield from FineTuner(request, images, self.store).run(stop, abort)

    def stop(self) -> None:
        """End training after the current step and keep what was learnt."""
        if self._job is not None:
            self._job.stop()
            self.stop_button.setEnabled(False)
            self.say("Stopping after this step …")

    def _on_event(self, event: TrainingEvent) -> None:
        if event.kind == "done":
            assert event.checkpoint is not None
            self._saved = True
            self.say(event.text)
            self.checkpoint_box.refresh(event.checkpoint.id)
            self.trained.emit(event.checkpoint.id)
            return
        if event.kind == "message":
            self.say(event.text)
            return
        self.status.advance(round(event.progress * 1000), 1000)
        if event.kind == "step" and event.loss is not None:
            self.curve.add_loss(event.step, event.loss)
        if event.kind == "validation" and event.dice is not None:
            self.curve.add_dice(event.step, event.dice)
        if self._job is not None and not self._job.stopping:
            best = "" if event.best is None else f", best Dice {event.best:.3f}"
            self.say(f"Step {event.step} of {event.steps}{best}")

    def _on_ended(self) -> None:
        if self._job is not None and self._job.stopping and not self._saved:
            self.say("Stopped before anything was learnt.")
        self._job = None
        self.status.rest()
        self._enable()
