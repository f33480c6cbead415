"""The panel that segments."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QHBoxLayout, QMessageBox, QPushButton, QVBoxLayout, QWidget

from ...checkpoints import CheckpointStore
from ...errors import SegliteError
from ...inference import SegmentRequest
from ..common import Job, JobStatus, Stop, add_uncertainty, current_frame, label_shape
from .form import SegmentForm
from .preview_layer import SegmentationPreview
from .result_layers import ResultLayer, ResultLayers

if TYPE_CHECKING:
    import numpy as np
    from napari.components import ViewerModel
    from napari.layers import Image

    from ...inference import Progress, Segmentation, Segmenter, Uncertainty
    from .result_layers import Copies


class SegmentPanel(QWidget):
    """Choose an image and a checkpoint, click **Segment**, get an editable Labels layer.

    Signals
    -------
    segmented(object, object)
        The image layer and the Labels layer, after every run.
    """

    segmented = Signal(object, object)

    def __init__(
        self, viewer: ViewerModel, store: CheckpointStore, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store = viewer, store
        self.results = ResultLayers(viewer)
        self._segmenter: Segmenter | None = None
        self._job: Job | None = None
        self._relabelling: Job | None = None
        self._explaining: Job | None = None
        self._relabel_again = False
        self._last: ResultLayer | None = None
        self._preview: SegmentationPreview | None = None
        self._wrote = False
        self._build()

    def _build(self) -> None:
        self.form = SegmentForm(self.viewer, self.store)
        self.segment_button = QPushButton("Segment")
        self.cancel_button = QPushButton("Cancel")
        self.status = JobStatus()
        self.copy_command = QPushButton("Copy as command")
        self.copy_python = QPushButton("Copy as Python")
        buttons = QHBoxLayout()
        buttons.addWidget(self.segment_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        copies = QHBoxLayout()
        copies.addWidget(self.copy_command)
        copies.addWidget(self.copy_python)
        column = QVBoxLayout(self)
        column.addWidget(self.form)
        column.addLayout(buttons)
        column.addWidget(self.status)
        column.addStretch(1)
        column.addLayout(copies)

        self.form.image_changed.connect(self._enable)
        self.form.labelling_changed.connect(self.relabel)
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.copy_command.clicked.connect(lambda: self._copy(command=True))
        self.copy_python.clicked.connect(lambda: self._copy(command=False))
        self._enable()

    # ------------------------------------------------------------------ state
    @property
    def busy(self) -> bool:
        """Whether a segmentation runs."""
        return self._job is not None

    @property
    def last(self) -> ResultLayer | None:
        """The last result and its layer, if it is still there."""
        shown = self._last
        return shown if shown is not None and shown.layer in self.viewer.layers else None

    def reset_choices(self) -> None:
        """Read the list of layers again."""
        self.form.reset_choices()

    def _enable(self) -> None:
        self.segment_button.setEnabled(not self.busy and self.form.image is not None)
        self.cancel_button.setEnabled(self.busy)

    def say(self, text: str, error: bool = False) -> None:
        """Show a line under the buttons."""
        self.status.say(text, error)

    # ------------------------------------------------------------------ segmenting
    def segment(self) -> None:
        """Start segmenting; the result becomes a Labels layer."""
        if self.busy:
            return
        try:
            request = self.form.request()
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        layer = self.form.image
        assert layer is not None
        shown = self.results.find(layer, request.checkpoint, label_shape(layer))
        overwrite = False
        if shown is not None and shown.edited:
            answer = self._ask_about_edits(shown)
            if answer == "cancel":
                return
            overwrite = answer == "replace"
        self.form.remember(request)
        self._wrote = False
        self.status.start()
        data = layer.data
        self._preview = SegmentationPreview(self.viewer, layer, request)
        before = shown.result if shown is not None and shown.source is data else None
        self._job = job = Job(
            lambda stop, gone: self._work(data, request, lambda: stop() or gone(), before),
            self,
            runs_network=True,
        )
        job.progressed.connect(self._on_progress)
        job.succeeded.connect(
            lambda made: self._after_preview(lambda: self._on_result(layer, made, shown, overwrite))
        )
        job.failed.connect(lambda text: self.say(f"{layer.name}: {text}", error=True))
        job.ended.connect(lambda: self._after_preview(self._wind_up))
        self._enable()
        job.start()

    def _work(
        self, data: Any, request: SegmentRequest, stop: Stop, before: Segmentation | None
    ) -> Generator[Progress, None, tuple[Segmentation, Copies | None]]:
        # Imported in the thread: torch takes over a second, and the panel shall not wait.
        from ...inference import Segmenter

        if self._segmenter is None:
            self._segmenter = Segmenter(self.store)
        preview, steps = self._preview, self._segmenter.run(data, request, stop, before)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                return end.value, self.results.copies(end.value)
            if progress.finished is not None and preview is not None:
                preview.write(progress.finished)
            yield dataclasses.replace(
                progress, finished=None
            )  # the pixels need not wait in a queue

    def cancel(self) -> None:
        """Stop the running segmentation; what is finished stays."""
        if self._job is not None:
            self._job.stop()
            self.cancel_button.setEnabled(False)
            self.say("Cancelling …")

    def _on_progress(self, progress: Progress) -> None:
        if self._job is None or self._job.stopping:
            return
        if self._preview is not None:
            self._preview.look()
        self.status.advance(progress.done, progress.total)
        text = progress.text
        if progress.seconds_left is not None and progress.done < progress.total:
            text += f", {_duration(progress.seconds_left)} left"
        if progress.pixels_per_second is not None:
            text += f" ({progress.pixels_per_second / 1e6:.2g} megapixels a second)"
        self.say(text)

    def _after_preview(self, act: Callable[[], None]) -> None:
        # napari takes a while to take the preview's layer away, and to add the result's: one
        # after the other, so that the window can answer in between. The other way round, drawing
        # what was opened next crashed napari 0.9.
        if self._preview is not None:
            self._preview.close()
            self._preview = None
        QTimer.singleShot(0, act)

    def _on_result(
        self,
        layer: Image,
        made: tuple[Segmentation, Copies | None],
        shown: ResultLayer | None,
        overwrite: bool,
    ) -> None:
        result, copies = made
        if layer not in self.viewer.layers:
            self.say("The image was removed meanwhile, so its labels were dropped.")
            return
        # Asked again, because the user may have painted or locked or removed the layer meanwhile.
        replace = self.results.find(layer, result.request.checkpoint, result.labels.shape)
        if replace is not shown or (shown is not None and shown.edited and not overwrite):
            replace = None
        self._last = self.results.show(layer, result, replace, copies)
        self._wrote = True
        self.say(" ".join([_summary(result), *result.notices]))
        self._list_devices(result.request.device)
        self.segmented.emit(layer, self._last.layer)
        if self.form.uncertainty.currentData():
            self._show_uncertainty(layer, result)

    def _show_uncertainty(self, layer: Image, result: Segmentation) -> None:
        self._explaining = job = Job(lambda stop, gone: _explained(result, gone), self)
        job.succeeded.connect(lambda found: self._on_uncertainty(layer, result, found))
        job.failed.connect(lambda text: self.say(text, error=True))
        job.start()

    def _on_uncertainty(self, layer: Image, result: Segmentation, found: Uncertainty) -> None:
        self._explaining = None
        if layer in self.viewer.layers:
            add_uncertainty(self.viewer, layer, f"{layer.name} {result.info.id} uncertainty", found)
            if len(found.scores) > 1:
                self.say(f"{self.status.text()} Least certain: slice {found.worst}.")

    def _wind_up(self) -> None:
        if self._job is not None and self._job.stopping and not self._wrote:
            self.say("Cancelled. Nothing was changed.")
        self._job = None
        self.status.rest()
        self._enable()
        self.relabel()  # the slider may have moved while the network ran

    def _ask_about_edits(self, shown: ResultLayer) -> str:
        """Return ``"replace"``, ``"keep"`` (into a new layer) or ``"cancel"``."""
        box = QMessageBox(self)
        box.setWindowTitle("SegLite")
        box.setText(f"You edited the labels in {shown.layer.name!r}.")
        box.setInformativeText("Segment into a new layer, or replace your edits?")
        keep = box.addButton("New layer", QMessageBox.ButtonRole.AcceptRole)
        replace = box.addButton("Replace edits", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        clicked = box.clickedButton()
        return "keep" if clicked == keep else "replace" if clicked == replace else "cancel"

    # ------------------------------------------------------------------ labelling anew
    def relabel(self, _: Any = None) -> None:
        """Apply threshold, smallest object and kind of result to the probabilities kept."""
        layer = self.form.image
        if layer is None or self.busy:
            return
        shown = self.results.find(layer, self.form.checkpoint_box.checkpoint)
        changes = self.form.labelling()
        if shown is None or changes.items() <= shown.result.request.as_dict().items():
            return
        if self._relabelling is not None:
            self._relabel_again = True  # the slider moves faster than a large stack is labelled
            return
        old = shown.result
        seen = current_frame(self.viewer, layer)
        first = old.frames.index(seen) if seen in old.frames and len(old.frames) > 1 else None
        self._relabelling = job = Job(lambda *_: _relabelled(old, changes, first), self)
        job.progressed.connect(lambda news: self._on_relabelling(shown, old, first, news))
        job.succeeded.connect(lambda result: self._on_relabelled(shown, old, result))
        job.failed.connect(lambda text: self.say(text, error=True))
        job.ended.connect(self._on_relabel_ended)
        job.start()

    def _on_relabelling(
        self, shown: ResultLayer, old: Segmentation, first: int | None, news: str | np.ndarray
    ) -> None:
        if isinstance(news, str):
            self.say(news)
        elif shown.result is old and first is not None and self._writable(shown):
            self.results.preview(shown, first, news)

    def _writable(self, shown: ResultLayer) -> bool:
        return shown.layer in self.viewer.layers and not getattr(shown.layer, "locked", False)

    def _on_relabelled(self, shown: ResultLayer, old: Segmentation, result: Segmentation) -> None:
        if shown.result is not old:
            return  # segmented anew meanwhile
        if self._writable(shown):
            if self.results.update(shown, result):
                self.say(_summary(result))
            else:
                self.say("You edited labels that are too large to be compared. They stay as is.")

    def _on_relabel_ended(self) -> None:
        self._relabelling = None
        if self._relabel_again:
            self._relabel_again = False
            self.relabel()

    # ------------------------------------------------------------------ the rest
    def _copy(self, command: bool) -> None:
        shown = self.last
        if shown is None:
            self.say("Segment something first; then this copies what repeats it.")
            return
        request, image = shown.result.request, shown.image
        path = image.source.path or f"{image.name}.tif"
        text = request.as_command([path], ".") if command else request.as_python(path)
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(text)
        hint = "" if image.source.path else f" The image has no file yet: save it as {path}."
        self.say("Copied." + hint)

    def _list_devices(self, used: str) -> None:
        from src_models import selective_scan

        from ...runtime import devices

        scan = selective_scan.choose_backend(used.partition(":")[0])
        hint = f"The last run was on {used}, with the {scan} scan"
        self.form.show_devices(devices.available(), hint)


def _relabelled(
    old: Segmentation, changes: dict[str, Any], first: int | None
) -> Generator[str | np.ndarray, None, Segmentation]:
    """Label anew; the frame that is seen comes first."""
    from ...labels import labelling_text

    yield labelling_text(changes["output"])
    if first is not None:
        yield old.relabel_frame(first, **changes)
    return old.relabel(**changes)


def _explained(result: Segmentation, gone: Stop) -> Generator[None, None, Uncertainty]:
    from ...inference import measure_uncertainty

    *_, found = measure_uncertainty(result, gone)
    yield
    return found


def _summary(result: Segmentation) -> str:
    if not result.complete:
        return f"Stopped at {result.share:.0%}. Segment again to go on from there."
    where = "" if result.request.frames is None else f" in slice {result.frames[0]}"
    if result.request.output == "instances":
        return f"Found {result.counts.objects} objects{where}."
    share = result.counts.pixels / max(1, math.prod(result.labels.shape))
    return f"Labelled {share:.1%} of the pixels{where}."


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
