"""What the user sees of the image that is segmented, for the thread that segments it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import SegliteError
from ...inference import View
from ..common import layers, viewer_region

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class SeenPart:
    """The frame of an image that a viewer shows, and the visible part of it.

    Call it, in any thread, for what is seen now. The GUI thread replaces the value whenever the
    user moves, until `close`.

    Parameters
    ----------
    viewer, image : ViewerModel, Image
        The viewer, and the image in it.
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer, self._image = viewer, image
        self._seen: View | None = None
        self._look()
        viewer.dims.events.point.connect(self._look)
        viewer.camera.events.connect(self._look)

    def __call__(self) -> View | None:
        """Return what is seen now; None if the viewer shows no slices of the image."""
        return self._seen

    def _look(self, _: Any = None) -> None:
        viewer, image = self._viewer, self._image
        try:
            frame = layers.current_frame(viewer, image) if layers.is_stack(image) else 0
            self._seen = View(frame, viewer_region.visible_box(viewer, image))
        except SegliteError:  # seen from the side, or out of sight
            self._seen = None

    def close(self) -> None:
        """Follow the viewer no more."""
        self._viewer.dims.events.point.disconnect(self._look)
        self._viewer.camera.events.disconnect(self._look)
