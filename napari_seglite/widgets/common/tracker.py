"""Marks and saves what the user paints, without a click."""

from __future__ import annotations

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
from .paint_events import Span, edited_spans, frames_of, joined, span_in_frame

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

# Images without a file are copied into the project up to this size.
LARGEST_COPY = 2_000_000_000
# Milliseconds between two checks of strokes in progress, and of what is saved.
INTERVAL = 500


@dataclass
class TrackedLayer:
    """An image layer, the labels that are corrected on it, and their entry in the project.

    Attributes
    ----------
    image, labels : napari layer
        The layers.
    entry : ProjectImage
        The image in the project, with its corrected regions.
    registered : bool
        Whether the entry is in the project and saved on every change.
    """

    image: Image
    labels: Labels
    entry: ProjectImage
    registered: bool = False

    @property
    def axes(self) -> ImageAxes:
        """The axes of the labels."""
        return ImageAxes(self.entry.axes.labels)


class CorrectionTracker(QObject):
    """Records corrections of a viewer's layers in an annotation project.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    parent : QObject
        The owner.

    Signals
    -------
    changed()
        Corrected regions or classes changed, or another project was opened.
    saved()
        Everything painted so far is on disk.
    failed(str)
        A sentence: something could not be saved or opened.
    """

    changed = Signal()
    saved = Signal()
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.mode: Mode = "dense"
        self.project: AnnotationProject | None = None
        self._class_list = ClassList()  # until there is a project
        self._autosave: Autosave | None = None
        self._tracked: list[TrackedLayer] = []
        self._announced = 0
        self._drawing: list[tuple[TrackedLayer, Span]] = []
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL)
        self._timer.timeout.connect(self._on_timer)

    # ------------------------------------------------------------------ projects
    def open(self, folder: Path, create: bool = False) -> AnnotationProject:
        """Open a project and record corrections there from now on.

        Parameters
        ----------
        folder : Path
            Of the project.
        create : bool
            Whether a new project is made in an empty folder.

        Raises
        ------
        AnnotationError
            If it cannot be opened; the previous project stays open then.
        """
        project = AnnotationProject.open(folder, create)
        self.close()
        self._use(project)
        return project

    def _use(self, project: AnnotationProject) -> None:
        self.project = project
        # Called from the saving thread; the signal is delivered in this one.
        self._autosave = Autosave(project, self.failed.emit)
        self._announced = 0
        if not project.images and self._class_list.named and not project.classes.named:
            self.set_class_list(self._class_list)  # a new project starts with those on the screen
        self._timer.start()
        self.changed.emit()

    @property
    def class_list(self) -> ClassList:
        """Names and colours of the classes that are painted."""
        return self.project.classes if self.project is not None else self._class_list

    def set_class_list(self, class_list: ClassList) -> None:
        """Change names or colours of the classes."""
        self._class_list = class_list
        if self.project is not None:
            self.project.classes = replace(class_list, created=self.project.classes.created)
        self.mark_changed()

    def close(self) -> None:
        """Save everything and close the project, so that other windows can open it."""
        self._timer.stop()
        self.close_without_qt()

    def close_without_qt(self) -> None:
        """Do what `close` does once Qt has destroyed the window and this object's Qt part."""
        if self._autosave is not None:
            self._autosave.close()
        if self.project is not None:
            self.project.close()
        self.project = self._autosave = None
        for tracked in self._tracked:
            tracked.registered = False

    @property
    def waiting(self) -> bool:
        """Whether some paint is not on disk yet."""
        return self._autosave is not None and self._autosave.behind

    def flush(self) -> None:
        """Save everything now, in this thread."""
        if self._autosave is not None:
            self._autosave.flush()

    def _on_timer(self) -> None:
        """Save the stroke in progress so far, and announce when everything is saved."""
        drawing, self._drawing = self._drawing, []
        for tracked, span in drawing[-1:]:
            self._save(tracked, span)
        saver = self._autosave
        if saver is not None and not saver.behind and self._announced != saver.saved:
            self._announced = saver.saved
            self.saved.emit()

    # ------------------------------------------------------------------ layers
    def find(self, labels: Labels | None) -> TrackedLayer | None:
        """Return the record of a Labels layer, or None if it is not followed."""
        self._tracked = [t for t in self._tracked if t.labels in self.viewer.layers]
        return next((t for t in self._tracked if t.labels == labels), None)

    def corrected(self) -> list[TrackedLayer]:
        """Return the layers in the viewer that have corrected regions."""
        self.find(None)
        return [t for t in self._tracked if t.entry.corrections.regions]

    def annotated(self) -> tuple[AnnotatedImage, ...]:
        """Return the corrected layers of the viewer as training data."""
        return tuple(_annotated(tracked) for tracked in self.corrected())

    def follow(
        self,
        image: Image,
        labels: Labels,
        checkpoint: str = "",
        entry: ProjectImage | None = None,
    ) -> TrackedLayer:
        """Mark and save paint in a Labels layer from now on.

        Parameters
        ----------
        image, labels : napari layer
            The image, and labels of its shape without channels.
        checkpoint : str
            Id of the checkpoint that predicted the labels.
        entry : ProjectImage, optional
            The image in the project, if it is there already.

        Raises
        ------
        ImageError
            If the layer's axes do not fit its pixels.
        """
        known = self.find(labels)
        if known is not None and (known.registered or (known.image == image and entry is None)):
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
        if known is not None:  # not painted on yet, so it may belong to another image
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

    def register(self, tracked: TrackedLayer) -> bool:
        """Add a layer to the project, which is opened if there is none; returns success."""
        if tracked.registered:
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
                f"{entry.name} has no file and is too large to be copied. Its labels are saved. To "
                "train on it again later, save it as a file first."
            )
        self._autosave.watch(entry, lambda: layer.data, pixels if small else None)
        tracked.registered = True
        return True

    # ------------------------------------------------------------------ edits
    def _on_paint(self, tracked: TrackedLayer, value: Any) -> None:
        self._drawing = []
        for span in edited_spans(value, tracked.entry.shape):
            self.mark(tracked, span)

    def mark(self, tracked: TrackedLayer, span: Span) -> None:
        """Mark the frames of a span of changed labels as corrected, and save the labels."""
        if tracked.labels.data.shape != tracked.entry.shape or not self.register(tracked):
            return
        for frame, box in frames_of(span, tracked.axes, tracked.entry.shape):
            tracked.entry.corrections = tracked.entry.corrections.touch(frame, box)
        self._save(tracked, span)
        self.mark_changed()

    def _save(self, tracked: TrackedLayer, span: Span) -> None:
        if self._autosave is not None and tracked.registered:
            self._autosave.labels_changed(tracked.entry, *span)

    def forget(self, key: str, frame: int) -> None:
        """Remove the marks of a frame from the image with this key; its labels stay."""
        entries = [tracked.entry for tracked in self._tracked]
        entries += self.project.images.values() if self.project is not None else ()
        for entry in entries:
            if entry.key == key:
                entry.corrections = entry.corrections.forget(frame)
        self.mark_changed()

    def remove_image(self, key: str) -> None:
        """Remove an image and its saved labels from the project; its layers stay."""
        assert self.project is not None
        self.flush()
        self.project.remove(key)
        for tracked in self._tracked:
            if tracked.entry.key == key:
                corrections = tracked.entry.corrections
                tracked.entry.corrections = Corrections(corrections.shape, corrections.mode)
                tracked.registered = False
        self.changed.emit()

    def mark_changed(self) -> None:
        """Save the marks and emit `changed`."""
        if self._autosave is not None:
            self._autosave.index_changed()
        self.changed.emit()

    def _on_replaced(self, tracked: TrackedLayer) -> None:
        if tracked.labels.data.shape == tracked.entry.shape:
            self._save(tracked, ((0,) * len(tracked.entry.shape), tracked.entry.shape))

    def _on_refreshed(self, tracked: TrackedLayer) -> None:
        """Check recent edits again: after an undo, napari only announces a redraw."""
        if self._autosave is not None and tracked.registered:
            self._autosave.recheck()

    def _on_drawing(self, tracked: TrackedLayer, event: Any) -> None:
        """Record where a stroke in progress goes; the timer saves it."""
        try:
            dims = self.viewer.dims
            if not tracked.registered or tuple(dims.displayed[-2:]) != tuple(dims.order[-2:]):
                return
            top, left = (int(n) for n in tuple(event.offset)[-2:])
            height, width = event.data.shape[:2]
            frame = layers.current_frame(self.viewer, tracked.image)
            box = Box(top, left, top + height, left + width)
            span = span_in_frame(tracked.axes, tracked.entry.shape, frame, box)
            if self._drawing:
                span = joined(self._drawing[-1][1], span)
            self._drawing.append((tracked, span))
        except (AttributeError, TypeError, ValueError, SegliteError):
            return  # the stroke is saved when it ends


def _annotated(tracked: TrackedLayer) -> AnnotatedImage:
    """Return layers as training data, with the channels that are chosen now."""
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
