"""The panel that segments."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from ..engine.axes import ImageAxes
from ..engine.requests import SegmentRequest
from ..errors import SegliteError
from ..store.checkpoints import CheckpointStore
from . import layers, preferences
from .checkpoint_box import CheckpointBox, describe
from .jobs import Job, Stop
from .results import Results, Shown

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..engine.segmenter import Progress, Segmentation, Segmenter

OUTPUTS = {"semantic": "Mask: one label a class", "instances": "Objects: one label each"}
SCOPES = {"all": "All slices", "current": "Current slice"}
DEFAULTS = SegmentRequest("default", "YX")


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
        self.results = Results(viewer)
        self._segmenter: Segmenter | None = None
        self._job: Job | None = None
        self._relabelling: Job | None = None
        self._relabel_again = False
        self._last: Shown | None = None
        self._build()
        self._restore()
        self._image_changed()

    # ------------------------------------------------------------------ building
    def _build(self) -> None:
        self.image_box = layers.layer_box(Image)
        self.image_info = _small_label()
        self.checkpoint_box = CheckpointBox(self.store)
        self.checkpoint_info = _small_label()
        self.device_box = QComboBox()
        self.device_box.addItems(["auto", "cpu"])
        self.device_box.setToolTip("auto takes the fastest device of this computer")
        self.scope_box = _combo(SCOPES)
        self.output_box = _combo(OUTPUTS)
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.01, 0.99)
        self.threshold.setDecimals(2)
        self.threshold.setValue(DEFAULTS.threshold)
        self.threshold.setToolTip("Probability from which a pixel belongs to an object")
        self.min_size = QSpinBox()
        self.min_size.setRange(0, 1_000_000)
        self.min_size.setSuffix(" px")
        self.min_size.setToolTip("Objects of fewer pixels are removed")

        self.segment_button = QPushButton("Segment")
        self.cancel_button = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.copy_command = QPushButton("Copy as command")
        self.copy_python = QPushButton("Copy as Python")
        self._lay_out()

        self.image_box.changed.connect(self._image_changed)
        self.checkpoint_box.currentIndexChanged.connect(self._checkpoint_changed)
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.threshold.valueChanged.connect(self.relabel)
        self.min_size.valueChanged.connect(self.relabel)
        self.output_box.currentIndexChanged.connect(self.relabel)
        self.copy_command.clicked.connect(lambda: self._copy(command=True))
        self.copy_python.clicked.connect(lambda: self._copy(command=False))
        self._set_busy(False)
        self._checkpoint_changed()

    def _lay_out(self) -> None:
        self.form = form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image_box.native)
        form.addRow("", self.image_info)
        form.addRow("Checkpoint", self.checkpoint_box)
        form.addRow("", self.checkpoint_info)
        form.addRow("Device", self.device_box)
        form.addRow("Slices", self.scope_box)
        form.addRow("Result", self.output_box)
        form.addRow("Threshold", self.threshold)
        form.addRow("Smallest object", self.min_size)
        buttons = QHBoxLayout()
        buttons.addWidget(self.segment_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        copies = QHBoxLayout()
        copies.addWidget(self.copy_command)
        copies.addWidget(self.copy_python)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.status)
        column.addStretch(1)
        column.addLayout(copies)

    def _restore(self) -> None:
        stored = preferences.load(
            {
                "checkpoint": "nuclei-s-net",
                "device": DEFAULTS.device,
                "output": DEFAULTS.output,
                "threshold": DEFAULTS.threshold,
                "min_size": DEFAULTS.min_size,
            }
        )
        self.checkpoint_box.select(stored["checkpoint"])
        self.device_box.setCurrentText(stored["device"])
        self.output_box.setCurrentIndex(max(0, self.output_box.findData(stored["output"])))
        self.threshold.setValue(stored["threshold"])
        self.min_size.setValue(stored["min_size"])

    def _remember(self, request: SegmentRequest) -> None:
        preferences.save(
            {
                "checkpoint": request.checkpoint,
                "device": self.device_box.currentText(),
                "output": request.output,
                "threshold": request.threshold,
                "min_size": request.min_size,
            }
        )

    # ------------------------------------------------------------------ state
    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        layer: Image | None = self.image_box.value
        return layer

    @property
    def busy(self) -> bool:
        """Whether a segmentation runs."""
        return self._job is not None

    @property
    def last(self) -> Shown | None:
        """The last result and its layer, if it is still there."""
        shown = self._last
        return shown if shown is not None and shown.layer in self.viewer.layers else None

    def reset_choices(self, event: Any = None) -> None:
        """Read the list of layers again; napari calls this when layers come and go."""
        self.image_box.reset_choices(event)
        self._image_changed()

    def _image_changed(self, _: Any = None) -> None:
        layer = self.image
        self.image_info.setText(
            "Open an image to begin" if layer is None else layers.describe(layer)
        )
        self.form.setRowVisible(self.scope_box, layers.is_stack(layer))
        self.segment_button.setEnabled(layer is not None and not self.busy)

    def _checkpoint_changed(self, _: Any = None) -> None:
        name = self.checkpoint_box.checkpoint
        try:
            self.checkpoint_info.setText(describe(self.store.info(name)) if name else "")
        except SegliteError as error:
            self.checkpoint_info.setText(str(error))

    def _set_busy(self, busy: bool) -> None:
        self.segment_button.setEnabled(not busy and self.image is not None)
        self.cancel_button.setEnabled(busy)
        self.bar.setEnabled(busy)
        if not busy:
            self.bar.setRange(0, 1)
            self.bar.setValue(0)

    def say(self, text: str, error: bool = False) -> None:
        """Show a line under the buttons."""
        self.status.setText(text)
        self.status.setStyleSheet("color: #ff7a7a" if error else "")

    # ------------------------------------------------------------------ segmenting
    def request(self) -> SegmentRequest:
        """Return what the panel is set to.

        Raises
        ------
        SegliteError
            If that cannot be segmented.
        """
        layer = self.image
        if layer is None:
            raise SegliteError(
                "Open an image first, or take one from File > Open Sample > SegLite."
            )
        axes: ImageAxes = layers.layer_axes(layer)
        one = axes.stacked and self.scope_box.currentData() == "current"
        return SegmentRequest(
            checkpoint=self.checkpoint_box.checkpoint,
            axes=axes.order,
            device=self.device_box.currentText(),
            threshold=round(self.threshold.value(), 4),
            min_size=self.min_size.value(),
            output=self.output_box.currentData(),
            frames=(layers.current_frame(self.viewer, layer),) if one else None,
        )

    def segment(self) -> None:
        """Start segmenting; the result becomes a Labels layer."""
        if self.busy:
            return
        try:
            request = self.request()
        except SegliteError as error:
            self.say(str(error), error=True)
            return
        layer = self.image
        assert layer is not None
        shown = self.results.find(layer, request.checkpoint)
        if shown is not None and shown.edited:
            answer = self._ask_about_edits(shown)
            if answer == "cancel":
                return
            if answer == "keep":
                shown = None
        self._remember(request)
        self.say("Starting …")
        self.bar.setRange(0, 0)
        data = layer.data
        self._job = job = Job(lambda stop: self._work(data, request, stop), self)
        job.progressed.connect(self._on_progress)
        job.succeeded.connect(lambda result: self._on_result(layer, result, shown))
        job.failed.connect(lambda text: self.say(f"{layer.name}: {text}", error=True))
        job.ended.connect(self._on_ended)
        self._set_busy(True)
        job.start()

    def _work(
        self, data: Any, request: SegmentRequest, stop: Stop
    ) -> Generator[Progress, None, Segmentation]:
        # Imported in the thread: torch takes over a second, and the panel shall not wait.
        from ..engine.segmenter import Segmenter

        if self._segmenter is None:
            self._segmenter = Segmenter(self.store)
        return (yield from self._segmenter.run(data, request, stop))

    def cancel(self) -> None:
        """Stop the running segmentation; nothing is written."""
        if self._job is not None:
            self._job.stop()
            self.cancel_button.setEnabled(False)
            self.say("Cancelling …")

    def _on_progress(self, progress: Progress) -> None:
        if self._job is None or self._job.stopping:
            return
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        text = progress.text
        if progress.seconds_left is not None and progress.done < progress.total:
            text += f", {_duration(progress.seconds_left)} left"
        self.say(text)

    def _on_result(self, layer: Image, result: Segmentation, replace: Shown | None) -> None:
        if layer not in self.viewer.layers:
            self.say("The image was removed meanwhile, so its labels were dropped.")
            return
        if replace is not None and replace.layer not in self.viewer.layers:
            replace = None
        self._last = self.results.show(layer, result, replace)
        self.say(" ".join([_summary(result), *result.notices]))
        self._list_devices(result.request.device)
        self.segmented.emit(layer, self._last.layer)

    def _on_ended(self) -> None:
        if self._job is not None and self._job.stopping:
            self.say("Cancelled. Nothing was changed.")
        self._job = None
        self._set_busy(False)

    def _ask_about_edits(self, shown: Shown) -> str:
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
        return "keep" if clicked is keep else "replace" if clicked is replace else "cancel"

    # ------------------------------------------------------------------ labelling anew
    def relabel(self, _: Any = None) -> None:
        """Apply threshold, smallest object and kind of result to the last probabilities."""
        shown = self.last
        if shown is None or self.busy:
            return
        if self._relabelling is not None:
            self._relabel_again = True  # the slider moves faster than a large stack is labelled
            return
        changes = {
            "threshold": round(self.threshold.value(), 4),
            "min_size": self.min_size.value(),
            "output": self.output_box.currentData(),
        }
        old = shown.result
        self._relabelling = job = Job(lambda stop: _relabelled(old, changes), self)
        job.succeeded.connect(lambda result: self._on_relabelled(shown, old, result))
        job.failed.connect(lambda text: self.say(text, error=True))
        job.ended.connect(self._on_relabel_ended)
        job.start()

    def _on_relabelled(self, shown: Shown, old: Segmentation, result: Segmentation) -> None:
        if shown.result is not old:
            return  # segmented anew meanwhile
        if shown.layer in self.viewer.layers and not getattr(shown.layer, "locked", False):
            self.results.update(shown, result)
            self.say(_summary(result))

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

        from ..engine import devices

        chosen = self.device_box.currentText()
        self.device_box.clear()
        self.device_box.addItems(["auto", *devices.available()])
        self.device_box.setCurrentText(chosen)
        scan = selective_scan.choose_backend(used.partition(":")[0])
        self.device_box.setToolTip(f"The last run was on {used}, with the {scan} scan")


def _relabelled(old: Segmentation, changes: dict[str, Any]) -> Generator[None, None, Segmentation]:
    yield
    return old.relabel(**changes)


def _summary(result: Segmentation) -> str:
    where = "" if result.request.frames is None else f" in slice {result.frames[0]}"
    if result.request.output == "instances":
        count = int(result.labels.max(initial=0))
        return f"Found {count} objects{where}."
    share = float((result.labels > 0).mean())
    return f"Labelled {share:.1%} of the pixels{where}."


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def _combo(entries: dict[str, str]) -> QComboBox:
    box = QComboBox()
    for value, text in entries.items():
        box.addItem(text, value)
    return box


def _small_label() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setStyleSheet("color: #9aa4b0")
    return label
