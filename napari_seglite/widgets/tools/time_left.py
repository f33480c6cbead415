"""How long a job will take."""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds and share of the work before an estimate means anything.
EARLIEST, LEAST = 3.0, 0.01


class TimeLeft:
    """Estimates the time left from the share of the work that is done.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()

    def text(self, share: float) -> str:
        """Return such as ``"about 5 min left"``, or nothing as long as it cannot be told.

        Parameters
        ----------
        share : float
            Of the work that is done, 0 to 1.
        """
        passed = self._clock() - self._started
        if passed < EARLIEST or share < LEAST:
            return ""
        seconds = max(passed * (1 - share) / share, 0.0)
        if seconds < 55:
            return f"about {max(5, 5 * round(seconds / 5))} s left"
        minutes = max(1, round(seconds / 60))
        return f"about {minutes} min left" if minutes < 120 else f"about {minutes / 60:.0f} h left"
