"""A mode of a Labels layer that napari does not have: the pointer draws lines for a tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from .drag_line import DragLine

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels


class CanvasMode(QObject):
    """Takes the mouse and some keys of a Labels layer until it is left.

    It is left with Esc, when another layer is selected, with one of napari's own modes, and in 3-D.
    While Space is held, the mouse moves the view, as in napari's own modes.

    Parameters
    ----------
    viewer : ViewerModel
        Shows the layer.
    parent : QObject
        The owner.

    Signals
    -------
    dragged(object)
        The pointer's ways in pixels of the layer, ``(N, ndim)``; one of them after a click.
    left(Labels)
        The layer has its own mode again.
    """

    dragged = Signal(object)
    left = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer, self.line = viewer, DragLine(viewer)
        self.layer: Labels | None = None
        # Called with a position in the layer and +1 or -1; returns whether it did something.
        self.turned: Callable[[np.ndarray, int], bool] = lambda *_: False
        self._before, self._bound = "", list[str]()
        # A moment later: napari and the outline select layers for an instant when they add some.
        self._check = QTimer(self)
        self._check.setSingleShot(True)
        self._check.timeout.connect(self._on_active)

    def enter(self, layer: Labels, acts: Mapping[str, Callable[[], None]]) -> None:
        """Take the mouse of a layer, and keys by name."""
        self.leave()
        self.viewer.layers.selection.active = layer
        self.layer, self._before = layer, str(layer.mode)
        layer.mode = "pan_zoom"
        layer.mouse_pan, layer.cursor = False, "cross"
        layer.mouse_drag_callbacks.append(self._on_drag)
        layer.mouse_wheel_callbacks.append(self._on_wheel)
        layer.events.mode.connect(self._on_mode)
        self.viewer.layers.selection.events.active.connect(self._check_soon)
        self.viewer.dims.events.ndisplay.connect(self._check_soon)
        layer.bind_key("Escape", lambda _: self.leave(), overwrite=True)
        layer.bind_key("Space", self._hold_to_move, overwrite=True)
        for key, act in acts.items():
            layer.bind_key(key, lambda _, act=act: act(), overwrite=True)
        self._bound = ["Escape", "Space", *acts]

    def leave(self, restore: bool = True) -> None:
        """Give the layer its mode back, unless the user chose another one already."""
        layer, self.layer = self.layer, None
        self._check.stop()
        self.line.hide()
        if layer is None:
            return
        layer.events.mode.disconnect(self._on_mode)
        self.viewer.layers.selection.events.active.disconnect(self._check_soon)
        self.viewer.dims.events.ndisplay.disconnect(self._check_soon)
        for callbacks, callback in (
            (layer.mouse_drag_callbacks, self._on_drag),
            (layer.mouse_wheel_callbacks, self._on_wheel),
        ):
            with suppress(ValueError):
                callbacks.remove(callback)
        for key in self._bound:
            layer.bind_key(key, None, overwrite=True)
        # A removed layer keeps the mode that draws nothing, see docs/upstream.md.
        if restore and layer in self.viewer.layers:
            layer.mouse_pan, layer.cursor = True, "standard"
            layer.mode = self._before
        self.left.emit(layer)

    # ------------------------------------------------------------------ events
    def _on_mode(self, _: Any = None) -> None:
        self.leave(restore=False)

    def _check_soon(self, _: Any = None) -> None:
        self._check.start()

    def _on_active(self) -> None:
        viewer = self.viewer
        # Not by identity: what a plugin's viewer returns are proxies.
        if viewer.layers.selection.active != self.layer or viewer.dims.ndisplay == 3:
            self.leave()

    def _hold_to_move(self, layer: Any) -> Iterator[None]:
        layer.mouse_pan = True
        yield
        if self.layer == layer:
            layer.mouse_pan = False

    def _on_drag(self, layer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or layer.mouse_pan:
            return
        shown = list(self.viewer.dims.displayed)
        positions = [np.array(event.position)]
        yield
        while event.type == "mouse_move":
            if layer != self.layer:
                return
            positions.append(np.array(event.position))
            self.line.show(np.array(positions)[:, shown])
            yield
        self.line.hide()
        positions.append(np.array(event.position))  # quick moves are left out, the release is not
        if self.layer == layer:
            self.dragged.emit(np.array([layer.world_to_data(p) for p in positions]))

    def _on_wheel(self, layer: Any, event: Any) -> None:
        step = int(np.sign(event.delta[1]))
        if step and self.turned(np.array(layer.world_to_data(event.position)), step):
            event.handled = True  # or else the view is zoomed, too
