"""An image, the labels that are corrected on it, and what was corrected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...annotation import ProjectImage
from ...images import TILES, Box, Corrections, ImageAxes
from ...labels import object_diameter
from ...training import AnnotatedImage
from . import layers

if TYPE_CHECKING:
    from napari.layers import Image, Labels

# As many as napari can undo.
UNDO_STEPS = 100
# Side of a tile around strokes, in diameters of the objects, and in pixels where there are none.
DIAMETERS, WITHOUT_OBJECTS = 1, 64

# Corrections before and after a stroke.
Change = tuple[Corrections, Corrections]


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
    history : tuple of int
        Lengths of the layer's lists of steps to undo and to redo, when they were last seen.
    went_back : int
        Steps that `edits_since` found undone; below 0, redone.
    marks, unmarks : list
        Corrections before and after each stroke that can be undone, and redone.
    connections : list
        The layers' events that are followed, and what they call.
    whole : bool
        Whether the user wants a stroke to stand for its whole slice.
    """

    image: Image
    labels: Labels
    entry: ProjectImage
    registered: bool = False
    history: tuple[int, int] = (0, 0)
    went_back: int = 0
    marks: list[Change] = field(default_factory=list)
    unmarks: list[Change] = field(default_factory=list)
    connections: list[tuple[Any, Callable[..., None]]] = field(default_factory=list)
    whole: bool = False

    def connect(self, emitter: Any, callback: Callable[..., None]) -> None:
        """Call a function on an event of the layers until `disconnect`."""
        emitter.connect(callback)
        self.connections.append((emitter, callback))

    def disconnect(self) -> None:
        """Follow the layers no more."""
        for emitter, callback in self.connections:
            emitter.disconnect(callback)
        self.connections.clear()

    @property
    def axes(self) -> ImageAxes:
        """The axes of the labels."""
        return ImageAxes(self.entry.axes.labels)

    @property
    def problem(self) -> str:
        """Why its paint cannot be saved, as a sentence for the user; empty if it can."""
        if not self.registered or self.labels.data.shape == self.entry.shape:
            return ""
        return (
            f"The labels in {self.labels.name} were replaced by others of the shape "
            f"{self.labels.data.shape}, which do not fit {self.entry.name}. They are not saved; "
            "what was saved before is kept. Add them as a layer of their own to correct them."
        )

    def annotated(self) -> AnnotatedImage:
        """Return the layers as training data, with the channels that are chosen now."""
        image, entry = self.image, self.entry
        entry.channels = layers.choice(image, "channels")
        return AnnotatedImage(
            entry.key or entry.name,
            layers.pixels(image),
            self.labels.data,
            entry.axes,
            entry.corrections,
            entry.channels,
            layers.pixel_size(image),
            str(image.source.path or image.name),
            layers.slice_distance(image),
        )

    def touch(self, places: list[tuple[int, Box]], seen: int | None, author: str | None) -> None:
        """Mark where a stroke changed labels.

        Parameters
        ----------
        places : list of (int, Box)
            Frames, and pixels there.
        seen : int or None
            The frame that the viewer shows; of others the surroundings of the paint do not count.
        author : str or None
            Who painted it.
        """
        corrections = self.entry.corrections
        if not corrections.regions:
            corrections = replace(corrections, tile=0 if self.whole else self.tile(places[0][0]))
        boxes: dict[int, list[Box]] = {}
        for frame, box in places:
            boxes.setdefault(frame, []).append(box)
        for frame, painted in boxes.items():
            corrections = corrections.touch(frame, *painted, by=author, exactly=frame != seen)
        self.entry.corrections = corrections

    def tile(self, frame: int = 0) -> int:
        """Return a side for tiles around strokes that suits the objects of a frame."""
        labels = np.asarray(self.axes.frame(self.labels.data, frame)[0])
        return tile_side(object_diameter(labels))

    def note_stroke(self, before: Corrections) -> None:
        """Remember what a stroke marked, so that the marks go when it is undone."""
        self.marks.append((before, self.entry.corrections))
        del self.marks[:-UNDO_STEPS]
        self.unmarks.clear()

    def undo_marks(self, count: int) -> bool:
        """Take the marks of strokes back that the user undid, or, below 0, redid.

        Returns
        -------
        bool
            Whether marks changed.
        """
        before = self.entry.corrections
        for _ in range(count):
            if self.marks:
                change = self.marks.pop()
                self.unmarks.append(change)
                self.entry.corrections = self.entry.corrections.undone(*change)
        for _ in range(-count):
            if self.unmarks:
                change = self.unmarks.pop()
                self.marks.append(change)
                self.entry.corrections = self.entry.corrections.undone(*reversed(change))
        return self.entry.corrections != before

    def edits_since(self) -> list[Any] | None:
        """Return the edits that were made, undone or redone since this was last called.

        As napari's paint events describe them; None if napari does not tell.
        """
        layer, (undone, redone) = self.labels, self.history
        try:
            undo, redo = layer._undo_history, layer._redo_history
        except AttributeError:  # another version of napari
            return None
        self.history = len(undo), len(redo)
        made, back = len(undo) - undone, len(redo) - redone
        self.went_back = back
        return [*list(undo)[len(undo) - max(made, 0) :], *list(redo)[len(redo) - max(back, 0) :]]


def tile_side(diameter: float | None) -> int:
    """Return the side of tiles around strokes in pixels.

    Parameters
    ----------
    diameter : float or None
        Of the objects, in pixels; None if there are none.
    """
    if diameter is None:
        return WITHOUT_OBJECTS
    return int(np.clip(round(DIAMETERS * diameter), *TILES))
