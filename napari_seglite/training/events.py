"""Events of a training run, and callbacks into the program that watches it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoints import CheckpointInfo
    from ..images import TrainingImage


@dataclass(frozen=True)
class RunStatus:
    """The state of a run when an event was sent.

    Attributes
    ----------
    step, steps : int
        Steps made, and steps at most, of all parts together; 0 at most in live learning, which
        has no end.
    share : float
        Share of the whole that is done, from the request to the new checkpoint, 0 to 1. It never
        falls.
    best : float or None
        Best held-out Dice so far, 0 to 1.
    steps_per_second, seconds_left : float or None
        Speed, and likely time until the end, once they are known.
    memory : int or None
        Bytes held by the process, or by torch on a GPU.
    device : str
        Where it runs; empty as long as that is not known.
    part : str
        Which part of a cross-validation runs, such as ``"part 1 of 2"``; empty without parts.
    part_step : int
        Steps made in this part.
    seconds : float
        Duration of the whole, once it is over.
    """

    step: int = 0
    steps: int = 0
    share: float = 0.0
    best: float | None = None
    steps_per_second: float | None = None
    seconds_left: float | None = None
    memory: int | None = None
    device: str = ""
    part: str = ""
    part_step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Message:
    """Something the user should know."""

    text: str
    status: RunStatus


@dataclass(frozen=True)
class StepDone:
    """A weight update was made; `loss` is that of its batch."""

    text: str
    status: RunStatus
    loss: float


@dataclass(frozen=True)
class Validated:
    """The held-out part was scored; `dice` lies between 0 and 1.

    So does `f1` of the objects at IoU 0.5; None without an object head.
    """

    text: str
    status: RunStatus
    dice: float
    f1: float | None = None


@dataclass(frozen=True)
class StrokeScored:
    """Live learning scored a stroke, before or after it was learnt.

    Attributes
    ----------
    text, status
        As in all events.
    dice : float or None
        On a new stroke before it was learnt, 0 to 1; None if it was scored after.
    falling : bool
        Whether it gets worse, so that the user may want to go back.
    """

    text: str
    status: RunStatus
    dice: float | None
    falling: bool


@dataclass(frozen=True)
class Previewed:
    """The current weights predicted the patch that `RunCallbacks.preview_frame` returned.

    Attributes
    ----------
    text, status
        As in all events.
    probabilities : ndarray
        ``(K, H, W)`` float32.
    patch : object
        As the callback returned it with the frame.
    """

    text: str
    status: RunStatus
    probabilities: np.ndarray
    patch: object


@dataclass(frozen=True)
class Finished:
    """The run is over, and its checkpoint is saved if it is better than the start.

    Attributes
    ----------
    text, status
        As in all events; the text contains the note.
    checkpoint : CheckpointInfo or None
        The card as it was saved; None if nothing was saved, because nothing was learnt or the
        held-out Dice did not improve, see `Validation.keep_unimproved`.
    before, after : float or None
        Held-out Dice of the starting point and of the best weights, on the same frames; None if
        nothing was held out or scored.
    note : str
        What else the user should know: another name than the one asked for, or frames that were
        not scored because the run was stopped. Empty if nothing.
    too_few : bool
        Whether the time limit left it so few steps that going on is likely to help.
    """

    text: str
    status: RunStatus
    checkpoint: CheckpointInfo | None
    before: float | None = None
    after: float | None = None
    note: str = ""
    too_few: bool = False


TrainingEvent = Message | StepDone | Validated | StrokeScored | Previewed | Finished


@dataclass(frozen=True)
class RunCallbacks:
    """Questions that a run asks the program that watches it, in the run's thread.

    Attributes
    ----------
    paused : callable
        While it returns True, no step is made.
    preview_frame : callable
        Returns a normalised frame ``(C, H, W)`` or ``(S, C, H, W)`` to predict with the current
        weights, and an object to recognise it by; or None.
    preview_every : float
        Seconds between two such predictions.
    clock : callable
        Returns the seconds that count towards the time limit; by default those at work, see
        `WorkClock`.
    begun : float or None
        What the clock showed when the user asked for the run, since the time limit includes
        imports and preparation; None for the start of the run.
    new_examples : callable
        Asked after every validation: returns the examples to learn from now on, or None if they
        did not change.
    """

    paused: Callable[[], bool] = lambda: False
    preview_frame: Callable[[], tuple[np.ndarray, object] | None] = lambda: None
    preview_every: float = 4.0
    clock: Callable[[], float] = time.monotonic
    new_examples: Callable[[], Sequence[TrainingImage] | None] = lambda: None
    begun: float | None = None
