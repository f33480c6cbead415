"""Outlines of the corrected regions, in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...images import Box, Corrections
from ..common import layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Vectors

    from ..common import TrackedLayer

NAME = "corrected area"
# Of corrected and of accepted regions, visible on dark and on bright images.
COLOURS = np.array([[0.94, 0.55, 0.2, 1], [0.3, 0.8, 0.4, 1]])
# Share of the frame's longer side that a line is wide.
WIDTH = 1 / 400


class CorrectedOutline:
    """A layer of lines around what counts as correct in a Labels layer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._layer: Vectors | None = None
        self._shown: Any = None

    def show(self, tracked: TrackedLayer | None) -> None:
        """Show the outlines of the regions of a layer; without regions, none.

        Parameters
        ----------
        tracked : TrackedLayer or None
            The layers. Scribbles have no outline: only paint counts there.
        """
        if self._layer is not None and self._layer not in self.viewer.layers:
            self._layer = self._shown = None
        if tracked is None or tracked.labels not in self.viewer.layers:
            self.remove()
            return
        corrections = tracked.entry.corrections
        state = tracked.labels, corrections
        if state == self._shown:
            return
        lines, accepted = edges(corrections)
        if not lines.size:
            self.remove()
            return
        sizes = tracked.axes.stack_shape(tracked.entry.shape)
        vectors = in_stack(lines, sizes, tracked.axes.order, tracked.axes.stack)
        self._shown = state
        self._draw(tracked, vectors, COLOURS[accepted.astype(int)], max(corrections.plane) * WIDTH)

    def remove(self) -> None:
        """Remove the layer."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)
        self._layer = self._shown = None

    def _draw(
        self, tracked: TrackedLayer, vectors: np.ndarray, colours: np.ndarray, width: float
    ) -> None:
        if self._layer is not None and self._layer.ndim == vectors.shape[-1]:
            self._layer.data = vectors
            self._layer.edge_color = colours
            return
        if self._layer is not None:
            self.viewer.layers.remove(self._layer)
        selected = set(self.viewer.layers.selection)
        active = self.viewer.layers.selection.active
        self._layer = self.viewer.add_vectors(
            vectors,
            name=f"{tracked.image.name} {NAME}",
            edge_color=colours,
            edge_width=max(1.0, width),
            vector_style="line",
            metadata={"seglite_outline": True},
            **layers.placement(tracked.image, layers.layer_axes(tracked.image)),
        )
        self.viewer.layers.selection.active = active
        self.viewer.layers.selection.update(selected)


def edges(corrections: Corrections) -> tuple[np.ndarray, np.ndarray]:
    """Return the lines around corrected regions; regions that touch have one outline.

    Parameters
    ----------
    corrections : Corrections
        The regions.

    Returns
    -------
    lines : ndarray
        ``(N, 2, 3)`` float32: frame, row and column of the beginning, and the same of the way to
        the end, in pixels.
    accepted : ndarray
        ``(N,)`` boolean: whether what lies inside was accepted or drawn as complete.
    """
    boxes: dict[int, list[Box]] = {}
    for region in corrections.regions:
        # Of scribbles only paint counts, unless a box around them was drawn as complete.
        if corrections.mode == "dense" or region.state == "complete":
            boxes.setdefault(region.frame, []).append(region.box)
    lines, accepted = [np.empty((0, 2, 3))], [np.empty(0, bool)]
    for frame, here in boxes.items():
        lines.append(_outline(frame, np.array(here)))
        accepted.append(np.full(len(lines[-1]), corrections.state(frame) != "touched"))
    return np.concatenate(lines).astype(np.float32), np.concatenate(accepted)


def _outline(frame: int, boxes: np.ndarray) -> np.ndarray:
    """Return the lines around boxes ``(N, 4)`` of a frame, as `edges` does."""
    rows, columns = np.unique(boxes[:, ::2]), np.unique(boxes[:, 1::2])
    cells = np.zeros((len(rows) + 1, len(columns) + 1), bool)
    ends = np.searchsorted(rows, boxes[:, ::2]) + 1, np.searchsorted(columns, boxes[:, 1::2]) + 1
    for (top, bottom), (left, right) in zip(*ends, strict=True):
        cells[top:bottom, left:right] = True
    # Half a pixel off: the first pixel's centre is at 0.
    y, x = rows - 0.5, columns - 0.5
    i, j = np.nonzero(cells[1:, 1:-1] != cells[:-1, 1:-1])
    across = np.zeros((len(i), 2, 3))
    across[:, 0, 1:], across[:, 1, 2] = np.stack([y[i], x[j]], 1), x[j + 1] - x[j]
    i, j = np.nonzero(cells[1:-1, 1:] != cells[1:-1, :-1])
    down = np.zeros((len(i), 2, 3))
    down[:, 0, 1:], down[:, 1, 1] = np.stack([y[i], x[j]], 1), y[i + 1] - y[i]
    lines = np.concatenate([across, down])
    lines[:, 0, 0] = frame
    return lines


def in_stack(lines: np.ndarray, sizes: tuple[int, ...], order: str, stack: str) -> np.ndarray:
    """Return lines with a coordinate per axis of the labels in place of the frame's number."""
    places = np.unravel_index(lines[:, 0, 0].astype(int), sizes or (1,))
    columns = {"Y": lines[:, :, 1], "X": lines[:, :, 2]}
    for axis, place in zip(stack, places, strict=False):
        columns[axis] = np.stack([place, np.zeros_like(place)], axis=1)
    return np.stack([columns[axis] for axis in order], axis=-1).astype(np.float32)
