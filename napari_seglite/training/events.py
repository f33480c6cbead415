"""The events of a training run, and the callbacks it makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..checkpoints.store import CheckpointInfo

if TYPE_CHECKING:
    import numpy as np

    from ..images.training_image import TrainingImage


@dataclass(frozen=True)
class TrainingEvent:
    """News from a training run.

    Attributes
    ----------
    kind : str
        ``"message"``, ``"step"``, ``"validation"``, ``"preview"`` or ``"done"``.
    step, steps : int
        Where it is, and where it ends at the latest.
    progress : float
        Share of the steps or the time that is used up, 0 to 1.
    loss : float or None
        Of the last step.
    dice, best : float or None
        Of the last validation, and the best so far; 0 to 1.
    text : str
        For the status line.
    checkpoint : CheckpointInfo or None
        What was saved, with ``"done"``.
    before : float or None
        Dice of the starting point on what is held out, with ``"done"``.
    rate : float or None
        Steps a second.
    left : float or None
        Seconds until the end at the latest.
    memory : int or None
        Bytes that the process, or on a GPU the device, holds.
    device : str
        Where it runs; empty as long as that is not known.
    preview : ndarray or None
        With ``"preview"``, the probabilities ``(K, H, W)`` of what `RunCallbacks.frame` gave.
    token : object
        With ``"preview"``, what `RunCallbacks.frame` gave beside it.
    """

    kind: str
    step: int
    steps: int
    progress: float
    loss: float | None = None
    dice: float | None = None
    best: float | None = None
    text: str = ""
    checkpoint: CheckpointInfo | None = None
    before: float | None = None
    rate: float | None = None
    left: float | None = None
    memory: int | None = None
    device: str = ""
    preview: np.ndarray | None = None
    token: object = None


@dataclass(frozen=True)
class RunCallbacks:
    """What somebody who watches a training run may want of it.

    Attributes
    ----------
    paused : callable
        While it returns True, no step is made.
    frame : callable
        Returns a normalised frame ``(C, H, W)`` or ``(S, C, H, W)`` to predict with the weights
        there are, and anything to tell it by; or None.
    every : float
        Seconds between two such predictions.
    clock : callable
        Returns the seconds that count towards the time there is.
    news : callable
        Asked after every validation for frames to learn from instead; None if nothing changed.
    """

    paused: Callable[[], bool] = lambda: False
    frame: Callable[[], tuple[np.ndarray, object] | None] = lambda: None
    every: float = 4.0
    clock: Callable[[], float] = time.monotonic
    news: Callable[[], Sequence[TrainingImage] | None] = lambda: None
