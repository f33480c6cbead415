"""Load torch and what else a job needs without stopping or crashing the window."""

from __future__ import annotations

from threading import Lock, Thread

_warming, _warm = Lock(), False


def warm_colours() -> None:
    """Have napari compile what gives labels chosen colours, in the calling thread.

    The first layer with such colours takes a second for that, in which the window stands still.
    """
    global _warm
    with _warming:
        if _warm:
            return
        import numpy as np
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        for dtype in (np.uint8, np.uint16, np.int32, np.int64):
            colours = DirectLabelColormap(color_dict={0: "transparent", 1: "red", None: "black"})
            Labels(np.zeros((600, 600), dtype), colormap=colours)
        _warm = True


def warm_colours_soon() -> None:
    """Do that in a thread of its own."""
    if not _warm:
        Thread(target=warm_colours, name="seglite-colours").start()
