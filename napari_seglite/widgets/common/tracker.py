"""Follows the brush: what it touches is marked as corrected and saved, without a click."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from ...annotation import AnnotationProject, Autosave, ClassList, ProjectImage, open_default
from ...errors import SegliteError
from ...images import Box, Corrections, ImageAxes, Mode
from ...training import AnnotatedImage
from . import layers
from .paint_events import Span, edited_spans

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

# Images without a file are copied into the project up to this size.
LARGEST_COPY = 2_000_000_000
# Milliseconds between two looks at what is saved.
LOOK = 500


@dataclass
class TrackedLayer:
    """An image layer, the labels that are corrected on it, and their place in the project."""

    image: Image
    labels: Labels
    entry: ProjectImage
    begun: bool = False

    @property
    def axes(self) -> ImageAxes:
        """Of the labels."""
        return ImageAxes(self.entry.axes.labels)


class CorrectionTracker(QObject):
    """Keeps the project of a viewer.

    Signals
    -------
    changed()
        Regions were marked, or there is another project.
    saved()
        Everything painted so far is on disk.
    failed(str)
        Something could not be saved or opened, in a sentence.
    """

    changed = Signal()
    saved = Signal()
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.mode: Mode = "dense"
        self.project: AnnotationProject | None = None
        self._about = ClassList()  # as long as there is no project
        self._autosave: Autosave | None = None
        self._tracked: list[TrackedLayer] = []
        self._announced = 0
        self._drawing: list[tuple[TrackedLayer, Span]] = []
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK)
        self._timer.timeout.connect(self._look)

    # ------------------------------------------------------------------ projects
    def open(self, folder: Path, create: bool = False) -> AnnotationProject:
        """Work in a project from now on.

        Raises
        ------
        AnnotationError
            If it cannot be opened; the one before stays open then.
        """
        project = AnnotationProject.open(folder, create)
        self.close()
        self._use(project)
        return project

    def _use(self, project: AnnotationProject) -> None:
        self.project = project
        # From another thread: the signal brings it to this one.
        self._autosave = Autosave(project, self.failed.emit)
        self._announced = 0
        if not project.images and self._about.named and not project.classes.named:
            self.describe(self._about)  # a new project, for what is on the screen
        self._timer.start()
        self.changed.emit()

    @property
    def about(self) -> ClassList:
        """The classes that are painted."""
        return self.project.classes if self.project is not None else self._about

    def describe(self, about: ClassList) -> None:
        """Give classes other names or colours."""
        self._about = about
        if self.project is not None:
            self.project.classes = replace(about, created=self.project.classes.created)
        self.touched()

    def close(self) -> None:
        """Save everything and let others open the project."""
        self._timer.stop()
        self.shut()

    def shut(self) -> None:
        """Do what `close` does when the window is gone already, and Qt's part of this with it."""
        if self._autosave is not None:
            self._autosave.close()
        if self.project is not None:
            self.project.close()
        self.project = self._autosave = None
        for tracked in self._tracked:
            tracked.begun = False

    @property
    def waiting(self) -> bool:
        """Whether something painted is not on disk yet."""
        return self._autosave is not None and self._autosave.behind

    def flush(self) -> None:
        """Save now."""
        if self._autosave is not None:
            self._autosave.flush()

    def _look(self) -> None:
        """Pass on how a stroke in progress goes, and whether all is saved."""
        drawing, self._drawing = self._drawing, []
        for tracked, span in drawing[-1:]:
            self._save(tracked, span)
        saver = self._autosave
        if saver is not None and not saver.behind and self._announced != saver.saved:
            self._announced = saver.saved
            self.saved.emit()

    # ------------------------------------------------------------------ layers
    def find(self, labels: Labels | None) -> TrackedLayer | None:
        """Return what is known of a Labels layer."""
        self._tracked = [t for t in self._tracked if t.labels in self.viewer.layers]
        return next((t for t in self._tracked if t.labels == labels), None)

    def all(self) -> list[TrackedLayer]:
        """Return everything in the viewer that was corrected."""
        self.find(None)
        return [t for t in self._tracked if t.entry.corrections.regions]

    def annotated(self) -> tuple[AnnotatedImage, ...]:
        """Return everything in the viewer that was corrected, to learn from."""
        return tuple(_annotated(tracked) for tracked in self.all())

    def follow(
        self,
        image: Image,
        labels: Labels,
        checkpoint: str = "",
        entry: ProjectImage | None = None,
    ) -> TrackedLayer:
        """Mark and save what is painted into a layer from now on.

        Parameters
        ----------
        image, labels : napari layer
            Labels of another shape than the image's frames raise `ImageError`.
        checkpoint : str
            What proposed the labels.
        entry : ProjectImage, optional
            Where they are in the project already.
        """
        known = self.find(labels)
        if known is not None and (known.begun or (known.image == image and entry is None)):
            return known
        axes = layers.layer_axes(image)
        shape = tuple(layers.pixels(image).shape)
        if entry is None:
            size = (axes.frame_count(shape), *axes.frame_shape(shape))
            entry = ProjectImage(
                "",
                image.name,
                str(image.source.path or ""),
                axes,
                Corrections(size, self.mode),
                tuple(labels.data.shape),
                checkpoint=checkpoint,
                channels=layers.choice(image, "channels"),
                spacing=tuple(map(float, labels.scale)),
                unit=str(labels.units[-1]),
            )
        if known is not None:  # nothing was painted yet: it may belong to another image
            known.image, known.entry = image, entry
            return known
        tracked = TrackedLayer(image, labels, entry)
        self._tracked.append(tracked)
        events = labels.events
        events.paint.connect(lambda event: self._on_paint(tracked, event.value))
        events.data.connect(lambda: self._on_replaced(tracked))
        events.set_data.connect(lambda: self._on_refreshed(tracked))
        events.labels_update.connect(lambda event: self._on_drawing(tracked, event))
        return tracked

    def begin(self, tracked: TrackedLayer) -> bool:
        """Take a layer into the project, which is opened if there is none yet."""
        if tracked.begun:
            return True
        try:
            if self.project is None:
                self._use(open_default())
        except (SegliteError, OSError) as error:
            self.failed.emit(f"Corrections cannot be saved: {error}")
            return False
        assert self._autosave is not None
        layer, entry = tracked.labels, tracked.entry
        pixels = layers.pixels(tracked.image)
        small = isinstance(pixels, np.ndarray) and pixels.nbytes <= LARGEST_COPY
        if not entry.path and not small:
            self.failed.emit(
                f"{entry.name} has no file and is too large to be copied: save it first if you "
                "want to train on it again later. Its labels are kept."
            )
        self._autosave.watch(entry, lambda: layer.data, pixels if small else None)
        tracked.begun = True
        return True

    # ------------------------------------------------------------------ what the brush does
    def _on_paint(self, tracked: TrackedLayer, value: Any) -> None:
        self._drawing = []
        for span in edited_spans(value, tracked.entry.shape):
            self.mark(tracked, span)

    def mark(self, tracked: TrackedLayer, span: Span) -> None:
        """Mark and save what changed between two corners."""
        if tracked.labels.data.shape != tracked.entry.shape or not self.begin(tracked):
            return
        for frame, box in _frames(tracked, span):
            tracked.entry.corrections = tracked.entry.corrections.touch(frame, box)
        self._save(tracked, span)
        self.touched()

    def _save(self, tracked: TrackedLayer, span: Span) -> None:
        if self._autosave is not None and tracked.begun:
            self._autosave.labels_changed(tracked.entry, *span)

    def forget(self, key: str, frame: int) -> None:
        """Take the marks of a frame back: it was not corrected after all."""
        entries = [tracked.entry for tracked in self._tracked]
        entries += self.project.images.values() if self.project is not None else ()
        for entry in entries:
            if entry.key == key:
                entry.corrections = entry.corrections.forget(frame)
        self.touched()

    def take_out(self, key: str) -> None:
        """Take an image and its saved labels out of the project; its layers stay."""
        assert self.project is not None
        self.flush()
        self.project.remove(key)
        for tracked in self._tracked:
            if tracked.entry.key == key:
                corrections = tracked.entry.corrections
                tracked.entry.corrections = Corrections(corrections.shape, corrections.mode)
                tracked.begun = False
        self.changed.emit()

    def touched(self) -> None:
        """Save the marks and tell everybody."""
        if self._autosave is not None:
            self._autosave.index_changed()
        self.changed.emit()

    def _on_replaced(self, tracked: TrackedLayer) -> None:
        if tracked.labels.data.shape == tracked.entry.shape:
            self._save(tracked, ((0,) * len(tracked.entry.shape), tracked.entry.shape))

    def _on_refreshed(self, tracked: TrackedLayer) -> None:
        """After an undo, of which napari tells nothing but that the layer is drawn anew."""
        if self._autosave is not None and tracked.begun:
            self._autosave.recheck_recent()

    def _on_drawing(self, tracked: TrackedLayer, event: Any) -> None:
        """Note where a stroke that is still drawn goes, for the next look."""
        try:
            shape, axes = tracked.entry.shape, tracked.axes
            if not tracked.begun or tuple(self.viewer.dims.displayed[-2:]) != tuple(
                self.viewer.dims.order[-2:]
            ):
                return
            top, left = (int(n) for n in tuple(event.offset)[-2:])
            height, width = event.data.shape[:2]
            place = np.unravel_index(
                layers.current_frame(self.viewer, tracked.image), axes.stack_shape(shape) or (1,)
            )
            corner, end = _span(axes, [int(k) for k in place], (top, left, height, width))
            if self._drawing:
                _, (a, b) = self._drawing[-1]
                if a[:-2] == corner[:-2]:
                    corner = tuple(map(min, a, corner))
                    end = tuple(map(max, b, end))
            self._drawing.append((tracked, (corner, end)))
        except (AttributeError, TypeError, ValueError, SegliteError):
            return  # the stroke is saved when it ends


def _annotated(tracked: TrackedLayer) -> AnnotatedImage:
    """Read two layers; labels are painted on meanwhile, and channels may be chosen anew."""
    image, entry = tracked.image, tracked.entry
    entry.channels = layers.choice(image, "channels")
    return AnnotatedImage(
        entry.key or entry.name,
        layers.pixels(image),
        tracked.labels.data,
        entry.axes,
        entry.corrections,
        entry.channels,
        layers.pixel_size(image),
        str(image.source.path or image.name),
    )


def _span(axes: ImageAxes, place: list[int], box: tuple[int, int, int, int]) -> Span:
    top, left, height, width = box
    begin = {"Y": top, "X": left, **dict(zip(axes.stack, place, strict=False))}
    sides = {"Y": height, "X": width}
    corner = tuple(begin[a] for a in axes.order)
    return corner, tuple(begin[a] + sides.get(a, 1) for a in axes.order)


def _frames(tracked: TrackedLayer, span: Span) -> list[tuple[int, Box]]:
    """Return the frames that a span of labels lies in, and its box there."""
    order = tracked.axes.order
    ranges = {a: range(*ends) for a, *ends in zip(order, *span, strict=True)}
    box = Box(ranges["Y"].start, ranges["X"].start, ranges["Y"].stop, ranges["X"].stop)
    stack = tracked.axes.stack
    sizes = tracked.axes.stack_shape(tracked.entry.shape)
    if not stack:
        return [(0, box)]
    # An edit nobody could place covers everything, and says nothing about single frames.
    if math.prod(len(ranges[a]) for a in stack) == math.prod(sizes) > 1:
        return []
    places = np.meshgrid(*(np.array(ranges[a]) for a in stack), indexing="ij")
    numbers = np.ravel_multi_index([p.ravel() for p in places], sizes)
    return [(int(k), box) for k in numbers]
