"""How well labels agree with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Dice and intersection over union, each 0 to 1; 1 where both are empty."""

    dice: float
    iou: float


def overlap(predicted: np.ndarray, truth: np.ndarray) -> Overlap:
    """Compare two masks of one shape; any value but 0 is foreground.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"Labels of shape {predicted.shape} and {truth.shape} cannot be compared.")
    a, b = predicted.astype(bool), truth.astype(bool)
    both = int(np.count_nonzero(a & b))
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    if total == 0:
        return Overlap(1.0, 1.0)
    return Overlap(2 * both / total, both / (total - both))


def overlap_per_class(predicted: np.ndarray, truth: np.ndarray) -> Overlap:
    """Mean of `overlap` over every class above 0 that occurs in either."""
    classes = np.union1d(np.unique(predicted), np.unique(truth))
    each = [overlap(predicted == c, truth == c) for c in classes if c != 0]
    if not each:
        return Overlap(1.0, 1.0)
    return Overlap(
        float(np.mean([o.dice for o in each])),
        float(np.mean([o.iou for o in each])),
    )
