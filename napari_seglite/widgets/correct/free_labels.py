"""Numbers for new objects: above all that a layer holds, so that no other object has them."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtWidgets import QWidget

from ...errors import AnnotationError, Cancelled
from ...images import blocks
from ..common import JobRunner, StopSignal

if TYPE_CHECKING:
    from napari.layers import Labels

# Labels of up to so many pixels are looked through each time, in a few milliseconds.
AT_ONCE = 16_777_216
WAIT = "{} is being searched for its highest label. Try again in a moment."
FULL = (
    "{} has no number left for a new object. Convert it to a larger data type (right-click it in "
    "the list of layers, Convert data type), or number its objects anew."
)


class FreeLabels:
    """Finds the first label above all others of a layer; large ones are searched in a job.

    Parameters
    ----------
    owner : QWidget
        Owns the job.
    """

    def __init__(self, owner: QWidget) -> None:
        self.runner = JobRunner(owner)
        # What was searched, and the highest label since.
        self._tops: WeakKeyDictionary[Labels, tuple[Any, int, int]] = WeakKeyDictionary()

    def first(self, layer: Labels, count: int = 1) -> int:
        """Return the first of some labels that are free.

        Raises
        ------
        AnnotationError
            If there are not so many, or a large layer is still being searched.
        """
        top = self.highest(layer)
        if top + count > np.iinfo(layer.data.dtype).max:
            raise AnnotationError(FULL.format(layer.name))
        return top + 1

    def highest(self, layer: Labels) -> int:
        """Return the highest label of a layer, 0 without any; see `first`."""
        if isinstance(layer.data, np.ndarray) and layer.data.size <= AT_ONCE:
            return int(layer.data.max(initial=0))
        data, top, _ = self._tops.get(layer, (None, 0, 0))
        if data is not layer.data:
            self.search(layer)
            raise AnnotationError(WAIT.format(layer.name))
        return top

    def single(self, layer: Labels) -> bool:
        """Whether a layer holds one number beside 0, or none, as a mask does; see `first`."""
        top = self.highest(layer)
        if isinstance(layer.data, np.ndarray) and layer.data.size <= AT_ONCE:
            return bool(((layer.data == top) | (layer.data == 0)).all())
        return self._tops[layer][2] >= top

    def search(self, layer: Labels) -> None:
        """Search a large layer, unless that was done."""
        data = layer.data
        small = isinstance(data, np.ndarray) and data.size <= AT_ONCE
        if small or self.runner.busy or self._tops.get(layer, (None,))[0] is data:
            return

        def found(ends: tuple[int, int]) -> None:
            lowest, top = ends
            if layer not in self._tops:
                layer.events.selected_label.connect(lambda: self._note_selected(layer))
            self._tops[layer] = data, max(top, int(layer.selected_label)), lowest

        self.runner.start(lambda stop: _ends(data, stop), succeeded=found)

    def note(self, layer: Labels, label: int) -> None:
        """Remember a label that was given to a new object."""
        if layer in self._tops:
            data, top, lowest = self._tops[layer]
            self._tops[layer] = data, max(top, label), min(lowest, label)

    def _note_selected(self, layer: Labels) -> None:
        # Whatever is painted was selected before.
        self.note(layer, int(layer.selected_label))


def _ends(data: Any, stop: StopSignal) -> Generator[None, None, tuple[int, int]]:
    """Return the lowest and the highest label above 0."""
    lowest, top = int(np.iinfo(data.dtype).max), 0
    for place in np.ndindex(data.shape[:-2]):
        for block in blocks(data.shape[-2:]):
            values = np.asarray(data[(*place, *block)])
            top = max(top, int(np.max(values, initial=0)))
            lowest = int(np.min(values, initial=lowest, where=values > 0))
            yield
            if stop():
                raise Cancelled
    return lowest, top
