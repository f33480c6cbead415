"""The keys of the correction loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import ViewerModel

SEGMENT, FINE_TUNE = "Shift-S", "Shift-F"
NEXT, ACCEPT, BACK, BEFORE = "Shift-N", "Shift-A", "Shift-B", "Shift-V"
NEXT_OBJECT, ASK = "Shift-O", "Shift-Q"
YES, NO, SKIP = "Y", "N", "U"
# Of the tools for objects; M and A with Shift are taken by napari and by the loop.
SPLIT, MERGE, DELETE, ADD, REDRAW = "S", "J", "D", "A", "R"


class ViewerKeys:
    """Keys of a viewer that work while its canvas has the focus.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    acts : mapping
        What to do by key, such as ``"Shift-S"``. Keys that are taken are left alone.
    """

    def __init__(self, viewer: ViewerModel, acts: Mapping[str, Callable[[], None]]) -> None:
        self.viewer = viewer
        self._bound: list[str] = []
        for key, act in acts.items():
            try:
                viewer.bind_key(key, lambda _, act=act: act())
                self._bound.append(key)
            except ValueError:  # the user or another plugin bound it
                continue

    def release(self) -> None:
        """Bind the keys no more."""
        for key in self._bound:
            self.viewer.bind_key(key, None, overwrite=True)
        self._bound.clear()
