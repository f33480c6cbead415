"""The layer that shows where a result is uncertain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from ...inference import measure_uncertainty
from ..common import JobRunner, add_uncertainty, last_of

if TYPE_CHECKING:
    from napari.layers import Image

    from ...inference import Segmentation, Uncertainty
    from .result_layers import ResultLayer


class UncertaintyLayer(QObject):
    """Computes uncertainty from the probabilities of a result, without the network.

    Parameters
    ----------
    panel : QWidget
        The owner.
    viewer : ViewerModel
        Gets the layer.

    Signals
    -------
    said(str, bool)
        A sentence for the user, and whether it is an error.
    """

    said = Signal(str, bool)

    def __init__(self, panel: QWidget, viewer: Any) -> None:
        super().__init__(panel)
        self.viewer, self.runner = viewer, JobRunner(panel)

    def show(self, shown: ResultLayer, measure: str, before: str = "") -> None:
        """Show the uncertainty of a result.

        Parameters
        ----------
        shown : ResultLayer
            The result.
        measure : str
            ``"entropy"``, or the ensemble whose disagreement is meant; an empty string takes the
            layer away.
        before : str
            A sentence to repeat before what is found.
        """
        image, result = shown.image, shown.result
        self.runner.abandon()
        if not measure:
            self._remove(image, result)
            return
        if measure == "entropy":
            result = replace(result, disagreement=None)
        elif measure != result.request.ensemble:
            self._remove(image, result)
            self.said.emit("Segment again: this measure needs further runs of the network.", False)
            return
        self.runner.start(
            lambda stop: last_of(measure_uncertainty(result, stop)),
            succeeded=lambda found: self._on_result(image, result, found, before),
            failed=lambda text: self.said.emit(text, True),
        )

    def _on_result(
        self, image: Image, result: Segmentation, found: Uncertainty, before: str
    ) -> None:
        if image not in self.viewer.layers:
            return
        add_uncertainty(self.viewer, image, _name(image, result), found)
        if len(found.scores) > 1:
            self.said.emit(f"{before} Least certain: slice {found.worst}.".strip(), False)

    def _remove(self, image: Image, result: Segmentation) -> None:
        for layer in list(self.viewer.layers):
            if layer.name == _name(image, result) and "seglite_scores" in layer.metadata:
                self.viewer.layers.remove(layer)


def _name(image: Image, result: Segmentation) -> str:
    return f"{image.name} {result.info.id} uncertainty"
