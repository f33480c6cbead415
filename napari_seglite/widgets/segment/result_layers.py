"""The Labels layers that show results, and the user's edits in them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...images import Corrections, ImageAxes
from ...labels import edited_pixels, relabel_around_edits, replace_region
from ..common import add_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from ...inference import Segmentation


@dataclass(frozen=True)
class Prepared:
    """What a layer needs of a segmentation and what takes too long for the GUI thread.

    Attributes
    ----------
    own, written : ndarray or None
        Copies of labels that are in memory: one to paint into, one to compare with.
    width : float or None
        Of a typical object in pixels.
    """

    own: np.ndarray | None
    written: np.ndarray | None
    width: float | None


def prepare(result: Segmentation, frame: int | None = None) -> Prepared:
    """Prepare a segmentation for its layer; called in the job's thread.

    Parameters
    ----------
    result : Segmentation
        The segmentation.
    frame : int, optional
        The frame that the user sees.
    """
    labels, width = result.labels, result.object_diameter(frame)
    if not isinstance(labels, np.ndarray):
        return Prepared(None, None, width)
    return Prepared(labels.copy(), labels.copy(), width)


@dataclass
class ResultLayer:
    """A segmentation and the layer that shows it.

    Attributes
    ----------
    image, layer : napari layer
        The segmented image, and the labels.
    result : Segmentation
        Holds the probabilities, to apply another threshold to.
    written : ndarray or None
        The labels as the plugin last wrote them; None if they are too large for memory.
    touched : ndarray or None
        Where the user had changed them before that; boolean. None if they are too large.
    painted : bool
        Whether the user painted, for labels that are too large to be compared.
    top : int
        The highest id in labels that are too large to be compared.
    source : array
        The data of the image when it was segmented.
    before : ndarray or None
        The labels before the last segmentation; None before the second, or if they are too large.
    """

    image: Image
    layer: Labels
    result: Segmentation
    written: np.ndarray | None
    touched: np.ndarray | None
    painted: bool = False
    top: int = 0
    source: Any = None
    before: np.ndarray | None = None

    def edits(self) -> np.ndarray:
        """Return where the user changed the labels, which must be in memory; boolean."""
        assert self.written is not None
        assert self.touched is not None
        return edited_pixels(np.asarray(self.layer.data), self.written, self.touched)

    @property
    def edited(self) -> bool:
        """Whether the user changed anything."""
        if self.written is None or self.touched is None:
            return self.painted
        return bool(self.touched.any()) or not np.array_equal(self.layer.data, self.written)

    def note_painting(self, _: Any = None) -> None:
        """Remember that the user painted."""
        self.painted, self.top = True, max(self.top, int(self.layer.selected_label))

    def offer_new_object(self) -> None:
        """Let the brush paint a new object, so that a missed one is not joined to another."""
        if self.result.request.output == "instances":
            data = self.layer.data
            top = self.top if self.written is None else int(np.max(data, initial=0))
            self.layer.selected_label = min(top + 1, int(np.iinfo(data.dtype).max))

    def write(self, result: Segmentation, labels: np.ndarray, touched: np.ndarray) -> None:
        """Write labels that are in memory into the layer.

        Parameters
        ----------
        result : Segmentation
            The segmentation that the layer now shows.
        labels : ndarray
            Its labels, merged with edits.
        touched : ndarray
            Where they are edits; boolean, of the same shape.
        """
        self.result, self.written, self.touched = result, labels.copy(), touched
        self.layer.data = labels
        self._forget_strokes()
        self._store_recipe()
        self.offer_new_object()

    def write_large(self, result: Segmentation, kept: Corrections | None = None) -> None:
        """Write labels that are too large for memory into the layer.

        Parameters
        ----------
        result : Segmentation
            The segmentation that the layer now shows.
        kept : Corrections, optional
            Regions that stay as they are.
        """
        self.result = result
        if result.partial or kept is not None:
            result.insert_labels(self.layer.data, self.top, kept.inside if kept else None)
            self.top += result.counts.objects
            self.layer.refresh(extent=False)
        else:
            self.layer.data = result.labels
            self.painted, self.top = False, result.counts.objects
        self._forget_strokes()
        self._store_recipe()
        self.offer_new_object()

    def _forget_strokes(self) -> None:
        """Undo no stroke on objects that had other ids: it would paint with those of others."""
        if self.result.request.output == "instances":
            with suppress(AttributeError):  # another version of napari
                self.layer._reset_history()

    def _store_recipe(self) -> None:
        self.layer.metadata = {**self.layer.metadata, "seglite": self.result.recipe()}


def _name(image: Image, result: Segmentation) -> str:
    return f"{image.name} {result.info.id}"


def corrected_mask(corrections: Corrections, result: Segmentation) -> np.ndarray:
    """Return where labels are corrected; boolean, of the shape of the labels of a result."""
    axes = ImageAxes(result.request.axes)
    frames = np.stack([corrections.inside(k) for k in range(corrections.shape[0])])
    return axes.join(frames, result.shape)


class ResultLayers:
    """The results of one viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that shows them.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._results: list[ResultLayer] = []

    def find(self, image: Image, checkpoint: str) -> ResultLayer | None:
        """Return the layer that shows an image segmented by a checkpoint, if it still exists.

        Locked layers belong to the user and are left out, as are labels of another shape.

        Parameters
        ----------
        image : Image
            The image.
        checkpoint : str
            Id of the checkpoint.
        """
        shown = self._free(image)
        return next((r for r in shown if r.result.request.checkpoint == checkpoint), None)

    def current(
        self, image: Image, shape: tuple[int, ...], output: str, classes: int
    ) -> ResultLayer | None:
        """Return the layer that a new segmentation of an image goes into; None for a new one.

        It is the last one in which labels mean the same, whichever checkpoint made them.

        Parameters
        ----------
        image : Image
            The image.
        shape : tuple of int
            Of the new labels.
        output : str
            ``"semantic"`` or ``"instances"``.
        classes : int
            Number of classes of the checkpoint.
        """
        for shown in self._free(image):
            result = shown.result
            same = result.request.output == output and (
                output == "instances" or result.info.classes == classes
            )
            if same and result.labels.shape == shape:
                return shown
        return None

    def _free(self, image: Image) -> list[ResultLayer]:
        """Return the layers with results of an image that can be written, the last one first."""
        self._results = [r for r in self._results if r.layer in self.viewer.layers]
        return [
            r
            for r in reversed(self._results)
            if r.image == image
            and not getattr(r.layer, "locked", False)
            and r.layer.data.shape == r.result.labels.shape
        ]

    def image_of(self, layer: Labels) -> Image | None:
        """Return the image whose segmentation a Labels layer shows, or None for another layer."""
        return next((r.image for r in reversed(self._results) if r.layer == layer), None)

    def segmentation_of(self, layer: Labels) -> Segmentation | None:
        """Return the segmentation that a Labels layer shows, or None for another layer."""
        return next((r.result for r in reversed(self._results) if r.layer == layer), None)

    def show(
        self,
        image: Image,
        result: Segmentation,
        replace: ResultLayer | None,
        prepared: Prepared | None = None,
        kept: Corrections | None = None,
    ) -> ResultLayer:
        """Show a segmentation in a new layer, or in one that `find` returned.

        Parameters
        ----------
        image : Image
            The segmented image.
        result : Segmentation
            The segmentation.
        replace : ResultLayer or None
            The layer to write into; None for a new one.
        prepared : Prepared, optional
            From `prepare`.
        kept : Corrections, optional
            Regions of `replace` that stay as they are.
        """
        if replace is None:
            return self._add(image, result, prepared or prepare(result))
        if replace.layer.name == _name(image, replace.result):
            replace.layer.name = _name(image, result)
        replace.source = image.data
        if replace.written is None:
            replace.write_large(result, kept)
        else:
            labels, edited = result.labels, np.zeros(result.labels.shape, bool)
            before = np.array(replace.layer.data)
            if result.partial or kept is not None:
                mask = None if kept is None else corrected_mask(kept, result)
                asked = result.asked() if mask is None else result.asked() & ~mask
                labels, edited = replace_region(before, replace.edits(), labels, asked)
                # Other settings must leave all of a corrected region alone, not its strokes only.
                edited = edited if mask is None else edited | mask
            replace.write(result, labels, edited)
            replace.before = before
        self.viewer.layers.selection.active = replace.layer
        return replace

    def _add(self, image: Image, result: Segmentation, prepared: Prepared) -> ResultLayer:
        labels = result.labels
        in_memory = prepared.own is not None
        own = labels if prepared.own is None else prepared.own
        name = _name(image, result)
        layer = add_labels(self.viewer, image, name, own, result.recipe(), prepared.width)
        touched = np.zeros(labels.shape, bool) if in_memory else None
        top = result.counts.objects
        added = ResultLayer(image, layer, result, prepared.written, touched, top=top)
        added.source = image.data
        if not in_memory:
            layer.events.paint.connect(added.note_painting)
        self._results.append(added)
        added.offer_new_object()
        return added

    def update(self, shown: ResultLayer, result: Segmentation) -> bool:
        """Show a segmentation with other labelling settings, and keep the user's edits.

        Parameters
        ----------
        shown : ResultLayer
            The layer.
        result : Segmentation
            From `Segmentation.relabel`.

        Returns
        -------
        bool
            False if there are edits in labels that are too large to be compared; nothing is
            written then.
        """
        if shown.written is None:
            if not shown.painted:
                shown.write_large(result)
            return not shown.painted
        edited = shown.edits()
        region = result.asked() if result.partial else None
        before = np.asarray(shown.layer.data)
        labels = relabel_around_edits(before, shown.written, edited, result.labels, region)
        shown.write(result, labels, edited)
        return True

    def preview(self, shown: ResultLayer, position: int, fresh: np.ndarray) -> None:
        """Show one frame with other labelling settings before the others are labelled.

        Parameters
        ----------
        shown : ResultLayer
            The layer.
        position : int
            Index of the frame among those of its result.
        fresh : ndarray
            From `Segmentation.relabel_frame`.
        """
        layer, result = shown.layer, shown.result
        largest = np.iinfo(layer.data.dtype).max
        if int(fresh.max(initial=0)) > largest or (shown.written is None and shown.painted):
            return
        box = slice(0, fresh.shape[0]), slice(0, fresh.shape[1])
        labels = result.frames_in(layer.data)
        before = labels.read(position, *box)
        inside = result.inside
        unchanged = np.zeros(fresh.shape, bool) if inside is None else ~inside
        if result.coverage is not None:
            unchanged |= ~result.coverage.frame(position)
        if shown.written is not None and shown.touched is not None:
            written, touched = result.frames_in(shown.written), result.frames_in(shown.touched)
            edited = edited_pixels(
                before, written.read(position, *box), touched.read(position, *box)
            )
            touched.write(position, *box, edited)
            unchanged |= edited
            written.write(position, *box, np.where(unchanged, before, fresh))
        labels.write(position, *box, np.where(unchanged, before, fresh))
        layer.refresh(extent=False)
