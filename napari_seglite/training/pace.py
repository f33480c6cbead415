"""The time of a fine-tuning: what steps and scores cost, what is left, and when it has to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

# Seconds that are kept for writing the checkpoint and for the pictures before and after.
ENDING = 2.0
# Share of the remaining time that scoring the start may take.
SCORING_SHARE = 1 / 8
# How many times as long as its limit a run may take on a computer that is busy otherwise.
SLOWEST = 2
# Weight of a step in the average cost of a step.
NEWEST = 0.1


class WorkClock:
    """Seconds that the calling thread was at work, so that other programs take no training away.

    Time in which it had no processor, or waited, counts half: a run on a busy computer takes up to
    twice its time. It shows what `time.monotonic` shows when it is made.
    """

    def __init__(self) -> None:
        self._shown = self._wall = time.monotonic()
        self._worked, self._thread = time.thread_time(), threading.get_ident()

    def __call__(self) -> float:
        """Return the seconds now."""
        wall, worked, thread = time.monotonic(), time.thread_time(), threading.get_ident()
        passed = wall - self._wall
        if thread == self._thread:  # of another thread nothing is known
            passed = min(passed, max(worked - self._worked, passed / SLOWEST))
        self._shown += passed
        self._wall, self._worked, self._thread = wall, worked, thread
        return self._shown


@dataclass(frozen=True)
class Work:
    """Steps to make and scores to take."""

    steps: int = 0
    scores: int = 0


@dataclass(frozen=True)
class Part:
    """The place of a run among those of one fine-tuning.

    Attributes
    ----------
    name : str
        Such as ``"part 1 of 2"``; empty if it is the only run.
    before : int
        Steps that earlier runs made.
    scored_later, later : int
        How many runs follow that hold out something, and how many in all.
    """

    name: str = ""
    before: int = 0
    scored_later: int = 0
    later: int = 0


ONLY = Part()


class Pace:
    """One clock for all runs of a fine-tuning, from the user's click to the new checkpoint.

    Parameters
    ----------
    minutes : float
        Time limit of the whole.
    clock : callable
        Returns seconds.
    begun : float or None
        What the clock showed in the beginning; None for now.
    ending : float
        Seconds to keep for what comes after the last score.

    Attributes
    ----------
    step_cost : float or None
        Seconds of a step, once one was made.
    score_cost : float
        Seconds of the latest score.
    """

    def __init__(
        self,
        minutes: float,
        clock: Callable[[], float] = time.monotonic,
        begun: float | None = None,
        ending: float = ENDING,
    ) -> None:
        self.clock, self._limit = clock, 60 * minutes
        self._ending = min(ending, self._limit / 4)
        self._begun = clock() if begun is None else begun
        self.step_cost: float | None = None
        self.score_cost = 0.0
        self._share = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning, without pauses."""
        return self.clock() - self._begun

    def begin(self) -> None:
        """Start the clock anew."""
        self._begun = self.clock()

    def pause(self, seconds: float) -> None:
        """Leave out seconds that the user paused."""
        self._begun += seconds

    def add(self, seconds: float) -> None:
        """Count seconds of training before it was interrupted."""
        self._begun -= seconds

    # ------------------------------------------------------------------ costs
    def step_took(self, seconds: float) -> None:
        """Take a step into the average."""
        if self.step_cost is None:
            self.step_cost = seconds
        else:
            self.step_cost += NEWEST * (seconds - self.step_cost)

    def seconds(self, work: Work) -> float:
        """Return what work is likely to take."""
        return work.steps * (self.step_cost or 0.0) + work.scores * self.score_cost

    # ------------------------------------------------------------------ the end
    @property
    def _end(self) -> float:
        return self._begun + self._limit - self._ending

    def until(self, runs: int = 1) -> float:
        """Return when the first of some runs that share the remaining time has to end."""
        now = self.clock()
        return now + max(0.0, self._end - now) / runs

    def late_for_scoring(self, runs: int = 1) -> Callable[[], bool]:
        """Return a function that tells when scoring the start has taken its share of the time."""
        now = self.clock()
        end = now + SCORING_SHARE * (self.until(runs) - now)
        return lambda: self.clock() > end

    def left(self, own: Work, until: float, later: Work) -> float | None:
        """Return the likely seconds until the end, or None before the first step.

        Parameters
        ----------
        own, later : Work
            What the current run has to do, and all later ones.
        until : float
            When the current run has to end.
        """
        if self.step_cost is None:
            return None
        now = self.clock()
        mine = min(self.seconds(own), max(0.0, until - now))
        others = min(self.seconds(later), max(0.0, self._end - max(until, now)))
        return mine + others + max(0.0, min(self._ending, self._begun + self._limit - now))

    def share(self, left: float | None) -> float:
        """Return the share of the whole that is done, which never falls and is 1 at the end."""
        total = self._limit if left is None else self.elapsed + left
        done = self.elapsed / total if total > 0 else 1.0
        self._share = max(self._share, min(0.99, done))
        return self._share
