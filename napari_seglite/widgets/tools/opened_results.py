"""Open labels that were written to files on the images that they belong to."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from ...errors import SegliteError
from ..common import JobRunner, StopSignal, layers
from ..file_layers import LayerOfFile, add_to_viewer, layer_of_file

if TYPE_CHECKING:
    from napari.components import ViewerModel

Pair = tuple[Path, Path]


class ResultOpener(QObject):
    """Opens images together with their labels.

    Parameters
    ----------
    viewer : ViewerModel
        The layers are added to it.

    Signals
    -------
    said(str, bool)
        A sentence for the user, and whether it is an error.
    """

    said = Signal(str, bool)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.runner = JobRunner(self)
        self._failed: list[str] = []

    def open(self, pairs: Sequence[Pair]) -> None:
        """Open images, unless they are open already, and their labels on them.

        Parameters
        ----------
        pairs : sequence of tuple of Path
            Each image and its labels.
        """
        if self.runner.busy or not pairs:
            return
        self._failed = []
        present = {layer.source.path for layer in self.viewer.layers if layer.source.path}
        names = ", ".join(labels.name for _, labels in pairs[:3])
        self.said.emit(f"Opening {names}{' …' if len(pairs) < 4 else ', …'}", False)
        self.runner.start(
            lambda stop: _read(pairs, present, stop),
            progressed=self._show,
            succeeded=lambda _: self._on_end(len(pairs)),
            failed=lambda text: self.said.emit(text, True),
        )

    def _show(self, opened: str | tuple[str, LayerOfFile | None, LayerOfFile]) -> None:
        if isinstance(opened, str):
            self._failed.append(opened)
            return
        path, image, labels = opened
        if image is not None:
            add_to_viewer(self.viewer, image)
        below: Any = next((x for x in self.viewer.layers if x.source.path == path), None)
        if below is not None and _fits(labels, below):
            labels.settings.update(layers.placement(below, layers.layer_axes(below)))
        add_to_viewer(self.viewer, labels)

    def _on_end(self, count: int) -> None:
        done = count - len(self._failed)
        text = " ".join([f"{done} of {count} results opened.", *self._failed])
        self.said.emit(text, bool(self._failed))


def _fits(labels: LayerOfFile, image: Any) -> bool:
    """Whether labels have the shape of an image layer without its channels."""
    try:
        return tuple(labels.data.shape) == layers.label_shape(image)
    except (SegliteError, AttributeError):  # the layer of this file is no image
        return False


def _read(
    pairs: Sequence[Pair], present: set[str], stop: StopSignal
) -> Generator[str | tuple[str, LayerOfFile | None, LayerOfFile], None, None]:
    """Yield what is to be added, or a sentence for a file that cannot be read."""
    for path, target in pairs:
        if stop():
            return
        try:
            image = None if str(path) in present else layer_of_file(path)
            labels = layer_of_file(target)
        except SegliteError as error:
            yield str(error)
            continue
        yield str(path) if image is None else image.path, image, labels
