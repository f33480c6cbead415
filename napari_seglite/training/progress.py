"""Where a training run is: its numbers and its curves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

# Why a run is over: all steps are made, the scores stopped to improve, the time is up, or the
# loss is not a number again and again.
Ending = Literal["steps", "early stopping", "time", "loss"]


@dataclass
class Curves:
    """``(step, value)`` of the loss, and of the held-out Dice and F1 of objects of a run."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    dice: list[tuple[int, float]] = field(default_factory=list)
    f1: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Progress:
    """The numbers of a run, which are saved with it.

    Attributes
    ----------
    step, best_step : int
        Steps made, and the step of the best weights.
    since_best : int
        Validations since the best one.
    start, best : float
        Held-out Dice of the starting weights and of the best ones; NaN if nothing was held out.
    start_f1, best_f1 : float
        F1 of objects at IoU 0.5 beside them; 0 without an object head.
    seconds : float
        Training time so far.
    answered : bool
        Whether a first answer was better than the start.
    ended : str or None
        Why the run is over, once it is.
    """

    step: int = 0
    best_step: int = 0
    since_best: int = 0
    start: float = math.nan
    best: float = math.nan
    start_f1: float = 0.0
    best_f1: float = 0.0
    seconds: float = 0.0
    ended: Ending | None = None
    answered: bool = False
