"""The line that follows the pointer while an object tool is dragged."""

from __future__ import annotations

from contextlib import suppress
from inspect import unwrap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel

COLOUR, WIDTH = "yellow", 2
# In front of all layers.
_ORDER = 1_000_000


class DragLine:
    """A line in the canvas that is no layer: a layer would come and go with every drag.

    Parameters
    ----------
    viewer : ViewerModel
        Without a canvas of the kind that is known, as in another version of napari, there is no
        line, and tools work all the same.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._line: Any = None

    @property
    def shown(self) -> bool:
        """Whether a line is in the canvas."""
        return self._line is not None and bool(self._line.visible)

    def show(self, points: np.ndarray) -> None:
        """Show a line.

        Parameters
        ----------
        points : ndarray
            ``(N, 2)``: world coordinates along the displayed axes.
        """
        if len(points) < 2:
            return
        if self._line is None:
            self._line = self._made()
        if self._line is not None:
            self._line.set_data(pos=np.asarray(points, np.float32)[:, ::-1])
            self._line.visible = True

    def hide(self) -> None:
        """Show no line."""
        if self._line is not None:
            with suppress(RuntimeError):  # the window is gone
                self._line.visible = False

    def _made(self) -> Any:
        from vispy.scene.visuals import Line  # type: ignore[import-untyped]

        try:
            # There is no public way to draw into the canvas without a layer.
            scene = unwrap(self.viewer).window._qt_viewer.canvas.view.scene
        except AttributeError:
            return None
        line = Line(pos=np.zeros((2, 2), np.float32), color=COLOUR, width=WIDTH, parent=scene)
        line.set_gl_state("translucent", depth_test=False)
        line.order = _ORDER
        return line
