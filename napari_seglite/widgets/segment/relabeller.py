"""New labels from stored probabilities when labelling settings change."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from ..common import JobRunner, current_frame
from .result_layers import ResultLayer, ResultLayers
from .texts import summary

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Image

    from ...inference import Segmentation


class Relabeller(QObject):
    """Applies threshold, smallest object and kind of result to stored probabilities.

    Parameters
    ----------
    panel : QWidget
        The owner.
    results : ResultLayers
        The results to relabel.

    Signals
    -------
    said(str, bool)
        A sentence for the user, and whether it is an error.
    again()
        `relabel` was called during a job, which has ended now.
    """

    said = Signal(str, bool)
    again = Signal()

    def __init__(self, panel: QWidget, results: ResultLayers) -> None:
        super().__init__(panel)
        self.results, self.runner = results, JobRunner(panel)
        self._waiting = False

    @property
    def busy(self) -> bool:
        """Whether labels are being computed."""
        return self.runner.busy

    def relabel(self, image: Image, checkpoint: str, settings: dict[str, Any]) -> None:
        """Relabel the result of an image and a checkpoint, if there is one.

        While a job runs, it does nothing but emit `again` later: a slider moves faster than a
        large stack is relabelled.

        Parameters
        ----------
        image : Image
            The segmented image.
        checkpoint : str
            Id of the checkpoint.
        settings : dict
            Arguments of `Segmentation.relabel`.
        """
        if self.busy:
            self._waiting = True
            return
        shown = self.results.find(image, checkpoint)
        if shown is None or settings.items() <= shown.result.request.as_dict().items():
            return
        old = shown.result
        seen = current_frame(self.results.viewer, image)
        first = old.frames.index(seen) if seen in old.frames and len(old.frames) > 1 else None
        self.runner.start(
            lambda _: _relabelled(old, settings, first),
            progressed=lambda news: self._on_progress(shown, old, first, news),
            succeeded=lambda result: self._on_result(shown, old, result),
            failed=lambda text: self.said.emit(text, True),
            ended=self._on_end,
        )

    def _on_progress(
        self, shown: ResultLayer, old: Segmentation, first: int | None, news: str | np.ndarray
    ) -> None:
        if isinstance(news, str):
            self.said.emit(news, False)
        elif first is not None and self._writable(shown, old):
            self.results.preview(shown, first, news)

    def _on_result(self, shown: ResultLayer, old: Segmentation, result: Segmentation) -> None:
        if not self._writable(shown, old):
            return
        if self.results.update(shown, result):
            self.said.emit(summary(result), False)
        else:
            text = "You edited labels that are too large to be compared, so they stay unchanged."
            self.said.emit(text, False)

    def _writable(self, shown: ResultLayer, old: Segmentation) -> bool:
        """Whether a layer still shows the segmentation that is relabelled."""
        there = shown.layer in self.results.viewer.layers
        return shown.result is old and there and not getattr(shown.layer, "locked", False)

    def _on_end(self) -> None:
        if self._waiting:
            self._waiting = False
            self.again.emit()


def _relabelled(
    old: Segmentation, settings: dict[str, Any], first: int | None
) -> Generator[str | np.ndarray, None, Segmentation]:
    """Relabel a segmentation, the visible frame first."""
    from ...labels import labelling_text

    yield labelling_text(settings["output"], old.info.head)
    if first is not None:
        yield old.relabel_frame(first, **settings)
    return old.relabel(**settings)
