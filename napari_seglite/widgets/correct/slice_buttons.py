"""The buttons that go through a stack: accept a slice, find the next, mark a box as complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from ...errors import SegliteError
from ...images import Region
from ..common import keys, viewer_region
from .next_slice import NextSlice

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...inference import Segmentation
    from ..common import CorrectionTracker, TrackedLayer

DRAW = "Draw a rectangle around the completely labelled part, then click again."


class SliceButtons(QWidget):
    """Accept the slice in view, go to the next, or mark a drawn box as complete.

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
        self.tracked, self._segmentation_of = tracked, segmentation_of
        self.next_slice = NextSlice(self, viewer)
        self.next_slice.said.connect(self.said)
        self.accept_button, self.next_button = QPushButton("Accept"), QPushButton("Next")
        self.complete_button = QPushButton("Box is complete")
        self.accept_button.setToolTip(
            f"The whole slice is correct as it is, and goes into training ({keys.ACCEPT})"
        )
        self.next_button.setToolTip(
            "Go to the slice whose correction teaches most: uncertain, and unlike those that are "
            f"corrected; again for another ({keys.NEXT})"
        )
        self.complete_button.setToolTip(
            "Every pixel inside the drawn rectangle is correct, background included"
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for button, act in (
            (self.accept_button, self.accept),
            (self.next_button, self.next),
            (self.complete_button, self.complete),
        ):
            button.clicked.connect(lambda _=False, act=act: act())
            row.addWidget(button)

    @property
    def busy(self) -> bool:
        """Whether the next slice is being searched for."""
        return self.next_slice.busy

    def _in_view(self) -> tuple[TrackedLayer, int] | None:
        """Return the layers and the frame in view, or say why there is none to act on."""
        tracked = self.tracked()
        if tracked is None:
            return None
        frame = self.tracker.frame_in_view(tracked)
        if frame is None:
            self.said.emit(viewer_region.slices_hidden(tracked.image), True)
            return None
        return tracked, frame

    def accept(self) -> None:
        """Mark the current slice as correct, and go to the next."""
        in_view = self._in_view()
        if in_view is None or not self.tracker.register(in_view[0]):
            return
        tracked, frame = in_view
        tracked.entry.corrections = tracked.entry.corrections.accept(frame, self.tracker.author)
        self.tracker.mark_changed()
        done = f"Slice {frame} is accepted." if tracked.axes.stacked else "Accepted."
        self.said.emit(done, False)
        self._show_next(tracked, done)

    def next(self) -> None:
        """Go to the slice that is worth correcting next."""
        if (in_view := self._in_view()) is not None:
            self._show_next(in_view[0])

    def _show_next(self, tracked: TrackedLayer, done: str = "") -> None:
        result = self._segmentation_of(tracked.labels)
        if self.busy:
            return
        if result is None:
            self.said.emit(
                f"{done} Segment the image to be shown what is most uncertain.".strip(), False
            )
        else:
            corrections = self.tracker.corrections_of(tracked)
            self.next_slice.show(tracked, result, corrections, done)

    def complete(self) -> None:
        """Mark drawn rectangles as completely labelled; offer to draw one if there is none."""
        in_view = self._in_view()
        if in_view is None:
            return
        tracked, frame = in_view
        if not viewer_region.anything_drawn(self.viewer):
            shapes = self.viewer.add_shapes(name="complete", ndim=2, face_color="transparent")
            shapes.mode = "add_rectangle"
            self.said.emit(DRAW, False)
            return
        plane = tracked.entry.corrections.shape[1:]
        try:
            text = viewer_region.viewed_region(self.viewer, tracked.image, "shapes")
            assert text is not None
            boxes = [Region((polygon,)).box(plane) for polygon in Region.parse(text).polygons]
        except SegliteError as error:
            self.said.emit(str(error), True)
            return
        if not self.tracker.register(tracked):
            return
        for box in boxes:
            tracked.entry.corrections = tracked.entry.corrections.complete(
                frame, box, self.tracker.author
            )
        self.tracker.mark_changed()
        self.said.emit(
            f"{len(boxes)} complete box{'es' if len(boxes) > 1 else ''} on this slice.", False
        )
