"""Where a training run is: its numbers and its curves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Curves:
    """``(step, value)`` of the loss and of the held-out Dice of a run."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    dice: list[tuple[int, float]] = field(default_factory=list)


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
    seconds : float
        Training time so far.
    """

    step: int = 0
    best_step: int = 0
    since_best: int = 0
    start: float = math.nan
    best: float = math.nan
    seconds: float = 0.0
