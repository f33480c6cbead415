"""Tools that change masks on one or several slices; Ctrl+Z undoes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QSpinBox, QVBoxLayout, QWidget

from ...errors import AnnotationError, Cancelled, SegliteError
from ...images import Box, Region
from ...labels import edits
from ..common import JobRunner, StopSignal, forms, layers, viewer_region

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from ..common import TrackedLayer

Tool = Literal["fill", "smooth", "largest", "grow", "shrink", "delete", "merge", "interpolate"]
Where = Literal["slice", "corrected", "all"]
TOOLS: dict[Tool, str] = {
    "fill": "Fill holes",
    "smooth": "Smooth outline",
    "largest": "Keep largest component",
    "grow": "Grow",
    "shrink": "Shrink",
    "delete": "Delete objects in shape",
    "merge": "Merge objects in shape",
    "interpolate": "Interpolate between slices",
}
WHERE: dict[Where, str] = {
    "slice": "this slice",
    "corrected": "corrected slices",
    "all": "all slices",
}
_OF_SHAPES: tuple[Tool, ...] = ("delete", "merge")
_WITH_PIXELS: tuple[Tool, ...] = ("grow", "shrink", "smooth")

# Number of a frame, and its new labels.
EditedFrame = tuple[int, np.ndarray]

NO_SHAPE = "Draw a shape around the objects to {} in a Shapes layer, then click Apply."
NOTHING = "Nothing to change here: the labels are as the tool would make them."


class MaskTools(QWidget):
    """A list of tools, a list of slices to use them on, and a button.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    tracked : callable
        Returns the layers to work on, or None.

    Signals
    -------
    said(str, bool)
        A sentence for the user, and whether it is an error.
    """

    said = Signal(str, bool)

    def __init__(
        self,
        viewer: ViewerModel,
        tracked: Callable[[], TrackedLayer | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self._tracked = viewer, tracked
        self.tool = forms.combo(TOOLS, "Changes the selected label; Ctrl+Z undoes it")
        self.pixels = QSpinBox()
        self.pixels.setRange(1, 99)
        self.pixels.setValue(2)
        self.pixels.setSuffix(" px")
        self.where = forms.combo(WHERE)
        self.apply_button = QPushButton("Apply")
        self.runner = JobRunner(self, start_button=self.apply_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(forms.side_by_side(self.tool, self.pixels, stretches=(1,)))
        column.addLayout(forms.side_by_side(self.where, self.apply_button, stretches=(1,)))
        self.tool.currentIndexChanged.connect(self._on_tool)
        self.apply_button.clicked.connect(self.apply)
        self._on_tool()

    @property
    def busy(self) -> bool:
        """Whether a tool runs."""
        return self.runner.busy

    def _on_tool(self, _: Any = None) -> None:
        name = self.tool.currentData()
        self.pixels.setEnabled(name in _WITH_PIXELS)
        self.where.setEnabled(name != "interpolate")

    def show_stack(self, stacked: bool) -> None:
        """Show the list of slices for a stack."""
        self.where.setVisible(stacked)

    # ------------------------------------------------------------------ using a tool
    def apply(self) -> None:
        """Apply the chosen tool."""
        tracked = self._tracked()
        if self.busy or tracked is None:
            return
        try:
            frames = self._edited(tracked)
        except SegliteError as error:
            self.said.emit(str(error), True)
            return
        self.runner.start(
            lambda stop: _collected(frames, stop),
            succeeded=lambda edited: self._write(tracked, edited),
            failed=lambda text: self.said.emit(text, True),
        )

    def _edited(self, tracked: TrackedLayer) -> Iterator[EditedFrame]:
        """Return an iterator that computes new labels of frames, for the job's thread."""
        name: Tool = self.tool.currentData()
        px = self.pixels.value()
        value, axes, data = tracked.labels.selected_label, tracked.axes, tracked.labels.data
        if not tracked.labels.editable:
            raise AnnotationError(f"{tracked.labels.name} is locked. Unlock the layer first.")
        one_slice = name == "interpolate" or self.where.currentData() == "slice"
        if one_slice and not viewer_region.shows_slices(self.viewer, tracked.image):
            raise AnnotationError(viewer_region.slices_hidden(tracked.image))
        if name == "interpolate":
            return _between(tracked, layers.current_frame(self.viewer, tracked.image))
        frames = self._frames(tracked)
        if name in _OF_SHAPES:
            if not viewer_region.anything_drawn(self.viewer):
                raise AnnotationError(NO_SHAPE.format(name))
            text = viewer_region.viewed_region(self.viewer, tracked.image, "shapes")
            assert text is not None
            plane = tracked.entry.corrections.shape[1:]
            where = _mask(Region.parse(text), plane)
            act = edits.delete_objects if name == "delete" else edits.merge_objects
            return ((k, act(axes.frame(data, k)[0], where)) for k in frames)
        single: dict[Tool, Callable[[np.ndarray], np.ndarray]] = {
            "fill": lambda old: edits.fill_holes(old, value),
            "smooth": lambda old: edits.smooth(old, value, px),
            "largest": lambda old: edits.keep_largest(old, value),
            "grow": lambda old: edits.grow(old, value, px),
            "shrink": lambda old: edits.grow(old, value, -px),
        }
        return _of_label(value, single[name], ((k, axes.frame(data, k)[0]) for k in frames))

    def _frames(self, tracked: TrackedLayer) -> list[int]:
        where: Where = self.where.currentData()
        if where == "all":
            return list(range(tracked.entry.corrections.shape[0]))
        if where == "corrected" and tracked.axes.stacked:
            return tracked.entry.corrections.frames
        return [layers.current_frame(self.viewer, tracked.image)]

    def _write(self, tracked: TrackedLayer, edited: list[EditedFrame]) -> None:
        if tracked.labels in self.viewer.layers:
            count = write_frames(tracked, edited)
            pixels = "pixel" if count == 1 else "pixels"
            text = f"{count:,} {pixels} changed. Ctrl+Z undoes it." if count else NOTHING
            self.said.emit(text, False)


def write_frames(tracked: TrackedLayer, edited: list[EditedFrame]) -> int:
    """Write new labels of frames as one step that can be undone; return the pixels changed."""
    axes, data = tracked.axes, tracked.labels.data
    whole = Box.whole(axes.frame_shape(data.shape))
    changed = [(k, new) for k, new in edited if (axes.frame(data, k)[0] != new).any()]
    if not changed:  # a step that changes nothing would take the place of the user's last stroke
        return 0
    with tracked.labels.block_history():
        count = sum(write_box(tracked, frame, whole, new, False) for frame, new in changed)
    tracked.labels.refresh()
    return count


def write_box(
    tracked: TrackedLayer, frame: int, box: Box, new: np.ndarray, refresh: bool = True
) -> int:
    """Write new labels of a box of a frame, to be undone as a step; return the pixels changed."""
    layer: Labels = tracked.labels
    axes = tracked.axes
    y, x = np.nonzero(axes.frame(layer.data, frame, box.slices)[0] != new)
    places = np.unravel_index(frame, axes.stack_shape(layer.data.shape) or (1,))
    at = {"Y": y + box.top, "X": x + box.left}
    at |= {a: np.full(y.shape, k) for a, k in zip(axes.stack, places, strict=False)}
    if y.size:
        layer.data_setitem(tuple(at[a] for a in axes.order), new[y, x], refresh=refresh)
    return int(y.size)


def _collected(
    frames: Iterator[EditedFrame], stop: StopSignal
) -> Generator[None, None, list[EditedFrame]]:
    edited = []
    for frame in frames:
        edited.append(frame)
        yield
        if stop():
            raise Cancelled
    return edited


def _of_label(
    value: int, act: Callable[[np.ndarray], np.ndarray], frames: Iterator[EditedFrame]
) -> Iterator[EditedFrame]:
    """Change a label on the frames that it is on."""
    absent = True
    for number, labels in frames:
        if (labels == value).any():
            absent = False
            yield number, act(labels)
    if absent:
        raise AnnotationError(
            f"There is no label {value} here. Pick the object to change (key L), then click Apply."
        )


def _between(tracked: TrackedLayer, current: int) -> Iterator[EditedFrame]:
    """Interpolate labels between the corrected slices around the current one."""
    frames, axes, data = tracked.entry.corrections.frames, tracked.axes, tracked.labels.data
    below = [k for k in frames if k <= current]
    above = [k for k in frames if k > current]
    volumes = axes.volumes(data.shape)
    if not below or not above or above[0] - below[-1] < 2:
        raise AnnotationError(
            "Go to a slice between two that you corrected. Apply fills in the slices between them."
        )
    a, b = below[-1], above[0]
    if not any(a in volume and b in volume for volume in volumes):
        raise AnnotationError(
            "The corrected slices belong to different time points, so nothing lies between them."
        )
    first, last = axes.frame(data, a)[0], axes.frame(data, b)[0]
    return zip(range(a + 1, b), edits.interpolated(first, last, b - a - 1), strict=True)


def _mask(region: Region, plane: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(plane, bool)
    mask[region.box(plane).slices] = region.mask(plane)
    return mask
