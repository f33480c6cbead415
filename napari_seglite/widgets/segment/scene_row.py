"""A list of the images in a file, to open another one."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from ...formats import split_scene
from ..common import JobRunner, StopSignal, forms
from ..file_layers import FileFacts, LayerOfFile, add_to_viewer, facts_of, has_pixels, layer_of_file

if TYPE_CHECKING:
    from napari.components import ViewerModel


class SceneRow(QObject):
    """Opens the other images of a layer's file, each as a layer of its own.

    Parameters
    ----------
    viewer : ViewerModel
        The layers are added to it.

    Signals
    -------
    opened(object)
        The layer of the image that was chosen.
    said(str, bool)
        A sentence for the user, and whether it is an error.
    """

    opened = Signal(object)
    said = Signal(str, bool)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.box = forms.combo(tip="The file holds several images; each opens as a layer")
        self.runner = JobRunner(self)
        self._facts: FileFacts | None = None
        self.box.activated.connect(self._chosen)

    def show_scenes(self, facts: FileFacts | None) -> bool:
        """List the images of a layer's file; return whether there are several."""
        self._facts = facts
        self.box.clear()
        if facts is None or len(facts.scenes) < 2:
            return False
        self.box.addItems([f"{k}: {name}" for k, name in enumerate(facts.scenes, start=1)])
        self.box.setCurrentIndex(facts.scene)
        return True

    def _chosen(self, scene: int) -> None:
        facts = self._facts
        if facts is None or scene == facts.scene:
            return
        path, _ = split_scene(facts.path)
        for layer in self.viewer.layers:
            other = facts_of(layer) if has_pixels(layer) else None
            if other and other.scene == scene and split_scene(other.path)[0] == path:
                self.opened.emit(layer)
                return
        self.box.setEnabled(False)
        self.said.emit(f"Opening image {scene + 1} of {path.name} …", False)
        self.runner.start(
            lambda stop: _read(str(path), scene + 1, stop),
            succeeded=lambda layer: layer and self.opened.emit(add_to_viewer(self.viewer, layer)),
            failed=self._on_failure,
            ended=lambda: self.box.setEnabled(True),
        )

    def _on_failure(self, text: str) -> None:
        if self._facts is not None:
            self.box.setCurrentIndex(self._facts.scene)
        self.said.emit(text, True)


def _read(path: str, scene: int, stop: StopSignal) -> Generator[None, None, LayerOfFile | None]:
    yield  # so that a window that closes meanwhile need not wait
    return None if stop() else layer_of_file(path, scene)
