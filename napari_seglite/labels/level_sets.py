"""Outlines for an object that was missed, from the level sets of the probabilities around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from ..images import Box

# Side of the box around a click that is looked at.
WINDOW = 384
# Below this the network sees nothing at all, and a level set is noise.
FAINTEST = 0.002
# Levels that are tried, pixels of the smallest proposal, and the least growth from one to the next.
_LEVELS, _SMALLEST, _STEP = 40, 9, 1.06


@dataclass(frozen=True)
class Proposals:
    """Outlines of one object, from the smallest to the largest, each inside the next.

    Attributes
    ----------
    box : Box
        What was looked at.
    joined : ndarray
        ``(h, w)`` float32: the level at which a pixel belongs to the object.
    free : ndarray
        ``(h, w)`` boolean: where no other object lies.
    levels : tuple of float
        Of the proposals, falling.
    best : int
        Number of the proposal with the sharpest border.
    """

    box: Box
    joined: np.ndarray
    free: np.ndarray
    levels: tuple[float, ...]
    best: int

    def mask(self, number: int) -> np.ndarray:
        """Return the pixels of a proposal in the box, boolean; without holes."""
        filled = ndi.binary_fill_holes(self.joined >= self.levels[number])
        return np.asarray(filled & self.free)


def propose(
    probabilities: np.ndarray,
    free: np.ndarray,
    point: tuple[int, int],
    box: Box,
    typical: float = 0,
) -> Proposals | None:
    """Propose outlines for the object at a pixel.

    A proposal is the connected part of a level set of the probabilities that holds the pixel.

    Parameters
    ----------
    probabilities : ndarray
        ``(h, w)``, 0 to 1.
    free : ndarray
        ``(h, w)`` boolean: where no other object lies.
    point : tuple of int
        Row and column in these arrays.
    box : Box
        Where they lie in the frame.
    typical : float
        Diameter of other objects in pixels; 0 if unknown. Unlikely sizes count less.

    Returns
    -------
    Proposals or None
        None where the probabilities are too low for any outline.
    """
    height = np.where(free, probabilities, 0).astype(np.float32)
    near = Box(*point, point[0] + 1, point[1] + 1).grown(1, box.shape)
    around = height[near.slices]
    row, column = np.unravel_index(around.argmax(), around.shape)
    seed = int(row) + near.top, int(column) + near.left
    if height[seed] < FAINTEST:
        return None
    joined = _joined(height, seed)
    found, counts = np.unique(joined[joined > 0], return_counts=True)
    levels: list[float] = []
    least = float(_SMALLEST)
    for level, area in zip(found[::-1].tolist(), np.cumsum(counts[::-1]).tolist(), strict=True):
        if area >= least:
            levels.append(level)
            least = _STEP * area
    if not levels:
        return None
    best = int(np.argmax(_scores(height, joined, levels, typical)))
    return Proposals(box, joined, free, tuple(levels), best)


def _joined(height: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """Return the highest level at which each pixel is connected to the seed; 0 where at none."""
    joined = np.zeros_like(height)
    # Probabilities crowd near 0 and 1, so levels are spread as their logarithmic odds.
    low, high = (np.log(p / (1 - p)) for p in (FAINTEST, min(float(height[seed]), 0.999)))
    view, part, at = joined, height, seed
    for level in 1 / (1 + np.exp(-np.linspace(low, high, _LEVELS))):
        parts, _ = ndi.label(part >= min(level, height[seed]), np.ones((3, 3)))
        rows, columns = ndi.find_objects(parts, parts[at])[-1]
        view[parts == parts[at]] = level
        # The set of a higher level lies inside this one.
        view, part = view[rows, columns], part[rows, columns]
        at = at[0] - rows.start, at[1] - columns.start
    return joined


def _scores(
    height: np.ndarray, joined: np.ndarray, levels: list[float], typical: float
) -> np.ndarray:
    """Return how well each level set fits an object: by its border, shape and size."""
    rows, columns = ndi.find_objects((joined > 0).astype(np.uint8))[0]
    grown = Box(rows.start, columns.start, rows.stop, columns.stop).grown(1, joined.shape)
    height, joined = height[grown.slices], joined[grown.slices]
    slope = np.hypot(*(ndi.sobel(height, axis) / 8 for axis in (0, 1)))
    lowest = ndi.minimum_filter(joined, footprint=ndi.generate_binary_structure(2, 1))
    scores = []
    for level in levels:
        inside = joined >= level
        border = inside & (lowest < level)
        area, length = int(inside.sum()), max(int(border.sum()), 1)
        score = slope[border].sum() / length
        score *= min(4 * np.pi * area / length**2, 1) ** 0.5
        if typical:
            score *= np.exp(-0.5 * (np.log(4 * area / np.pi / typical**2) / 1.5) ** 2)
        scores.append(score)
    return np.array(scores)
