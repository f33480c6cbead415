"""Which Labels layer shows which result, and what the user painted into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...labels import insert_labels, keep_edits
from ..common import add_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from ...inference import Segmentation

    Copies = tuple[np.ndarray, np.ndarray]


@dataclass
class ResultLayer:
    """A result and the layer that shows it.

    Attributes
    ----------
    image, layer : napari layer
        What was segmented, and the labels.
    result : Segmentation
        With the probabilities that the threshold is moved over.
    written : ndarray or None
        The labels as the plugin last wrote them; None of labels too large for memory.
    touched : ndarray or None
        Where the user had changed them before that; boolean.
    painted : bool
        Whether the user painted, where there is no copy to compare with.
    top : int
        The highest id that there may be.
    source : array
        The pixels that were segmented.
    """

    image: Image
    layer: Labels
    result: Segmentation
    written: np.ndarray | None
    touched: np.ndarray | None
    painted: bool = False
    top: int = 0
    source: Any = None

    def edits(self) -> np.ndarray:
        """Where the user changed the labels, now or earlier; only of labels in memory."""
        assert self.touched is not None
        changed: np.ndarray = np.asarray(self.layer.data) != self.written
        return changed | self.touched

    @property
    def edited(self) -> bool:
        """Whether the user changed anything."""
        if self.written is None or self.touched is None:
            return self.painted
        return bool(self.touched.any()) or not np.array_equal(self.layer.data, self.written)

    def note_painting(self, _: Any = None) -> None:
        """Remember that the user painted."""
        self.painted, self.top = True, max(self.top, int(self.layer.selected_label))


class ResultLayers:
    """The results of one viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are written.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._shown: list[ResultLayer] = []

    def find(
        self, image: Image, checkpoint: str, shape: tuple[int, ...] | None = None
    ) -> ResultLayer | None:
        """Return what shows this image segmented by this checkpoint, if its layer still exists.

        With a shape, labels of another one are left alone.
        """
        self._shown = [s for s in self._shown if s.layer in self.viewer.layers]
        for shown in reversed(self._shown):
            if shown.image == image and shown.result.request.checkpoint == checkpoint:
                # A locked layer belongs to the user, and so does one of another shape by now.
                free = not getattr(shown.layer, "locked", False)
                own = shown.result.labels.shape
                if free and shown.layer.data.shape == own == (shape or own):
                    return shown
        return None

    def behind(self, layer: Labels) -> Segmentation | None:
        """Return the result that a Labels layer shows, if it is one of this viewer's."""
        return next((s.result for s in reversed(self._shown) if s.layer == layer), None)

    @staticmethod
    def copies(result: Segmentation) -> Copies | None:
        """Copy labels that are in memory, once to paint into and once to compare with.

        A stack's take long enough to stop the window, so the job's thread makes them for `show`.
        """
        labels = result.labels
        return (labels.copy(), labels.copy()) if isinstance(labels, np.ndarray) else None

    def show(
        self,
        image: Image,
        result: Segmentation,
        replace: ResultLayer | None,
        copies: Copies | None = None,
    ) -> ResultLayer:
        """Write a result into a new layer, or over one that `find` returned."""
        labels = result.labels
        if replace is None:
            name = f"{image.name} {result.info.id}"
            small = isinstance(labels, np.ndarray)
            own, written = copies or self.copies(result) or (labels, None)
            layer = add_labels(self.viewer, image, name, own, result.recipe())
            touched = np.zeros(labels.shape, bool) if small else None
            shown = ResultLayer(image, layer, result, written, touched, top=result.counts.objects)
            shown.source = image.data
            if not small:
                layer.events.paint.connect(shown.note_painting)
            self._shown.append(shown)
            return shown
        replace.source = image.data
        if replace.written is None:
            self._write_large(replace, result)
        else:
            untouched = np.zeros(labels.shape, bool)
            if result.partial:
                asked = result.asked()
                labels = insert_labels(np.asarray(replace.layer.data), labels, asked)
                untouched = replace.edits() & ~asked
            self._write(replace, result, labels, untouched)
        self.viewer.layers.selection.active = replace.layer
        return replace

    def update(self, shown: ResultLayer, result: Segmentation) -> bool:
        """Write a result that was labelled anew and keep what the user painted.

        Returns
        -------
        bool
            False where that cannot be kept, because the labels are too large to be compared;
            nothing is written then.
        """
        if shown.written is None:
            if not shown.painted:
                self._write_large(shown, result)
            return not shown.painted
        touched = shown.edits()
        labels = result.labels
        if result.partial:
            labels = insert_labels(shown.written, labels, result.asked())
        if touched.any():
            labels = keep_edits(np.asarray(shown.layer.data), touched, labels)
        self._write(shown, result, labels, touched)
        return True

    def preview(self, shown: ResultLayer, position: int, fresh: np.ndarray) -> None:
        """Write one frame that was labelled anew, while the others still are.

        Parameters
        ----------
        shown : ResultLayer
            Which labels.
        position : int
            Which of the frames of its result.
        fresh : ndarray
            What `Segmentation.relabel_frame` returned.
        """
        layer, result = shown.layer, shown.result
        own = np.iinfo(layer.data.dtype).max
        if int(fresh.max(initial=0)) > own or (shown.written is None and shown.painted):
            return
        box = slice(0, fresh.shape[0]), slice(0, fresh.shape[1])
        labels = result.frames_in(layer.data)
        before = labels.read(position, *box)
        inside = result.inside
        kept = np.zeros(fresh.shape, bool) if inside is None else ~inside
        if result.rows:
            kept[result.rows[position] :] = True
        if shown.written is not None and shown.touched is not None:
            written, touched = result.frames_in(shown.written), result.frames_in(shown.touched)
            edited = (before != written.read(position, *box)) | touched.read(position, *box)
            touched.write(position, *box, edited)
            kept |= edited
            written.write(position, *box, np.where(kept, before, fresh))
        labels.write(position, *box, np.where(kept, before, fresh))
        layer.refresh(extent=False)

    @staticmethod
    def _write(
        shown: ResultLayer, result: Segmentation, labels: np.ndarray, touched: np.ndarray
    ) -> None:
        shown.result, shown.written, shown.touched = result, labels.copy(), touched
        shown.layer.data = labels
        shown.layer.metadata = {**shown.layer.metadata, "seglite": result.recipe()}

    @staticmethod
    def _write_large(shown: ResultLayer, result: Segmentation) -> None:
        shown.result = result
        if result.partial:
            result.insert_labels(shown.layer.data, shown.top)
            shown.top += result.counts.objects
            shown.layer.refresh(extent=False)
        else:
            shown.layer.data = result.labels
            shown.painted, shown.top = False, result.counts.objects
        shown.layer.metadata = {**shown.layer.metadata, "seglite": result.recipe()}
