"""Let napari free what a removed layer drew with in the OpenGL context that it was made in."""

from __future__ import annotations

from contextlib import suppress
from inspect import unwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import ViewerModel

_MARK = "frees_in_own_context"


def free_in_own_context(viewer: ViewerModel) -> None:
    """Mend a crash of napari after layers are removed, see docs/upstream.md.

    When a layer is removed, napari has vispy delete the layer's programs and buffers at once
    (`GLContext.finish`), but in whichever OpenGL context is current, which is mostly that of the
    window. Mesa's software renderer then draws without a vertex shader and ends the process.
    Here the canvas makes its own context current first. A viewer without a canvas, or a napari
    that draws in another way, is left as it is.

    Parameters
    ----------
    viewer : ViewerModel
        Its canvas is mended once, for as long as it lives.
    """
    try:
        # A plugin's viewer is a proxy that warns of private names; there is no public way.
        canvas = unwrap(viewer).window._qt_viewer.canvas._scene_canvas
        context, finish, set_current = canvas.context, canvas.context.finish, canvas.set_current
    except AttributeError:
        return
    if getattr(finish, _MARK, False):
        return

    def finish_here() -> None:
        with suppress(RuntimeError):  # the window is gone
            set_current()
        finish()

    setattr(finish_here, _MARK, True)
    context.finish = finish_here
