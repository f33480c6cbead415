"""The search for the slice that is worth correcting next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from ...annotation import Candidate, candidates, ranked
from ..common import JobRunner, last_of, layers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...inference import Segmentation
    from ..common import TrackedLayer


class NextSlice(QObject):
    """Shows the slice, or part of a large slice, whose correction teaches most.

    Parameters
    ----------
    panel : QWidget
        The owner.
    viewer : ViewerModel
        The viewer that shows it.

    Signals
    -------
    said(str, bool)
        A sentence for the user, and whether it is an error.
    """

    said = Signal(str, bool)

    def __init__(self, panel: QWidget, viewer: ViewerModel) -> None:
        super().__init__(panel)
        self.viewer, self.runner = viewer, JobRunner(panel)
        self._result: Segmentation | None = None
        self._candidates: list[Candidate] = []

    @property
    def busy(self) -> bool:
        """Whether the search runs."""
        return self.runner.busy

    def show(self, tracked: TrackedLayer, result: Segmentation) -> None:
        """Show the best candidate; the first call for a result searches for candidates.

        Parameters
        ----------
        tracked : TrackedLayer
            The image; corrected parts of it are no candidates.
        result : Segmentation
            Its segmentation, with probabilities.
        """
        if self.busy:
            return
        if result is self._result:
            self._show_best(tracked)
            return

        def keep(found: list[Candidate]) -> None:
            self._result, self._candidates = result, found
            self._show_best(tracked)

        image, corrections = layers.pixels(tracked.image), tracked.entry.corrections
        self.said.emit("Looking for the next slice …", False)
        self.runner.start(
            lambda stop: last_of(candidates(result, image, corrections, stop)),
            succeeded=keep,
            failed=lambda text: self.said.emit(text, True),
        )

    def _show_best(self, tracked: TrackedLayer) -> None:
        order = ranked(self._candidates, tracked.entry.corrections)
        if not order:
            self.said.emit("Everything is corrected or accepted.", False)
            return
        best = order[0]
        layers.show_frame(self.viewer, tracked.image, best.frame, best.box)
        name = f"Slice {best.frame}" if tracked.axes.stacked else "This part"
        text = f"{name}: uncertainty {best.uncertainty:.2f}, {len(order)} left."
        self.said.emit(text, False)
