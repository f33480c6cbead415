"""Fill regions as ImageJ does: the pixels whose middles lie inside of a path."""

import numpy as np


def crossings(region, shape):
    """Return how often a path encloses, and how often it winds around, the middle of each pixel."""
    times, turns = np.zeros(shape, int), np.zeros(shape, int)
    rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    for loop in region.coordinates(multi=True):
        for (x0, y0), (x1, y1) in zip(loop, np.roll(loop, -1, 0), strict=True):
            up, down = (y0 <= rows) & (rows < y1), (y1 <= rows) & (rows < y0)
            if not (up | down).any():
                continue
            right = columns[None] > (x0 + (rows - y0) * (x1 - x0) / (y1 - y0))[:, None]
            times += right & (up | down)[:, None]
            turns += right * (up.astype(int) - down)[:, None]
    return times, turns


def filled(region, shape):
    """Return the mask of a region, by the even-odd rule and by the non-zero rule alike."""
    times, turns = crossings(region, shape)
    np.testing.assert_array_equal(times % 2 == 1, turns != 0)
    return times % 2 == 1
