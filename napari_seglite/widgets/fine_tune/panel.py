"""The panel that trains a checkpoint on corrected labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ...checkpoints import CheckpointStore
from ...errors import AnnotationError, SegliteError
from ...inference import BeforeAfter
from ...training import (
    AnnotatedImage,
    AnnotationFeed,
    FineTuneRequest,
    Finished,
    Message,
    Previewed,
    RunStatus,
    StepDone,
    StrokeScored,
    TrainingEvent,
    Validated,
    ViewedPatch,
    fine_tune,
    learn_live,
    progress_text,
)
from ..common import (
    Computer,
    JobRunner,
    JobStatus,
    StopSignal,
    TrainingCurves,
    forms,
    layers,
    ready_to_train,
    viewed_patch,
)
from .before_after_view import BeforeAfterView
from .current_run import CurrentRun
from .form import FineTuneForm
from .go_on_button import GoOnButton
from .preview_layer import TrainingPreview
from .slices import whole_slices
from .texts import NOTHING_LEARNT, is_better, outcome

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from ..common import CorrectionTracker


class FineTunePanel(QWidget):
    """Train a checkpoint on corrections, in the background.

    Parameters
    ----------
    viewer, store, tracker : ViewerModel, CheckpointStore, CorrectionTracker
        Shared by the panels.
    device : callable
        Returns the device to train on.
    computer : Computer, optional
        Where networks run.

    Signals
    -------
    trained(str)
        The id of a new checkpoint that is better than its start, or of the start that the user
        goes back to.
    learnt(object)
        The card of every new checkpoint.
    again_asked(object)
        This image should be segmented with the selected checkpoint.
    """

    trained = Signal(str)
    learnt = Signal(object)
    again_asked = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        store: CheckpointStore,
        tracker: CorrectionTracker,
        device: Callable[[], str] = lambda: "auto",
        computer: Computer | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store, self.tracker, self.device = viewer, store, tracker, device
        self.computer = computer or Computer(self)
        self._run: CurrentRun | None = None
        self._back_to = ""
        self._build()
        self.runner = JobRunner(
            self,
            self.status,
            self.start_button,
            self.stop_button,
            ready=lambda: None not in (self.form.image_box.value, self.form.labels_box.value),
            runs_network=True,
            stopping_text="Stopping …",
            stopped_text=NOTHING_LEARNT,
            keeps_partial=True,
        )
        self._connect()
        self._layers_changed()

    def _build(self) -> None:
        self.form = FineTuneForm(self.viewer, self.store, self.computer)
        self.start_button = QPushButton("Fine-tune")
        self.pause_button, self.stop_button = QPushButton("Pause"), QPushButton("Stop")
        self.pause_button.setCheckable(True)
        self.start_button.setToolTip(
            "Train the checkpoint on your corrections. A part of them is held out: not learnt, but "
            "used to score the result (Dice, 0 to 1). It is saved if it is better than its start"
        )
        self.pause_button.setToolTip("Make no step until you click again; the time limit waits")
        self.stop_button.setToolTip("End at once and keep the best weights so far")
        self.again_button = QPushButton("Segment again with it")
        self.again_button.setToolTip("Segment the image; what you corrected stays as it is")
        self.again_button.hide()
        self.best_button = QPushButton("Go back to the best moment")
        self.best_button.setToolTip(
            "Live learning got worse: restore the weights that did best on strokes they had not "
            "seen, or those of the start, and go on from there"
        )
        self.best_button.hide()
        self.go_on_button = GoOnButton(self.form)
        self.status = JobStatus("Correct a result with the brush, then fine-tune on it.")
        self.status.setToolTip(
            "Dice: overlap with your labels, 0 to 1. Held-out: on slices or parts that are not "
            "learnt. With few slices, each part is held out in turn (cross-validation), and then "
            "all are learnt"
        )
        self.pair, self.curve = BeforeAfterView(), TrainingCurves()
        buttons = self.start_button, self.pause_button, self.stop_button
        column = QVBoxLayout(self)
        column.addWidget(self.form)
        column.addLayout(forms.side_by_side(*buttons, stretches=(2, 1, 1)))
        column.addWidget(self.status)
        column.addWidget(self.best_button)
        column.addLayout(forms.side_by_side(self.go_on_button, self.again_button))
        column.addWidget(self.pair)
        column.addWidget(self.curve, 1)

    def _connect(self) -> None:
        form = self.form
        form.image_box.changed.connect(self._layers_changed)
        form.labels_box.changed.connect(self._layers_changed)
        form.live.toggled.connect(self._on_live)
        form.back_button.clicked.connect(self.go_back)
        self.best_button.clicked.connect(self._restore_best)
        self.again_button.clicked.connect(lambda: self.again_asked.emit(form.image_box.value))
        self.start_button.clicked.connect(self.fine_tune)
        self.go_on_button.asked.connect(self.fine_tune)
        self.pause_button.toggled.connect(self._on_pause)
        self.runner.changed.connect(self._enable)
        self.tracker.changed.connect(self._on_painted)
        self.viewer.dims.events.point.connect(self._on_moved)
        self.viewer.camera.events.connect(self._on_moved)

    # ------------------------------------------------------------------ state
    @property
    def busy(self) -> bool:
        """Whether training runs."""
        return self.runner.busy

    def select_checkpoint(self, checkpoint: str) -> None:
        """Read the list of checkpoints again and select one to start from."""
        self.form.checkpoint_box.refresh(checkpoint)

    def refresh_checkpoints(self) -> None:
        """Read the list of checkpoints again."""
        self.form.checkpoint_box.refresh()

    def reset_choices(self) -> None:
        """Read the lists of layers again."""
        self.form.reset_choices()
        self._layers_changed()

    def offer(self, image: Image, labels: Labels, checkpoint: str) -> None:
        """Choose the layers that were just segmented, and the checkpoint that did it."""
        self.reset_choices()
        self.form.image_box.value, self.form.labels_box.value = image, labels
        self.form.checkpoint_box.select(checkpoint)

    def _layers_changed(self, _: Any = None) -> None:
        self.form.show_rows()
        self._enable()

    def _enable(self) -> None:
        self.form.computer_row.refresh()
        self.runner.refresh()
        self.pause_button.setEnabled(self.busy)
        self.form.back_button.setEnabled(bool(self._back_to) and not self.busy)
        self.go_on_button.setEnabled(not self.busy)

    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence under the buttons, errors in red."""
        self.status.say(text, error)

    def shut(self) -> None:
        """End training without a word and follow the viewer no more; see `SegliteDock.shut`."""
        self.runner.abandon()
        self._on_end()
        self.viewer.dims.events.point.disconnect(self._on_moved)
        self.viewer.camera.events.disconnect(self._on_moved)

    # ------------------------------------------------------------------ training
    def request(self) -> FineTuneRequest:
        """Return the settings; classes without names in the form are those of the project."""
        request = replace(self.form.request(), device=self.device())
        if request.class_names is None:
            return replace(request, class_names=self.tracker.class_list.given_names)
        return request

    def images(self) -> tuple[AnnotatedImage, ...]:
        """Return the images to learn from.

        These are the slices in the form; without any, all corrected layers of the viewer; without
        corrections, the current slice.

        Raises
        ------
        AnnotationError
            If no layers are chosen or they do not fit, or there is no such slice.
        """
        image, labels = self.form.image_box.value, self.form.labels_box.value
        if image is None or labels is None:
            raise AnnotationError("Choose an image and a Labels layer that you corrected.")
        text = self.form.frames.text().strip().lower()
        tracked = self.tracker.find(labels)
        if tracked is not None and not text:
            corrections = tracked.entry.corrections
            # Scribbles that are still to come are learnt live.
            awaited = self.form.live.isChecked() and corrections.mode == "scribble"
            if corrections.regions or awaited:
                return self.tracker.annotated()
        current = layers.current_frame(self.viewer, image) if layers.is_stack(image) else 0
        return (whole_slices(image, labels, text, current),)

    def fine_tune(self) -> None:
        """Start training on the corrections."""
        if self.busy:
            return
        begun, image = time.monotonic(), self.form.image_box.value
        try:
            images, request, tuner = self.images(), self.request(), self.computer.tuner()
            feed = AnnotationFeed(images, viewed_patch(self.viewer, image))
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        self.again_button.hide()
        self.go_on_button.hide()
        self.curve.clear()
        self.pair.clear()
        run = self._run = CurrentRun(
            request.checkpoint,
            feed,
            TrainingPreview(self.viewer, image),
            strokes=sum(each.corrections.strokes for each in images),
            paused=False,
            learns_meanwhile=self.form.live.isChecked(),
        )
        self._back_to = request.checkpoint
        store, automatic, live = self.store, self.form.automatic, self.form.live.isChecked()

        def work(stop: StopSignal) -> Generator[TrainingEvent | BeforeAfter, None, None]:
            stops = stop.requested, stop.closing
            if live:
                return ready_to_train(learn_live(request, feed, store, *stops, run.asks_back))
            pauses = (lambda: run.paused), (lambda: run.learns_meanwhile)
            events = fine_tune(request, feed, store, automatic, *pauses, *stops, begun, tuner)
            return ready_to_train(events)

        self.runner.start(
            work,
            progressed=self._on_event,
            succeeded=lambda _: None if run.finished else self.say(NOTHING_LEARNT),
            ended=self._on_end,
        )

    def learn_live(self, image: Image, labels: Labels) -> None:
        """Learn from every stroke in a Labels layer as it is painted."""
        self.reset_choices()
        self.form.image_box.value, self.form.labels_box.value = image, labels
        self.form.live.setChecked(True)
        self.fine_tune()

    def go_back(self) -> None:
        """Select the checkpoint that the last run started from."""
        if self.busy or not self._back_to:
            return
        start, self._back_to = self._back_to, ""
        self.again_button.hide()
        self.go_on_button.hide()
        self.select_checkpoint(start)
        self.trained.emit(start)
        self.say(f"Back to {start}. The new checkpoint stays in the list.")
        self.start_button.setText("Fine-tune")
        self._enable()

    # ------------------------------------------------------------------ during the run
    def _on_pause(self, on: bool) -> None:
        self.pause_button.setText("Resume" if on else "Pause")
        if self._run is not None:
            self._run.paused = on

    def _on_live(self, on: bool) -> None:
        if self._run is not None:
            self._run.learns_meanwhile = on

    def _on_painted(self) -> None:
        if self._run is not None:
            self._run.feed.images = self.tracker.annotated()

    def _on_moved(self, _: Any = None) -> None:
        image = self.form.image_box.value
        if self._run is not None and image is not None:
            with suppress(SegliteError):
                self._run.feed.patch = viewed_patch(self.viewer, image)

    def _on_event(self, event: TrainingEvent | BeforeAfter) -> None:
        assert self._run is not None
        match event:
            case BeforeAfter():
                self.pair.show_pair(event)
            case Finished():
                self._on_finished(self._run, event)
            case Message():
                self.say(event.text)
                self._show_share(event.status)
            case Previewed(patch=ViewedPatch() as patch):
                self._run.preview.show(event.probabilities, patch)
            case StepDone(status=status):
                self.curve.add_loss(status.part_step or status.step, event.loss, status.part)
                self._show_progress(status)
            case StrokeScored():
                self._on_stroke(self._run, event)
            case Validated(status=status):
                self.curve.add_dice(status.part_step, event.dice, status.part, event.f1)
                self._show_progress(status)

    def _on_stroke(self, run: CurrentRun, event: StrokeScored) -> None:
        run.live_text = event.text
        self.best_button.setVisible(event.falling)
        if event.dice is not None:
            self.curve.add_dice(event.status.step, event.dice)
        self._show_progress(event.status)

    def _restore_best(self) -> None:
        if self._run is not None:
            self._run.goes_back = True
            self.best_button.hide()

    def _show_progress(self, status: RunStatus) -> None:
        live = "" if self._run is None else self._run.live_text
        self.runner.show(f"{progress_text(status)}\n{live}".strip())
        self._show_share(status)

    def _show_share(self, status: RunStatus) -> None:
        if status.steps:  # live learning has no end
            self.status.advance(round(status.share * 1000), 1000)

    def _on_finished(self, run: CurrentRun, event: Finished) -> None:
        run.finished = True
        better = is_better(event)
        self._show_share(event.status)
        self.say(outcome(event, run.start, run.strokes))
        self.start_button.setText("Continue" if better else "Fine-tune")
        if event.checkpoint is not None:
            self.learnt.emit(event.checkpoint)
        if event.checkpoint is not None and better:
            self.select_checkpoint(event.checkpoint.id)
            self.trained.emit(event.checkpoint.id)
            self.again_button.show()
        else:
            self.select_checkpoint(run.start)
        self.go_on_button.offer(event, run.start)
        self.form.suggest_name()

    def _on_end(self) -> None:
        if self._run is not None:
            self._run.preview.close()
        self._run = None
        self.best_button.hide()
        self.pause_button.setChecked(False)
