"""A line around pixels that a proposal would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..common import layers
from .outline import in_stack

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Vectors

    from ...images import Box
    from ..common import TrackedLayer

COLOUR = "yellow"
# Share of the object's longer side that the line is wide.
WIDTH = 1 / 40


class ChangeMark:
    """A layer with a line around some pixels of a frame.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._layer: Vectors | None = None

    def show(self, tracked: TrackedLayer, frame: int, box: Box, where: np.ndarray) -> None:
        """Show the line.

        Parameters
        ----------
        tracked : TrackedLayer
            The layers that the frame is of.
        frame : int
            Its number.
        box : Box
            Pixels of the frame.
        where : ndarray
            ``(h, w)`` boolean, the pixels of the box to go around.
        """
        self.remove()
        lines = outline(where)
        lines[:, 0] += (frame, box.top, box.left)
        sizes = tracked.axes.stack_shape(tracked.entry.shape)
        selected: Any = set(self.viewer.layers.selection)
        active = self.viewer.layers.selection.active
        self._layer = self.viewer.add_vectors(
            in_stack(lines, sizes, tracked.axes.order, tracked.axes.stack),
            name="proposed change",
            edge_color=COLOUR,
            edge_width=max(0.4, max(box.shape) * WIDTH),
            vector_style="line",
            metadata={"seglite_outline": True},
            **layers.placement(tracked.image, layers.layer_axes(tracked.image)),
        )
        self.viewer.layers.selection.active = active
        self.viewer.layers.selection.update(selected)

    def remove(self) -> None:
        """Remove the layer."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)
        self._layer = None


def outline(where: np.ndarray) -> np.ndarray:
    """Return the edges of pixels, ``(N, 2, 3)``: 0, row and column of the beginning, and the way.

    Parameters
    ----------
    where : ndarray
        ``(h, w)`` boolean.
    """
    padded = np.pad(where, 1)
    # Half a pixel off: the first pixel's centre is at 0.
    y, x = np.nonzero(padded[1:] != padded[:-1])
    across = np.zeros((len(y), 2, 3))
    across[:, 0, 1:], across[:, 1, 2] = np.stack([y - 0.5, x - 1.5], 1), 1
    y, x = np.nonzero(padded[:, 1:] != padded[:, :-1])
    down = np.zeros((len(y), 2, 3))
    down[:, 0, 1:], down[:, 1, 1] = np.stack([y - 1.5, x - 0.5], 1), 1
    return np.concatenate([across, down])
