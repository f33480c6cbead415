"""Reads again the files of layers that napari itself opened, for what it dropped."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from ..file_layers import (
    KEY,
    READING,
    adopt,
    facts_of,
    find_facts,
    first_level,
    is_quick,
    wants_facts,
)
from .job_runner import JobRunner
from .jobs import StopSignal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from ..file_layers import FileFacts


class SourceFiles(QObject):
    """Gives layers that napari opened the axes and the pixel size that their files state.

    Small files are read at once, others in the background, one after the other.

    Parameters
    ----------
    viewer : ViewerModel
        Its layers are looked at, those to come included.

    Signals
    -------
    found(object)
        A layer whose file was read in the background.
    """

    found = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.runner = JobRunner(self)
        self._waiting: list[Layer] = []
        viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in list(viewer.layers):
            self.look_at(layer)

    @property
    def busy(self) -> bool:
        """Whether a file is being read."""
        return self.runner.busy

    def shut(self) -> None:
        """Look at no more layers."""
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.runner.abandon()
        self._waiting.clear()

    def _on_inserted(self, event: Any) -> None:
        self.look_at(event.value)

    def look_at(self, layer: Layer) -> None:
        """Read the file of a layer if napari itself opened it."""
        if not wants_facts(layer):
            return
        if not is_quick(layer):
            layer.metadata[KEY] = READING
            self._waiting.append(layer)
            self._next()
        elif (facts := facts_of(layer)) is not None:
            adopt(self.viewer, layer, facts)

    def _next(self) -> None:
        if self.busy or not self._waiting:
            return
        layer = self._waiting.pop(0)
        path, data = str(layer.source.path), first_level(layer)
        self.runner.start(
            lambda stop: _read(path, data, stop),
            succeeded=lambda facts: self._on_found(layer, facts),
            failed=lambda _: self._on_found(layer, None),
            ended=self._next,
        )

    def _on_found(self, layer: Layer, facts: FileFacts | None) -> None:
        layer.metadata[KEY] = facts
        if facts is not None and layer in self.viewer.layers:
            adopt(self.viewer, layer, facts)
            self.found.emit(layer)


def _read(path: str, data: Any, stop: StopSignal) -> Generator[None, None, FileFacts | None]:
    yield  # so that a window that closes meanwhile need not wait
    return None if stop() else find_facts(path, data)
