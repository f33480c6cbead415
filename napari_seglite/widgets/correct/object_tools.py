"""Tools that correct one object with one click or drag; Ctrl+Z undoes each in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from ...errors import AnnotationError, SegliteError
from ...images import Box
from ...labels import object_edits
from ..common import keys, viewer_region
from .canvas_mode import CanvasMode
from .free_labels import FreeLabels
from .mask_tools import write_box
from .proposed_object import ProposedObject, propose_object

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from ...inference import Segmentation
    from ..common import CorrectionTracker, TrackedLayer

ObjectTool = Literal["split", "merge", "delete", "add", "redraw"]


@dataclass(frozen=True)
class About:
    """What the user is told of a tool: its button, key, tooltip, and what to do in the image."""

    title: str
    key: str
    tip: str
    how: str


TOOLS: dict[ObjectTool, About] = {
    "split": About(
        "Split",
        keys.SPLIT,
        "Draw a line through an object: its larger part keeps the label, the rest gets a new one.\n"
        "In labels that number classes, a line of background separates the parts",
        "Draw a line through an object.",
    ),
    "merge": About(
        "Merge",
        keys.MERGE,
        "Drag from one object to another: both get the label of the one you begin in,\n"
        "and the gap between them is filled where it is narrowest",
        "Drag from one object to another.",
    ),
    "delete": About(
        "Delete",
        keys.DELETE,
        "Click an object: it becomes background. Other parts of the same label stay",
        "Click an object.",
    ),
    "add": About(
        "Add",
        keys.ADD,
        "Click an object that was missed: the probabilities of the last segmentation give its "
        "outline.\nTurn the wheel over it, or press the keys Up and Down, to grow and shrink it",
        "Click an object that was missed.",
    ),
    "redraw": About(
        "Redraw",
        keys.REDRAW,
        "Draw a new piece of border, beginning inside the object: out of it and back to enlarge\n"
        "it, or along the new border inside it to cut off the smaller part",
        "Begin inside an object: draw out of it and back, or along its new border.",
    ),
}
LISTED = {
    "  ".join(about.key for about in TOOLS.values()): "split, merge, delete, add, redraw an object",
    "Up  Down": "grow, shrink the added object",
    "Esc": "leave the tool",
}
LEAVE, UNDO = "Esc: back to the brush.", "Ctrl+Z undoes it."
PUT_DOWN = "Back to the brush."
DASK = (
    "{} is a dask array, in which only the brush can paint. Save it as a file and open that, or "
    "use labels of a segmentation."
)
PYRAMID = (
    "{} has several resolutions, which napari shows but does not edit. Open the file's labels of "
    "full resolution alone, or use labels of a segmentation."
)
SCRIBBLES = "Scribbles are no objects. Choose the labels of a segmentation to correct objects."


class ObjectTools(QWidget):
    """A button for each tool; while one is down, the pointer edits objects.

    Parameters
    ----------
    viewer, tracker : ViewerModel, CorrectionTracker
        The viewer, and what follows its layers.
    tracked : callable
        Returns the layers to work on, or None.
    segmentation_of : callable
        Returns the segmentation that a Labels layer shows, or None.

    Signals
    -------
    said(str, bool)
        A sentence for the user, and whether it is an error.
    """

    said = Signal(str, bool)

    def __init__(
        self,
        viewer: ViewerModel,
        tracker: CorrectionTracker,
        tracked: Callable[[], TrackedLayer | None],
        segmentation_of: Callable[[Labels], Segmentation | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.tracker = viewer, tracker
        self._tracked, self._segmentation_of = tracked, segmentation_of
        self.tool: ObjectTool | None = None
        self.free, self.mode = FreeLabels(self), CanvasMode(viewer, self)
        self.proposed: ProposedObject | None = None
        self._writing = False
        self.mode.dragged.connect(self._on_dragged)
        self.mode.left.connect(self._on_left)
        self.mode.turned = self._on_wheel
        self.buttons: dict[ObjectTool, QPushButton] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)  # five of them are as wide as the narrowest dock
        for name, about in TOOLS.items():
            button = QPushButton()
            button.setText(about.title)
            button.setCheckable(True)
            button.setToolTip(f"{about.tip} ({about.key})")
            button.clicked.connect(lambda _=False, name=name: self.use(name))
            row.addWidget(button, 1)
            self.buttons[name] = button
        self.acts = {about.key: self._use_by_key(name) for name, about in TOOLS.items()}

    # ------------------------------------------------------------------ choosing a tool
    def _use_by_key(self, name: ObjectTool) -> Callable[[], None]:
        return lambda: self.use(name)

    def use(self, name: ObjectTool) -> None:
        """Take a tool, or put it down if it is the one in use."""
        again = name == self.tool
        self.put_down()
        if again:
            return
        try:
            tracked, _ = self._in_view()
        except SegliteError as error:
            self._show_tool()
            self.said.emit(str(error), True)
            return
        layer = tracked.labels
        self.mode.enter(layer, {"Up": self.grow, "Down": self.shrink})
        layer.events.paint.connect(self._on_paint)
        self.tool = name
        self._show_tool()
        if name in ("split", "add"):
            self.free.search(layer)
        self.said.emit(f"{TOOLS[name].how} {LEAVE}", False)

    def put_down(self) -> None:
        """Give the layer's mouse back."""
        self.mode.leave()

    def follow(self, tracked: TrackedLayer | None) -> None:
        """Put the tool down if other layers were chosen, and allow tools only with layers."""
        layer = self.mode.layer
        if layer is not None and (tracked is None or tracked.labels != layer):
            self.put_down()
        self.setEnabled(tracked is not None)

    def _on_left(self, layer: Labels) -> None:
        layer.events.paint.disconnect(self._on_paint)
        self.tool = self.proposed = None
        self._show_tool()
        self.said.emit(PUT_DOWN, False)

    def _show_tool(self) -> None:
        for name, button in self.buttons.items():
            button.setChecked(name == self.tool)

    def _on_paint(self) -> None:
        if not self._writing:
            self.proposed = None  # the last step is no longer the one that added the object

    def _in_view(self) -> tuple[TrackedLayer, int]:
        """Return the layers and the frame to edit; raise an error that says why there are none."""
        tracked = self._tracked()
        if tracked is None:
            raise AnnotationError("Choose an image and labels of its size above.")
        name = tracked.labels.name
        if tracked.labels.multiscale:
            raise AnnotationError(PYRAMID.format(name))
        if not tracked.labels.editable or getattr(tracked.labels, "locked", False):
            raise AnnotationError(f"{name} is locked. Unlock the layer first.")
        if type(tracked.labels.data).__module__.startswith("dask"):
            raise AnnotationError(DASK.format(name))
        if not tracked.labels.visible:
            raise AnnotationError(f"{name} is hidden. Show the layer first (V).")
        if tracked.entry.corrections.mode == "scribble":
            raise AnnotationError(SCRIBBLES)
        frame = self.tracker.frame_in_view(tracked)
        if frame is None:
            raise AnnotationError(viewer_region.slices_hidden(tracked.image))
        return tracked, frame

    # ------------------------------------------------------------------ using it
    def _on_dragged(self, ways: np.ndarray) -> None:
        """Edit what the pointer went over."""
        self.proposed = None
        try:
            tracked, frame = self._in_view()
            order = tracked.axes.order
            stroke = ways[:, [order.index("Y"), order.index("X")]]
            start = (round(float(stroke[0, 0])), round(float(stroke[0, 1])))
            plane = _plane(tracked, frame)
            if self.tool == "add":
                self._add(tracked, frame, start)
            elif self.tool == "delete":
                edit = object_edits.delete(plane, start)
                self._write(tracked, frame, edit, f"Object {edit.value} deleted.")
            elif self.tool == "merge":
                edit = object_edits.merge(plane, stroke)
                self._write(tracked, frame, edit, f"Merged into object {edit.value}.")
            elif self.tool == "redraw":
                edit = object_edits.redraw(plane, stroke)
                self._write(tracked, frame, edit, f"Border of object {edit.value} redrawn.")
            elif self.tool == "split":
                self._split(tracked, frame, plane, stroke)
        except SegliteError as error:
            self.said.emit(str(error), True)

    def _split(
        self, tracked: TrackedLayer, frame: int, plane: object_edits.Plane, stroke: np.ndarray
    ) -> None:
        if self._numbers_classes(tracked):
            edit = object_edits.split(plane, stroke)
            self._write(tracked, frame, edit, "Split by a line of background.")
            return
        fresh = self.free.first(tracked.labels)
        edit = object_edits.split(plane, stroke, fresh)
        new = [int(k) for k in np.unique(edit.labels) if k >= fresh]
        self.free.first(tracked.labels, len(new))
        text = f"Object {edit.value} split; the new part is {', '.join(map(str, new))}."
        self._write(tracked, frame, edit, text, new)

    def _add(self, tracked: TrackedLayer, frame: int, point: object_edits.Point) -> None:
        found = propose_object(
            tracked, frame, _plane(tracked, frame), self._segmentation_of(tracked.labels), point
        )
        if not self._numbers_classes(tracked):
            found.value = self.free.first(tracked.labels)
        self._write_proposed(found)
        self.proposed = found

    def _write_proposed(self, found: ProposedObject) -> None:
        edit = found.edit(_plane(found.tracked, found.frame))
        text = (
            f"Added {found.pixels:,} pixels with label {found.value}. "
            "Wheel over it, or Up and Down: grow, shrink."
        )
        classes = self._numbers_classes(found.tracked)
        self._write(found.tracked, found.frame, edit, text, [] if classes else [found.value])

    def _write(
        self,
        tracked: TrackedLayer,
        frame: int,
        edit: object_edits.Edit,
        text: str,
        new: list[int] | None = None,
    ) -> None:
        """Write an edit as one step to undo, and say what was done."""
        layer, selected = tracked.labels, tracked.labels.selected_label
        self._writing = True
        try:
            if (
                new
            ):  # what follows the painting of large labels takes the selected one as the highest
                layer.selected_label = new[-1]
            with layer.block_history():
                write_box(tracked, frame, edit.box, edit.labels)
        finally:
            self._writing = False
            if new:
                self.free.note(layer, new[-1])
                # A label that was ready for a new object must stay that of no object.
                free = min(new[-1] + 1, np.iinfo(layer.data.dtype).max)
                layer.selected_label = free if selected in new else selected
        self.said.emit(f"{text} {UNDO}", False)

    def _numbers_classes(self, tracked: TrackedLayer) -> bool:
        """Whether labels number classes, so that objects are their connected parts."""
        result = self._segmentation_of(tracked.labels)
        stored = tracked.labels.metadata.get("seglite", {})
        output = stored.get("output") if result is None else result.request.output
        if output in ("semantic", "instances"):
            return bool(output == "semantic")
        # A mask holds a single number.
        several = len(self.tracker.class_list.class_names) > 2
        return several or (
            self.free.highest(tracked.labels) in (1, 255) and self.free.single(tracked.labels)
        )

    # ------------------------------------------------------------------ growing what was added
    def _on_wheel(self, position: np.ndarray, step: int) -> bool:
        found = self.proposed
        if found is None or not found.holds(position):
            return False
        return self._resize(step)

    def grow(self) -> None:
        """Grow the object that was just added."""
        self._resize(1)

    def shrink(self) -> None:
        """Shrink the object that was just added."""
        self._resize(-1)

    def _resize(self, step: int) -> bool:
        """Grow or shrink the object that was just added; returns whether there is one."""
        found = self.proposed
        try:
            tracked, frame = self._in_view()
        except SegliteError:
            return False
        if found is None or found.tracked is not tracked or found.frame != frame:
            return False
        if not found.stands(_plane(tracked, frame)):  # undone, or painted over
            self.proposed = None
            return False
        if found.step(step):
            self._writing = True
            tracked.labels.undo()  # so that growing and shrinking leave one step in all
            self._write_proposed(found)
        return True


def _plane(tracked: TrackedLayer, frame: int) -> object_edits.Plane:
    def read(box: Box) -> np.ndarray:
        return np.asarray(tracked.axes.frame(tracked.labels.data, frame, box.slices)[0])

    return object_edits.Plane(read, tracked.axes.frame_shape(tracked.labels.data.shape))
