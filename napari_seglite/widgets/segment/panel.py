"""The panel that segments."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QVBoxLayout, QWidget

from ...checkpoints import CheckpointStore
from ...errors import SegliteError
from ...inference import Progress, Segmenter, SegmentRequest, estimate_object_size
from ...labels import Output
from ...runtime import WithResult
from ..common import (
    Computer,
    FormArea,
    JobRunner,
    JobStatus,
    StopSignal,
    forms,
    keys,
    label_shape,
)
from ..file_layers import is_being_read
from .before_layer import BeforeLayer
from .copy_row import CopyRow
from .form import SegmentForm
from .in_view import SeenPart
from .kept_regions import KeptRegions
from .preview_layer import SegmentationPreview
from .relabeller import Relabeller
from .result_layers import ResultLayer, ResultLayers, prepare
from .suggestion import ImageSuggestion
from .texts import brush_text, kept_text, progress_text, summary
from .uncertainty_layer import UncertaintyLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from ...inference import ObjectSize, Segmentation
    from ..common import CorrectionTracker
    from .result_layers import Prepared


@dataclass(frozen=True)
class _Run:
    """A segmentation that runs.

    Attributes
    ----------
    image : Image
        The layer that is segmented.
    replaces : ResultLayer or None
        The earlier result of the same image, which the new one goes into.
    overwrite : bool
        Whether the user agreed to lose the corrections in it.
    preview : SegmentationPreview
        Shows the labels so far.
    seen : SeenPart
        Tells the job what the user sees, which is computed first.
    """

    image: Image
    replaces: ResultLayer | None
    overwrite: bool
    preview: SegmentationPreview
    seen: SeenPart

    def close(self) -> None:
        """Take the preview away and follow the viewer no more."""
        self.preview.close()
        self.seen.close()


class SegmentPanel(QWidget):
    """Choose an image and a checkpoint, click **Segment**, get an editable Labels layer.

    Parameters
    ----------
    viewer, store, tracker : ViewerModel, CheckpointStore, CorrectionTracker
        Shared by the panels.
    computer : Computer, optional
        Where networks run.

    Signals
    -------
    segmented(object, object)
        The image layer and the Labels layer, after every run.
    """

    segmented = Signal(object, object)

    def __init__(
        self,
        viewer: ViewerModel,
        store: CheckpointStore,
        tracker: CorrectionTracker,
        computer: Computer | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store, self.tracker = viewer, store, tracker
        self.computer = computer or Computer(self)
        self.results = ResultLayers(viewer)
        self.kept = KeptRegions(tracker, self)
        self._segmenter = Segmenter(store)
        self._run: _Run | None = None
        self._last: ResultLayer | None = None
        self.before = BeforeLayer(viewer)
        self.before.closed.connect(lambda: self.before_button.setChecked(False))
        self._build()
        self.runner = JobRunner(
            self,
            self.status,
            self.segment_button,
            ready=lambda: self._run is None and self.form.image is not None,
            runs_network=True,
            stopped_text="Cancelled. Nothing was changed.",
            keeps_partial=True,
        )
        self.uncertainty = UncertaintyLayer(self, viewer)
        self.uncertainty.said.connect(self.say)
        self.relabeller = Relabeller(self, self.results)
        self.relabeller.said.connect(self.say)
        self.relabeller.again.connect(self.relabel)
        self._connect()
        self._enable()

    def _build(self) -> None:
        self.form = SegmentForm(self.viewer, self.store, self.computer)
        self.form.image_rows.choice.image_of = self.results.image_of
        self.suggestion = ImageSuggestion(self.form, self.tracker)
        self.segment_button, self.cancel_button = QPushButton("Segment"), QPushButton("Cancel")
        self.segment_button.setToolTip(
            "Labels the image with the network. What you see is computed first; what you corrected "
            "stays"
        )
        self.cancel_button.setToolTip(
            "Stops. What is finished stays in the labels, and Segment goes on from there"
        )
        self.status = JobStatus()
        self.replace_box = QCheckBox("Replace my corrections, too")
        self.replace_box.setToolTip(
            "Otherwise slices and parts that you corrected or accepted stay as they are"
        )
        self.before_button = QPushButton("Show the labels before")
        self.before_button.setCheckable(True)
        self.before_button.setToolTip(
            f"The labels before the last segmentation, and back ({keys.BEFORE})"
        )
        self.copy_row = CopyRow(lambda: self.last)
        self.copy_command, self.copy_python = self.copy_row.command, self.copy_row.python
        column = QVBoxLayout(self)
        column.addWidget(FormArea(self.form), 1000)
        column.addLayout(
            forms.side_by_side(self.segment_button, self.cancel_button, stretches=(2, 1))
        )
        column.addWidget(self.replace_box)
        column.addWidget(self.status)
        column.addWidget(self.before_button)
        column.addStretch(1)
        column.addWidget(self.copy_row)

    def _connect(self) -> None:
        self.form.image_changed.connect(self._enable)
        self.form.labelling_changed.connect(self.relabel)
        self.form.uncertainty.currentIndexChanged.connect(self._on_measure)
        for runner in (self.runner, self.uncertainty.runner):
            runner.changed.connect(self._enable)
        self.tracker.changed.connect(self._show_choices)
        self.before_button.toggled.connect(self._on_before)
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.form.fit_button.clicked.connect(self.fit)
        self.copy_row.said.connect(self.say)

    # ------------------------------------------------------------------ state
    @property
    def busy(self) -> bool:
        """Whether a segmentation runs, or its result is about to be shown."""
        return self.runner.busy or self._run is not None

    @property
    def last(self) -> ResultLayer | None:
        """The last result and its layer, if it is still there."""
        last = self._last
        return last if last is not None and last.layer in self.viewer.layers else None

    @property
    def checkpoint(self) -> str:
        """The id of the selected checkpoint."""
        return self.form.checkpoint_box.checkpoint

    def select_checkpoint(self, checkpoint: str) -> None:
        """Read the list of checkpoints again and select an id."""
        self.form.checkpoint_box.refresh(checkpoint)

    def refresh_checkpoints(self) -> None:
        """Read the list of checkpoints again."""
        self.form.checkpoint_box.refresh()

    def select_output(self, output: Output) -> None:
        """Ask for a mask or for objects."""
        forms.select(self.form.output_box, output)

    def device(self) -> str:
        """Return the selected device, such as ``"auto"``."""
        return self.form.device_box.currentText()

    def settings(self) -> dict[str, Any]:
        """Return the settings that hold for any image, as arguments of `SegmentRequest`."""
        return self.form.settings()

    def reset_choices(self) -> None:
        """Read the list of layers again."""
        self.form.reset_choices()

    def _enable(self) -> None:
        self._show_choices()
        self.form.computer_row.refresh()
        self.runner.refresh()
        states = self.runner.state, self.uncertainty.runner.state
        self.cancel_button.setEnabled("running" in states)

    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence under the buttons, errors in red."""
        self.status.say(text, error)

    # ------------------------------------------------------------------ segmenting
    def segment(self) -> None:
        """Start segmenting; the result becomes a Labels layer."""
        image = self.form.image
        if self.busy:
            return
        if image is not None and is_being_read(image):
            self.say(f"Reading what the file says about {image.name} …")
            QTimer.singleShot(50, self.segment)
            return
        try:
            request, segmenter = self.form.request(), self.computer.segmenter(self._segmenter)
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        assert image is not None
        earlier = self._current(image, request)
        overwrite = self.replace_box.isChecked() and not self.replace_box.isHidden()
        if overwrite and not self.kept.may_replace(earlier):
            return
        self.before.close()
        self.form.remember(request)
        self.uncertainty.runner.stop()
        data, preview = image.data, SegmentationPreview(self.viewer, image, request)
        seen = SeenPart(self.viewer, image)
        before = earlier.result if earlier is not None and earlier.source is data else None
        run = self._run = _Run(image, earlier, overwrite, preview, seen)
        self.runner.start(
            lambda stop: _segmented(segmenter, data, request, before, run, stop),
            progressed=self._on_progress,
            succeeded=lambda outcome: self._after_preview(lambda: self._on_result(run, *outcome)),
            failed=lambda text: self.say(f"{image.name}: {text}", error=True),
            ended=lambda: self._after_preview(self._wind_up),
        )

    def fit(self) -> None:
        """Estimate the size of the objects, and rescale them to the size that was learnt."""
        image = self.form.image
        if self.busy or image is None:
            return
        try:
            request, segmenter = self.form.request(), self.computer.segmenter(self._segmenter)
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        data = image.data
        self.runner.start(
            lambda stop: _sized(segmenter, data, request, stop),
            progressed=lambda step: self.runner.show(progress_text(step), step.done, step.total),
            succeeded=lambda size: self._on_size(image, request.checkpoint, size),
            failed=lambda text: self.say(f"{image.name}: {text}", error=True),
        )

    def _on_size(self, image: Image, checkpoint: str, size: ObjectSize | None) -> None:
        if image is not self.form.image or checkpoint != self.checkpoint:
            return
        self.suggestion.measured(image, size)
        if size is None:
            self.say("No objects were found at any size. Rescale by hand.")
            return
        self.form.rescale.setValue(size.rescale)
        self.say(size.text)

    def cancel(self) -> None:
        """Stop the running job; finished slices stay."""
        self.runner.stop()
        self.uncertainty.runner.stop()

    def _on_progress(self, progress: Progress) -> None:
        if self._run is None or self.runner.state != "running":
            return
        self._run.preview.update()
        self.runner.show(progress_text(progress), progress.done, progress.total)

    def _after_preview(self, act: Callable[[], None]) -> None:
        # napari takes a while to remove the preview's layer and to add the result's. One after
        # the other, the window can react in between. Added before the other is removed, napari
        # 0.9 crashed when it drew the layer that was opened next.
        run = self._run
        if run is not None:
            run.close()
        QTimer.singleShot(0, lambda: act() if run is self._run else None)

    def shut(self) -> None:
        """End the run without a word; see `SegliteDock.shut`."""
        for runner in (self.runner, self.uncertainty.runner):
            runner.abandon()
        self.form.image_rows.close()
        if self._run is not None:
            self._run.close()
        self._run = None
        self.before.close()

    def _on_result(self, run: _Run, result: Segmentation, prepared: Prepared) -> None:
        image = run.image
        if image not in self.viewer.layers:
            self.say("The image was removed during the run, so its labels were dropped.")
            return
        if label_shape(image) != tuple(result.labels.shape):
            self.say(f"{image.name} was replaced during the run, so its labels were dropped.")
            return
        # Searched again: the user may have painted on the layer, locked or removed it.
        target = self._current(image, result.request)
        if target is not run.replaces:
            target = None
        kept = self.kept.take(target, result, run.overwrite)
        # The user may be at work on another image by now.
        elsewhere = self.viewer.layers.selection.active if self.form.image is not image else None
        self._last = self.results.show(image, result, target, prepared, kept)
        if elsewhere is not None:
            self.viewer.layers.selection.active = elsewhere
        self.replace_box.setChecked(False)
        told = [summary(result), *kept_text(kept, result), *brush_text(result), *result.notices]
        self.say(" ".join(told))
        if not self.computer.elsewhere:
            self._list_devices(result.request.device)
        self._last.layer.bind_key(keys.BEFORE, self._flip, overwrite=True)
        self._show_choices()
        self.segmented.emit(image, self._last.layer)
        if measure := self.form.uncertainty.currentData():
            self.uncertainty.show(self._last, measure, self.status.text())

    def _on_measure(self, _: Any = None) -> None:
        """Show or hide the uncertainty of the last result, whose probabilities are there."""
        last = self.last
        if last is not None and last.image is self.form.image and not self.busy:
            self.uncertainty.show(last, self.form.uncertainty.currentData() or "")

    def _flip(self, _: Any = None) -> None:
        """Show the labels before the last segmentation, or those after it again."""
        if not self.before_button.isHidden():
            self.before_button.toggle()

    def _wind_up(self) -> None:
        self._run = None
        self._enable()
        self.relabel()  # the settings may have changed during the run

    def relabel(self) -> None:
        """Show the labels that the current settings give, if no segmentation runs."""
        if self.form.image is not None and not self.busy:
            self.relabeller.relabel(self.form.image, self.checkpoint, self.form.labelling())

    # ------------------------------------------------------------------ corrections
    def _current(self, image: Image, request: SegmentRequest) -> ResultLayer | None:
        """Return the layer that a segmentation of an image goes into."""
        try:
            info = self.store.info(request.checkpoint)
        except SegliteError:  # the run says so
            return None
        output = request.output_for(info)
        return self.results.current(image, label_shape(image), output, info.classes)

    def _show_choices(self) -> None:
        """Offer to replace corrections, and to look at earlier labels, where there are any."""
        last = self.last
        self.replace_box.setVisible(self.kept.tracked(last) is not None)
        self.before_button.setVisible(last is not None and last.before is not None)

    def _on_before(self, on: bool) -> None:
        last = self.last
        if not on or last is None or last.before is None:
            self.before.close()
        else:
            self.before.show(last.layer, last.before)

    # ------------------------------------------------------------------ the rest
    def _list_devices(self, used: str) -> None:
        from src_models import selective_scan

        from ...runtime import devices

        scan = selective_scan.choose_backend(used.partition(":")[0])
        tip = f"The last run was on {used}, with the {scan} scan"
        self.form.show_devices(devices.available(), tip)


def _sized(
    segmenter: Segmenter, data: Any, request: SegmentRequest, stop: StopSignal
) -> Generator[Progress, None, ObjectSize | None]:
    """Estimate the size of the objects in the job's thread."""
    yield Progress("Estimating the size of the objects …", frames=1)
    return estimate_object_size(data, request, segmenter, stop)


def _segmented(
    segmenter: Segmenter,
    data: Any,
    request: SegmentRequest,
    before: Segmentation | None,
    run: _Run,
    stop: StopSignal,
) -> Generator[Progress, None, tuple[Segmentation, Prepared]]:
    """Segment in the job's thread; finished tiles go into the preview and no further."""
    steps = WithResult(segmenter.run(data, request, stop, before, run.seen))
    for progress in steps:
        if progress.finished is not None:
            run.preview.write(progress.finished)
        yield replace(progress, finished=None)
    view = run.seen()
    return steps.result, prepare(steps.result, None if view is None else view.frame)
