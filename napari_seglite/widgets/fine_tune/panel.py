"""The panel that learns from corrected labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...checkpoints import CheckpointStore
from ...errors import AnnotationError, SegliteError
from ...images import Box, Corrections
from ...inference import BeforeAfter, parse_numbers
from ...training import (
    AnnotatedImage,
    AnnotationFeed,
    FineTuneRequest,
    Finished,
    Message,
    Previewed,
    RunStatus,
    StepDone,
    TrainingEvent,
    Validated,
    fine_tune,
    learn_live,
)
from ..common import Job, layers, ready_to_train, viewed_patch
from .form import FineTuneForm
from .preview_layer import TrainingPreview

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..common import CorrectionTracker, Stop


class FineTunePanel(QWidget):
    """Train a checkpoint on what was corrected, in the background.

    Parameters
    ----------
    viewer, store, tracker : Viewer, CheckpointStore, CorrectionTracker
        Shared by the panels.
    device : callable
        Returns where it shall run.

    Signals
    -------
    trained(str)
        The id of a new checkpoint that is better than before, or that the user goes back to.
    learnt(object)
        The card of every new checkpoint.
    """

    trained = Signal(str)
    learnt = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        store: CheckpointStore,
        tracker: CorrectionTracker,
        device: Callable[[], str] = lambda: "auto",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store, self.tracker, self.device = viewer, store, tracker, device
        self.form = FineTuneForm(store)
        self._job: Job | None = None
        self._feed: AnnotationFeed | None = None
        self._learning: TrainingPreview | None = None
        self._paused, self._live = Event(), Event()
        self._saved, self._continue = False, False
        self._parent_id, self._strokes, self._begun = "", 0, 0.0
        self._build()
        self._suggest_name()
        self._layers_changed()

    def _build(self) -> None:
        form = self.form
        self.image_box, self.labels_box, self.frames = form.image_box, form.labels_box, form.frames
        self.checkpoint_box, self.name = form.checkpoint_box, form.name
        self.minutes, self.steps = form.minutes, form.steps
        self.start_button, self.stop_button = form.start_button, form.stop_button
        self.pause_button, self.back_button = form.pause_button, form.back_button
        self.status, self.curve = form.status, form.curve
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(form)
        self.image_box.changed.connect(self._layers_changed)
        self.labels_box.changed.connect(self._layers_changed)
        self.checkpoint_box.currentIndexChanged.connect(self._suggest_name)
        self.start_button.clicked.connect(self.fine_tune)
        self.stop_button.clicked.connect(self.stop)
        self.pause_button.toggled.connect(self._on_pause)
        self.back_button.clicked.connect(self.go_back)
        form.live.toggled.connect(lambda on: self._live.set() if on else self._live.clear())
        self.tracker.changed.connect(self._on_painted)
        self.viewer.dims.events.point.connect(self._on_moved)
        self.viewer.camera.events.connect(self._on_moved)
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
        self.form.show_slices(layers.is_stack(self.image_box.value))
        self._enable()

    def _ready(self) -> bool:
        both = self.image_box.value is not None and self.labels_box.value is not None
        return both and not self.busy

    def _suggest_name(self, _: Any = None) -> None:
        if start := self.checkpoint_box.checkpoint:
            self.name.setText(self.store.free_name(start))

    def _enable(self) -> None:
        self.start_button.setEnabled(self._ready())
        self.start_button.setText("Continue" if self._continue else "Fine-tune")
        self.stop_button.setEnabled(self.busy)
        self.pause_button.setEnabled(self.busy)
        self.back_button.setEnabled(bool(self._parent_id) and not self.busy)

    def say(self, text: str, error: bool = False) -> None:
        """Show a line under the buttons."""
        self.status.say(text, error)

    # ------------------------------------------------------------------ training
    def request(self) -> FineTuneRequest:
        """Return what the panel is set to; classes that were named are those of the network."""
        request = replace(self.form.request(), device=self.device())
        if request.class_names is None:
            return replace(request, class_names=self.tracker.about.given_names)
        return request

    def images(self) -> tuple[AnnotatedImage, ...]:
        """Return what is learnt from.

        Slices that were named; else everything in the viewer that was corrected; else the current
        slice.

        Raises
        ------
        AnnotationError
            If no layers are chosen or they do not fit, or there is no such slice.
        """
        image, labels = self.image_box.value, self.labels_box.value
        if image is None or labels is None:
            raise AnnotationError("Choose an image and a Labels layer that you corrected.")
        text = self.frames.text().strip().lower()
        if not text and any(tracked.labels == labels for tracked in self.tracker.all()):
            return self.tracker.annotated()
        axes, shape = layers.layer_axes(image), tuple(layers.pixels(image).shape)
        count = axes.frame_count(shape)
        if not axes.stacked or text == "all":
            frames: tuple[int, ...] = tuple(range(count))
        elif not text or text.startswith("current"):
            frames = (layers.current_frame(self.viewer, image),)
        else:
            frames = parse_numbers(text)
        if beyond := [k for k in frames if not 0 <= k < count]:
            raise AnnotationError(f"{image.name} has no slice {beyond[0]}; it has {count}, from 0.")
        chosen = Corrections((count, *axes.frame_shape(shape)))
        for frame in frames:
            chosen = chosen.complete(frame, Box.whole(chosen.plane))
        channels = layers.choice(image, "channels")
        # A copy: nobody marked these slices, so nobody expects that strokes still count.
        data, size = np.array(labels.data), layers.pixel_size(image)
        pixels = layers.pixels(image)
        return (AnnotatedImage(image.name, pixels, data, axes, chosen, channels, size),)

    def fine_tune(self) -> None:
        """Start training on what was corrected."""
        if self.busy:
            return
        image = self.image_box.value
        try:
            images, request = self.images(), self.request()
            feed = AnnotationFeed(images, viewed_patch(self.viewer, image))
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        self.curve.clear()
        self.form.pair.clear()
        self.status.start()
        self._close_layer()
        self._learning = TrainingPreview(self.viewer, image)
        self._saved, self._feed = False, feed
        self._parent_id = request.checkpoint
        self._strokes = sum(each.corrections.strokes for each in images)
        self._begun = time.monotonic()
        self._paused.clear()
        store, paused, live = self.store, self._paused, self._live
        suggest, every_stroke = self.form.automatic, self.form.every_stroke

        def work(stop: Stop, abort: Stop) -> Generator[TrainingEvent | BeforeAfter, None, None]:
            if every_stroke:
                return ready_to_train(learn_live(request, feed, store, stop, abort))
            return ready_to_train(
                fine_tune(request, feed, store, suggest, paused.is_set, live.is_set, stop, abort)
            )

        job = Job(work, self, runs_network=True)
        self._job = job
        job.progressed.connect(self._on_event)
        job.failed.connect(lambda text: self.say(text, error=True))
        job.ended.connect(self._on_ended)
        self._enable()
        job.start()

    def stop(self) -> None:
        """End training after the current step and keep what was learnt."""
        if self._job is not None:
            self._paused.clear()
            self._job.stop()
            self.stop_button.setEnabled(False)
            self.say("Stopping after this step …")

    def go_back(self) -> None:
        """Take the checkpoint that training began with, if there is one to go back to."""
        if self.busy or not self._parent_id:
            return
        self._close_layer()
        self.checkpoint_box.refresh(self._parent_id)
        self.trained.emit(self._parent_id)
        self.say(f"Back to {self._parent_id}. The other one stays in the list.")
        self._parent_id, self._continue = "", False
        self._enable()

    def _on_pause(self, on: bool) -> None:
        self.pause_button.setText("Go on" if on else "Pause")
        if on:
            self._paused.set()
        else:
            self._paused.clear()

    # ------------------------------------------------------------------ what happens meanwhile
    def _on_painted(self) -> None:
        if self._feed is not None:
            self._feed.images = self.tracker.annotated()

    def _on_moved(self, _: Any = None) -> None:
        image = self.image_box.value
        if self._feed is not None and image is not None:
            with suppress(SegliteError):
                self._feed.patch = viewed_patch(self.viewer, image)

    def _on_event(self, event: TrainingEvent | BeforeAfter) -> None:
        match event:
            case BeforeAfter():
                self.form.pair.show_pair(event)
            case Finished():
                self._on_finished(event)
            case Message():
                self.say(event.text)
            case Previewed():
                if self._learning is not None and self._job is not None:
                    self._learning.show(event.probabilities, event.patch)  # type: ignore[arg-type]
            case StepDone():
                self.curve.add_loss(event.status.step, event.loss)
                self._show_status(event.status)
            case Validated():
                self.curve.add_dice(event.status.step, event.dice)
                self._show_status(event.status)

    def _show_status(self, status: RunStatus) -> None:
        if status.steps:
            self.status.advance(round(status.share * 1000), 1000)
        if self._job is not None and not self._job.stopping:
            self.say(self.form.progress(status))

    def _on_finished(self, event: Finished) -> None:
        info = event.checkpoint
        self._saved = True
        better = event.before is None or (event.after or 0) > event.before
        seconds = time.monotonic() - self._begun
        strokes = f"{self._strokes} strokes, " if self._strokes else ""
        if event.before is None:
            self.say(event.text)
        elif better:
            self.say(
                f"{strokes}{seconds:.0f} s: Dice on what was held out {event.before:.2f} to "
                f"{event.after:.2f}. Saved as {info.id}."
            )
        else:
            self.say(
                f"{strokes}{seconds:.0f} s: no better than Dice {event.before:.2f} on what was "
                f"held out, so {self._parent_id} stays selected. {info.id} keeps its weights. "
                "Correct more slices, or train longer."
            )
        self._continue = better
        self.learnt.emit(info)
        chosen = info.id if better else self._parent_id
        self.checkpoint_box.refresh(chosen)
        if better:
            self.trained.emit(info.id)
        self._suggest_name()

    def _on_ended(self) -> None:
        if self._job is not None and self._job.stopping and not self._saved:
            self.say("Stopped before anything was learnt.")
        self._job = self._feed = None
        self.pause_button.setChecked(False)
        self.status.rest()
        self._close_layer()
        self._enable()

    def _close_layer(self) -> None:
        if self._learning is not None:
            self._learning.close()
            self._learning = None
