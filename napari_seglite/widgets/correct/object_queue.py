"""Objects one by one: the least confident next, and splits and merges to say yes or no to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ...errors import Cancelled
from ...images import Box
from ...inference import evidence
from ...labels import ObjectConfidence, Proposal, object_confidence, propose
from ..common import JobRunner, StopSignal, forms, keys, layers, viewer_region
from .change_mark import ChangeMark
from .mask_tools import write_frames

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from ...inference import Segmentation
    from ..common import CorrectionTracker, TrackedLayer

# How many times the object fits into the view.
SURROUNDINGS = 4
NO_OBJECTS = "These labels number classes. For splits and merges, segment with Objects."


class ObjectQueue(QWidget):
    """Goes to the least confident object, and asks about splits and merges.

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
        self.runner, self.mark = JobRunner(self), ChangeMark(viewer)
        self._labels: ref[Labels] | None = None  # what the next two are about
        self._seen: set[tuple[int, int, Box]] = set()  # objects shown since the first
        self._answered: set[tuple[int, str, int, int, Box]] = set()
        self._pending: list[Proposal] = []
        self._about: tuple[TrackedLayer, int] | None = None  # what the proposals are about
        self._tops: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()  # their largest ids
        self._build()

    def _build(self) -> None:
        self.next_button = _button(
            "Next object",
            "Zoom to the object in this slice that the network is least sure of, or that is odd "
            f"in size or shape; again for another ({keys.NEXT_OBJECT})",
        )
        self.ask_button = _button(
            "Split or merge?",
            "Find objects in this slice that may be two, and pairs that may be one, and ask about "
            f"them one by one, the most plausible first ({keys.ASK})",
        )
        self.yes_button = _button(
            "Yes", f"Change the labels as the yellow line shows; Ctrl+Z undoes it ({keys.YES})"
        )
        self.no_button = _button(
            "No", f"Leave the labels as they are, and do not ask again ({keys.NO})"
        )
        self.skip_button = _button("Skip", f"Not sure: decide later ({keys.SKIP})")
        self.answers = QWidget()
        row = QHBoxLayout(self.answers)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.yes_button, self.no_button, self.skip_button):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(forms.side_by_side(self.next_button, self.ask_button, stretches=(1, 1)))
        column.addWidget(self.answers)
        self.answers.hide()
        for button, act in (
            (self.next_button, self.next),
            (self.ask_button, self.ask),
            (self.yes_button, self.yes),
            (self.no_button, self.no),
            (self.skip_button, self.skip),
        ):
            button.clicked.connect(lambda _=False, act=act: act())

    @property
    def busy(self) -> bool:
        """Whether objects or proposals are being searched for."""
        return self.runner.busy

    @property
    def keys(self) -> dict[str, Callable[[], None]]:
        """What to do by key."""
        return {
            keys.NEXT_OBJECT: self.next,
            keys.ASK: self.ask,
            keys.YES: self.yes,
            keys.NO: self.no,
            keys.SKIP: self.skip,
        }

    def _in_view(self) -> tuple[TrackedLayer, int] | None:
        tracked = self.tracked()
        if tracked is None or self.busy:
            return None
        frame = self.tracker.frame_in_view(tracked)
        if frame is None:
            self.said.emit(viewer_region.slices_hidden(tracked.image), True)
            return None
        if self._labels is None or self._labels() is not tracked.labels:
            self._labels = ref(tracked.labels)
            self._seen.clear()
            self._answered.clear()
        return tracked, frame

    # ------------------------------------------------------------------ the next object
    def next(self) -> None:
        """Go to the least confident object of the slice that was not shown yet."""
        if (in_view := self._in_view()) is None:
            return
        self.stop_asking()
        tracked, frame = in_view
        result = self._segmentation_of(tracked.labels)
        labels = tracked.axes.frame(tracked.labels.data, frame)[0].copy()
        self.runner.start(
            lambda stop: _objects(labels, result, frame),
            succeeded=lambda found: self._show_object(tracked, frame, found),
            failed=lambda text: self.said.emit(text, True),
        )

    def _show_object(
        self, tracked: TrackedLayer, frame: int, found: list[ObjectConfidence]
    ) -> None:
        if not found:
            self.said.emit("There is no object in this slice.", False)
            return
        order = [each for each in found if (frame, each.label, each.box) not in self._seen]
        if not order:
            self._seen = {each for each in self._seen if each[0] != frame}
            order = found
        shown = order[0]
        self._seen.add((frame, shown.label, shown.box))
        zoom_to(self.viewer, tracked, frame, shown.box)
        tracked.labels.selected_label = shown.label
        odd = ", odd in size or shape" if shown.odd else ""
        self.said.emit(
            f"Object {shown.label}: confidence {shown.confidence:.2f}{odd}; expected Dice "
            f"{shown.quality:.2f}. {len(order) - 1} of {len(found)} not seen yet.",
            False,
        )

    # ------------------------------------------------------------------ yes or no
    def ask(self) -> None:
        """Find splits and merges in the slice, and ask about the first."""
        if (in_view := self._in_view()) is None:
            return
        self.stop_asking()
        tracked, frame = in_view
        result = self._segmentation_of(tracked.labels)
        if result is not None and result.request.output_for(result.info) == "semantic":
            self.said.emit(NO_OBJECTS, True)
            return
        data, axes = tracked.labels.data, tracked.axes
        labels = axes.frame(data, frame)[0].copy()
        # Labels on disk may be too many to read them for every question.
        known = self._tops.get(tracked.labels, 0) if not isinstance(data, np.ndarray) else 0
        unread = range(0 if known else tracked.entry.corrections.shape[0])

        def keep(found: tuple[list[Proposal], int]) -> None:
            proposals, top = found
            self._tops[tracked.labels] = max(known, top)
            self._about = tracked, frame
            self._pending = [p for p in proposals if self._key(p) not in self._answered]
            self._show_proposal("")

        self.said.emit("Looking for objects to split or merge …", False)
        self.runner.start(
            lambda stop: _proposals(
                labels, result, frame, (axes.frame(data, k)[0] for k in unread), stop
            ),
            succeeded=keep,
            failed=lambda text: self.said.emit(text, True),
        )

    def yes(self) -> None:
        """Do what is proposed, as one step that can be undone."""
        if self._about is None or not self._pending:
            return
        tracked, frame = self._about
        proposal, layer = self._pending[0], tracked.labels
        if layer not in self.viewer.layers:
            self.stop_asking()
            return
        labels = tracked.axes.frame(layer.data, frame)[0]
        if not layer.editable:
            self.said.emit(f"{layer.name} is locked. Unlock the layer first.", True)
            return
        if not proposal.fits(labels):
            self._go_on("The labels changed there in the meantime.", answered=False)
            return
        # New objects that the user painted in this slice since have ids, too.
        fresh = max(self._tops[layer], int(labels.max()), int(layer.selected_label)) + 1
        if proposal.kind == "split" and fresh > np.iinfo(layer.data.dtype).max:
            self.said.emit(f"{layer.name} has no id left for a new object.", True)
            return
        write_frames(tracked, [(frame, proposal.applied(labels, fresh))])
        if proposal.kind == "split":
            self._tops[layer] = fresh
        self._go_on("Split." if proposal.kind == "split" else "Merged.", answered=True)

    def no(self) -> None:
        """Leave the labels as they are, and do not ask this again."""
        if self._pending:
            self._go_on("", answered=True)

    def skip(self) -> None:
        """Go to the next proposal; this one comes again with the next search."""
        if self._pending:
            self._go_on("", answered=False)

    def stop_asking(self) -> None:
        """Forget what is proposed."""
        self._pending, self._about = [], None
        self.answers.hide()
        self.mark.remove()

    def _key(self, proposal: Proposal) -> tuple[int, str, int, int, Box]:
        frame = self._about[1] if self._about else 0
        return frame, proposal.kind, proposal.label, proposal.other, proposal.box

    def _go_on(self, done: str, answered: bool) -> None:
        proposal = self._pending.pop(0)
        if answered:
            self._answered.add(self._key(proposal))
        self._show_proposal(done)

    def _show_proposal(self, done: str) -> None:
        """Zoom to the first proposal that still fits the labels."""
        assert self._about is not None
        tracked, frame = self._about
        if tracked.labels not in self.viewer.layers:
            self.stop_asking()
            return
        labels = tracked.axes.frame(tracked.labels.data, frame)[0]
        self._pending = [p for p in self._pending if p.fits(labels)]
        if not self._pending:
            self.stop_asking()
            text = "Nothing more to split or merge in this slice."
            self.said.emit(f"{done} {text}".strip(), False)
            return
        proposal = self._pending[0]
        self.answers.show()
        zoom_to(self.viewer, tracked, frame, proposal.box)
        self.mark.show(tracked, frame, proposal.box, proposal.changed)
        question = (
            f"Split object {proposal.label} along the line?"
            if proposal.kind == "split"
            else f"Merge object {proposal.other} into {proposal.label}?"
        )
        left = len(self._pending)
        hint = f"Yes ({keys.YES}), no ({keys.NO}) or skip ({keys.SKIP}); {left} left."
        self.said.emit(f"{done} {question} {hint}".strip(), False)


def zoom_to(viewer: ViewerModel, tracked: TrackedLayer, frame: int, box: Box) -> None:
    """Show a box of a frame in the middle of the canvas, with its surroundings.

    Parameters
    ----------
    viewer, tracked : ViewerModel, TrackedLayer
        The viewer, and layers in it.
    frame : int
        Number of the frame.
    box : Box
        In pixels of the frame.
    """
    layers.show_frame(viewer, tracked.image, frame, box)
    canvas = getattr(viewer, "canvas", None)  # new in napari 0.9
    size = np.array(canvas.size if canvas is not None else viewer._canvas_size)
    height, width = tracked.entry.corrections.plane
    rows, columns = (SURROUNDINGS * side for side in box.shape)
    order = tracked.axes.order
    far = {"Y": min(rows, height), "X": min(columns, width)}
    ends = [[k * far.get(axis, 0) for axis in order] for k in (0, 1)]
    way = np.subtract(*(tracked.labels.data_to_world(end) for end in ends))
    extent = np.abs(way[[order.index("Y"), order.index("X")]])
    viewer.camera.zoom = float(np.min(size / np.maximum(extent, 1e-12)))


def _cropped(
    labels: np.ndarray, result: Segmentation | None, frame: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, Box]:
    """Return labels, probability and interior of the segmented part, and where it is."""
    shown = None if result is None else evidence(result, frame)
    if shown is None:
        return labels, None, None, Box.whole((labels.shape[0], labels.shape[1]))
    return labels[shown.box.slices], shown.probability, shown.interior, shown.box


def _objects(
    labels: np.ndarray, result: Segmentation | None, frame: int
) -> Generator[None, None, list[ObjectConfidence]]:
    yield
    labels, probability, interior, box = _cropped(labels, result, frame)
    found = object_confidence(labels, probability, interior)
    return [each.moved(box.top, box.left) for each in found]


def _proposals(
    labels: np.ndarray,
    result: Segmentation | None,
    frame: int,
    frames: Iterator[np.ndarray],
    stop: StopSignal,
) -> Generator[list[Proposal] | None, None, tuple[list[Proposal], int]]:
    """Return the proposals of a frame, and the largest id in all frames."""
    labels, probability, interior, box = _cropped(labels, result, frame)
    found: list[Proposal] = []
    for found in propose(labels, probability, interior):
        if stop():
            raise Cancelled
        yield found
    top = 0
    for each in frames:
        if stop():
            raise Cancelled
        top = max(top, int(each.max(initial=0)))
        yield None
    return [each.moved(box.top, box.left) for each in found], top


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
