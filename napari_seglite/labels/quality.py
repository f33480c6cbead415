"""The quality to expect of a segmentation whose truth nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Name = TypeVar("Name")

# Pulls the slope of a calibration towards 1, as much as accepted slices whose expected Dice has
# this sum of squared deviations: a few slices that are alike say little about a slope.
TOWARDS_ONE = 0.01
# Share of the files to look at first.
WORST = 0.1


@dataclass
class SoftDice:
    """The Dice that probabilities let expect of a mask, summed up block by block.

    If a pixel is foreground with its probability, this is the expected overlap over the expected
    sizes. Networks are surer than they should be, so `Calibration` corrects it.

    Attributes
    ----------
    overlap, sizes : float
        Sums over all pixels so far.
    """

    overlap: float = 0.0
    sizes: float = 0.0

    def add(self, mask: np.ndarray, probability: np.ndarray) -> None:
        """Add pixels.

        Parameters
        ----------
        mask : ndarray
            Boolean, the labelled pixels.
        probability : ndarray
            Of the same shape, of the foreground.
        """
        self.overlap += float(probability[mask].sum(dtype=np.float64))
        self.sizes += float(probability.sum(dtype=np.float64)) + int(np.count_nonzero(mask))

    @property
    def value(self) -> float:
        """The expected Dice, 0 to 1; 1 for a mask without foreground that expects none."""
        return 2 * self.overlap / self.sizes if self.sizes > 0.5 else 1.0


@dataclass(frozen=True)
class Calibration:
    """Corrects expected Dice by that of slices that a person accepted.

    Attributes
    ----------
    expected, measured : tuple of float
        Of every accepted slice: the Dice that was expected of its prediction, and that of its
        prediction against the accepted labels. Without any, nothing is corrected.

    Examples
    --------
    >>> calibration = Calibration((0.95, 0.93, 0.94), (0.85, 0.83, 0.84))
    >>> round(calibration(0.92), 2)
    0.82
    """

    expected: tuple[float, ...] = ()
    measured: tuple[float, ...] = ()

    def __call__(self, value: float) -> float:
        """Return the expected Dice, corrected."""
        if not self.expected:
            return value
        x, y = np.array(self.expected), np.array(self.measured)
        dx, dy = x - x.mean(), y - y.mean()
        slope = ((dx * dy).sum() + TOWARDS_ONE) / ((dx * dx).sum() + TOWARDS_ONE)
        return float(np.clip(y.mean() + slope * (value - x.mean()), 0, 1))


def worst(qualities: Mapping[Name, float]) -> list[Name]:
    """Return the names of the worst tenth, at least one, the worst first.

    Parameters
    ----------
    qualities : mapping
        Expected Dice by name, or by number.
    """
    order = sorted(qualities, key=lambda name: qualities[name])
    return order[: max(1, round(WORST * len(order)))]
