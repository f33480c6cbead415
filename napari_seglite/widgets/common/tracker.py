"""Marks and saves what the user paints, without a click."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from ...annotation import AnnotationProject, Autosave, ClassList, ProjectImage, open_default
from ...errors import SegliteError
from ...images import Box, Corrections, Mode
from ...training import AnnotatedImage
from . import layers, preferences
from .paint_events import Span, edited_spans, frames_of, joined, span_in_frame
from .tracked_layer import TrackedLayer
from .viewer_region import shows_slices

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

log = logging.getLogger(__name__)

# Images without a file are copied into the project up to this size.
LARGEST_COPY = 2_000_000_000
# Milliseconds between two checks of strokes in progress, and of what is saved.
INTERVAL = 500


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
        Everything painted so far is on disk, or it turned out that it cannot be, see `problem`.
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
        # Stored with corrections: a name, or None for that of the account.
        self.author = _author()
        self._autosave: Autosave | None = None
        self._tracked: list[TrackedLayer] = []
        self._announced: tuple[int, str] = (0, "")
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
        if problem := self.close():
            self._say_failed(problem)
        self._use(project)
        return project

    def save_elsewhere(self, folder: Path) -> AnnotationProject:
        """Save all corrected layers in another project, and record corrections there.

        Nothing is written to the present project any more. Images of it that are not open stay
        there.

        Parameters
        ----------
        folder : Path
            An empty folder for a new project.

        Raises
        ------
        AnnotationError
            If there can be no project; the present one stays open then.
        """
        project = AnnotationProject.open(folder, create=True)
        kept = [tracked for tracked in self._tracked if tracked.registered]
        old, classes = self.project, self.class_list
        self._timer.stop()
        if self._autosave is not None:
            self._autosave.stop()
        if old is not None:
            old.abandon()
        for tracked in kept:
            tracked.registered = False
            # Copies in the old project may be gone; the new one makes its own.
            path = tracked.entry.path
            path = path if Path(path).is_absolute() else ""
            tracked.entry = replace(tracked.entry, key="", path=path, labels="labels.zarr")
        project.classes = replace(classes, created=project.classes.created)
        self._use(project)
        for tracked in kept:
            self.register(tracked)
        self.mark_changed()
        return project

    def _use(self, project: AnnotationProject) -> None:
        self.project = project
        # Called from the saving thread; the signal is delivered in this one.
        self._autosave = Autosave(project, self._say_failed)
        self._announced = (0, "")
        if not project.images and self._class_list.named and not project.classes.named:
            self.set_class_list(self._class_list)  # a new project starts with those on the screen
        self._timer.start()
        for notice in project.notices:
            self._say_failed(notice)
        self.changed.emit()

    def _say_failed(self, sentence: str) -> None:
        try:
            self.failed.emit(sentence)
        except RuntimeError:  # the window is gone
            log.error("%s", sentence)

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

    def close(self) -> str:
        """Save everything and close the project, so that other windows can open it.

        Returns
        -------
        str
            A sentence if something could not be saved; else empty.
        """
        self._timer.stop()
        return self.close_without_qt()

    def shut(self) -> str:
        """Do what `close` does, and follow no layer any more."""
        for tracked in self._tracked:
            tracked.disconnect()
        problem = self.close()
        self._tracked, self._drawing = [], []
        return problem

    def close_without_qt(self) -> str:
        """Do what `close` does once Qt has destroyed the window and this object's Qt part."""
        problem = ""
        try:
            if self._autosave is not None:
                problem = self._autosave.close()
        finally:
            if self.project is not None:
                self.project.close()
            self.project = self._autosave = None
            for tracked in self._tracked:
                tracked.registered = False
        return problem

    @property
    def problem(self) -> str:
        """Why corrections are not saved now, as a sentence; empty if they are."""
        if self._autosave is not None and self._autosave.problem:
            return self._autosave.problem
        self.find(None)
        return next((tracked.problem for tracked in self._tracked if tracked.problem), "")

    @property
    def unsaved(self) -> list[str]:
        """Names of the images with corrections that are not on disk yet."""
        return self._autosave.unsaved if self._autosave is not None else []

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
        if saver is None:
            return
        state = (saver.saved, self.problem)
        if state != self._announced and (not saver.behind or self.problem):
            self._announced = state
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
        return tuple(tracked.annotated() for tracked in self.corrected())

    def corrections_of(self, tracked: TrackedLayer) -> Corrections:
        """Return what is corrected in any of the layers on the same image."""
        corrections = tracked.entry.corrections
        for other in self.corrected():
            if other.image == tracked.image and other is not tracked:
                regions = corrections.regions + other.entry.corrections.regions
                corrections = replace(corrections, regions=regions)
        return corrections

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
                units=tuple(map(str, labels.units)),
                origin=tuple(map(float, labels.translate)),
            )
        if known is not None:  # not painted on yet, so it may belong to another image
            known.image, known.entry = image, entry
            return known
        tracked = TrackedLayer(image, labels, entry)
        self._tracked.append(tracked)
        events = labels.events
        tracked.connect(events.paint, lambda event: self._on_paint(tracked, event.value))
        tracked.connect(events.data, lambda: self._on_replaced(tracked))
        tracked.connect(events.set_data, lambda: self._on_refreshed(tracked))
        tracked.connect(events.labels_update, lambda event: self._on_drawing(tracked, event))
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
        size = math.prod(pixels.shape) * np.dtype(pixels.dtype).itemsize
        small = size <= LARGEST_COPY
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
        before = tracked.entry.corrections
        self.mark(tracked, *edited_spans(value, tracked.entry.shape))
        tracked.note_stroke(before)
        tracked.edits_since()  # or else the next undo is counted from before this stroke

    def mark(self, tracked: TrackedLayer, *spans: Span) -> None:
        """Mark where labels changed as corrected, and save the labels there.

        Parameters
        ----------
        tracked : TrackedLayer
            The layers.
        *spans : Span
            Boxes of the labels, all of one stroke.
        """
        if tracked.labels.data.shape != tracked.entry.shape or not self.register(tracked):
            return
        axes, shape = tracked.axes, tracked.entry.shape
        places = [place for span in spans for place in frames_of(span, axes, shape)]
        if places:
            tracked.touch(places, self.frame_in_view(tracked), self.author)
        for span in spans:
            self._save(tracked, span)
        self.mark_changed()

    def frame_in_view(self, tracked: TrackedLayer) -> int | None:
        """Return the frame that the viewer shows, or None if it shows another cut."""
        if not shows_slices(self.viewer, tracked.image):
            return None
        return layers.current_frame(self.viewer, tracked.image)

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
        if problem := tracked.problem:
            self._say_failed(problem)
        elif tracked.labels.data.shape == tracked.entry.shape:
            self._save(tracked, ((0,) * len(tracked.entry.shape), tracked.entry.shape))

    def _on_refreshed(self, tracked: TrackedLayer) -> None:
        """Check earlier edits again: after an undo, napari only announces a redraw."""
        edits = tracked.edits_since()
        if edits is not None and tracked.went_back and tracked.undo_marks(tracked.went_back):
            self.mark_changed()
        if self._autosave is None or not tracked.registered:
            return
        self._autosave.recheck(everything=edits is None)
        for edit in edits or ():
            for span in edited_spans(edit, tracked.entry.shape):
                self._save(tracked, span)

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


def _author() -> str | None:
    name = str(preferences.load({"author": ""})["author"]).strip()
    return "" if name == "-" else name or None
