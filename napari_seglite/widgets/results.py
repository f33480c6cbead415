"""Which Labels layer shows which result, and what the user painted into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..engine.masks import keep_edits, put_into
from .layers import add_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from ..engine.segmenter import Segmentation


@dataclass
class Shown:
    """A result and the layer that shows it.

    Attributes
    ----------
    image, layer : napari layer
        What was segmented, and the labels.
    result : Segmentation
        With the probabilities that the threshold is moved over.
    written : ndarray
        The labels as the plugin last wrote them.
    touched : ndarray
        Where the user had changed them before that; boolean.
    """

    image: Image
    layer: Labels
    result: Segmentation
    written: np.ndarray
    touched: np.ndarray

    def edits(self) -> np.ndarray:
        """Where the user changed the labels, now or earlier."""
        changed: np.ndarray = np.asarray(self.layer.data) != self.written
        return changed | self.touched

    @property
    def edited(self) -> bool:
        """Whether the user changed anything."""
        return bool(self.touched.any()) or not np.array_equal(self.layer.data, self.written)


class Results:
    """The results of one viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are written.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._shown: list[Shown] = []

    def find(
        self, image: Image, checkpoint: str, shape: tuple[int, ...] | None = None
    ) -> Shown | None:
        """Return what shows this image segmented by this checkpoint, if its layer still exists.

        With a shape, labels of another one are left alone.
        """
        self._shown = [s for s in self._shown if s.layer in self.viewer.layers]
        for shown in reversed(self._shown):
            if shown.image == image and shown.result.request.checkpoint == checkpoint:
                # A locked layer belongs to the user, and so does one of another shape by now.
                free = not getattr(shown.layer, "locked", False)
                if free and shown.layer.data.shape == shown.written.shape == (
                    shape or shown.written.shape
                ):
                    return shown
        return None

    def show(self, image: Image, result: Segmentation, replace: Shown | None) -> Shown:
        """Write a result into a new layer, or over one that `find` returned."""
        labels = result.labels
        if replace is None:
            name = f"{image.name} {result.info.id}"
            layer = add_labels(self.viewer, image, name, labels.copy(), result.recipe())
            shown = Shown(image, layer, result, labels.copy(), np.zeros(labels.shape, bool))
            self._shown.append(shown)
            return shown
        untouched = np.zeros(labels.shape, bool)
        if result.partial:
            asked = result.asked()
            labels = put_into(np.asarray(replace.layer.data), labels, asked)
            untouched = replace.edits() & ~asked
        self._write(replace, result, labels, untouched)
        self.viewer.layers.selection.active = replace.layer
        return replace

    def update(self, shown: Shown, result: Segmentation) -> None:
        """Write a result that was labelled anew and keep what the user painted."""
        touched = shown.edits()
        labels = result.labels
        if result.partial:
            labels = put_into(shown.written, labels, result.asked())
        if touched.any():
            labels = keep_edits(np.asarray(shown.layer.data), touched, labels)
        self._write(shown, result, labels, touched)

    @staticmethod
    def _write(shown: Shown, result: Segmentation, labels: np.ndarray, touched: np.ndarray) -> None:
        shown.result, shown.written, shown.touched = result, labels.copy(), touched
        shown.layer.data = labels
        shown.layer.metadata = {**shown.layer.metadata, "seglite": result.recipe()}
