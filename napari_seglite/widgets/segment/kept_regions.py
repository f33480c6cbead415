"""What the user corrected, and whether a new segmentation may replace it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMessageBox, QWidget

if TYPE_CHECKING:
    from ...images import Corrections
    from ...inference import Segmentation
    from ..common import CorrectionTracker, TrackedLayer
    from .result_layers import ResultLayer


class KeptRegions:
    """The corrected regions of result layers.

    Parameters
    ----------
    tracker : CorrectionTracker
        Records them.
    panel : QWidget
        Asks the user.
    """

    def __init__(self, tracker: CorrectionTracker, panel: QWidget) -> None:
        self._tracker, self._panel = tracker, panel

    def tracked(self, shown: ResultLayer | None) -> TrackedLayer | None:
        """Return the record of a layer, if something in it is corrected."""
        found = None if shown is None else self._tracker.find(shown.layer)
        return found if found is not None and found.entry.corrections.regions else None

    def take(
        self, target: ResultLayer | None, result: Segmentation, overwrite: bool
    ) -> Corrections | None:
        """Return the regions that stay as they are; with `overwrite`, forget those replaced."""
        tracked = self.tracked(target)
        if tracked is None:
            return None
        if overwrite:
            for frame in result.frames:
                self._tracker.forget(tracked.entry.key, frame)
        corrections = tracked.entry.corrections
        return corrections if corrections.regions else None

    def may_replace(self, shown: ResultLayer | None) -> bool:
        """Ask whether corrections may be replaced."""
        tracked = self.tracked(shown)
        if shown is None or tracked is None:
            return True
        count = len(tracked.entry.corrections.frames)
        where = "1 slice" if count == 1 else f"{count} slices"
        answer = QMessageBox.question(
            self._panel,
            "Replace corrections",
            f"You corrected {where} in {shown.layer.name}. Replace your corrections by what the "
            "network predicts?",
        )
        return bool(answer == QMessageBox.StandardButton.Yes)
