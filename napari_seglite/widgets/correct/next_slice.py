"""The search for the slice that is worth correcting next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from ...annotation import Candidate, candidates, ranked
from ..common import JobRunner, last_of, layers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...images import Corrections
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
        self._seen: list[Candidate] = []  # shown and not corrected since
        self._done = ""

    @property
    def busy(self) -> bool:
        """Whether the search runs."""
        return self.runner.busy

    def show(
        self,
        tracked: TrackedLayer,
        result: Segmentation,
        corrections: Corrections,
        done: str = "",
    ) -> None:
        """Show the best candidate; the first call for a result searches for candidates.

        One that was shown before and was not corrected since is skipped, until all were.

        Parameters
        ----------
        tracked : TrackedLayer
            The image.
        result : Segmentation
            Its segmentation, with probabilities.
        corrections : Corrections
            Of the image, in all of its layers: corrected parts are no candidates.
        done : str
            A sentence about what was done just now, said before the one about the next slice.
        """
        if self.busy:
            return
        self._done = done
        if result is self._result:
            self._show_best(tracked, corrections)
            return

        def keep(found: list[Candidate]) -> None:
            self._result, self._candidates, self._seen = result, found, []
            self._show_best(tracked, corrections)

        image = layers.pixels(tracked.image)
        self.said.emit("Looking for the next slice …", False)
        self.runner.start(
            lambda stop: last_of(candidates(result, image, corrections, stop)),
            succeeded=keep,
            failed=lambda text: self.said.emit(text, True),
        )

    def _show_best(self, tracked: TrackedLayer, corrections: Corrections) -> None:
        order = ranked(self._candidates, corrections)
        if not order:
            self.said.emit(f"{self._done} Everything is corrected or accepted.".strip(), False)
            return
        fresh = [c for c in order if c not in self._seen]
        if not fresh:
            self._seen, fresh = [], order
        best = fresh[0]
        self._seen.append(best)
        layers.show_frame(self.viewer, tracked.image, best.frame, best.box)
        name = f"Slice {best.frame}" if tracked.axes.stacked else "This part"
        place = 1 + sum(c.uncertainty > best.uncertainty for c in order)
        text = f"{self._done} {name}: {_nth(place)}most uncertain of {len(order)} left."
        self.said.emit(text.strip(), False)


def _nth(place: int) -> str:
    if place == 1:
        return "the "
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10 if place % 100 not in (11, 12, 13) else 0)
    return f"{place}{ending or 'th'} "
