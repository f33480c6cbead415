"""Compile napari's code for label colours before it is needed."""

from __future__ import annotations

from threading import Lock, Thread

_warming, _warm = Lock(), False


def warm_colours() -> None:
    """Let napari compile its colour mapping for labels with chosen colours.

    Otherwise the first such layer compiles it, and the window freezes for a second.
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
    """Call `warm_colours` in a thread of its own."""
    if not _warm:
        import numpy as np
        from napari.layers import Image

        # The first layer reads the registry of units, which must not happen in two threads at
        # once: pint would offer the second one a registry without units.
        Image(np.zeros((1, 1)))
        Thread(target=warm_colours, name="seglite-colours").start()
