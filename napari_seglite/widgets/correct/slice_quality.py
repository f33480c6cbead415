"""The quality to expect of predicted slices, computed in the background."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from ...inference import calibrate, expected_dice_of_frames
from ...labels import Calibration
from ..common import JobRunner, StopSignal, last_of

if TYPE_CHECKING:
    import numpy as np

    from ...inference import Segmentation
    from ..common import TrackedLayer

# Accepted slices that calibrate: more do not make it better.
MOST_ACCEPTED = 16
# Longer stacks are not measured as a whole.
LONGEST = 300


class SliceQuality(QObject):
    """Knows the expected Dice of the slices of one segmentation at a time.

    Parameters
    ----------
    panel : QObject
        The owner.

    Signals
    -------
    changed()
        There are new values.
    """

    changed = Signal()

    def __init__(self, panel: QObject) -> None:
        super().__init__(panel)
        self.runner = JobRunner(panel)
        self._state: Any = None
        self._raw: tuple[Segmentation | None, Mapping[int, float]] = (None, {})
        self._values: dict[int, float] = {}

    def of(self, tracked: TrackedLayer, result: Segmentation | None) -> Mapping[int, float]:
        """Return the expected Dice by frame; starts to compute what is not known yet.

        Parameters
        ----------
        tracked : TrackedLayer
            The layers; accepted slices of the labels calibrate.
        result : Segmentation or None
            Their segmentation.
        """
        if result is None or len(result.frames) > LONGEST:
            return {}
        corrections = tracked.entry.corrections
        accepted = tuple(
            frame
            for frame in corrections.frames
            if frame in result.frames and corrections.state(frame) == "accepted"
        )[-MOST_ACCEPTED:]
        state = (id(result), accepted)
        if state == self._state:
            return self._values
        if not self.runner.busy:
            if self._state is None or self._state[0] != id(result):
                self._values = {}
            data, axes = tracked.labels.data, tracked.axes
            labels = ((k, axes.frame(data, k)[0]) for k in accepted)
            self._start(state, result, labels)
        return self._values

    def _start(
        self, state: Any, result: Segmentation, accepted: Iterator[tuple[int, np.ndarray]]
    ) -> None:
        known = self._raw[1] if self._raw[0] is result else None

        def keep(found: tuple[Mapping[int, float], Calibration]) -> None:
            raw, calibration = found
            self._state, self._raw = state, (result, raw)
            self._values = {frame: calibration(value) for frame, value in raw.items()}
            self.changed.emit()

        self.runner.start(lambda stop: _measured(result, known, accepted, stop), succeeded=keep)


def _measured(
    result: Segmentation,
    known: Mapping[int, float] | None,
    accepted: Iterator[tuple[int, np.ndarray]],
    stop: StopSignal,
) -> Generator[Any, None, tuple[Mapping[int, float], Calibration]]:
    if known is None:
        known = yield from last_of(expected_dice_of_frames(result, stop))
    yield
    return known, calibrate(result, accepted)
