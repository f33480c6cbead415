"""Outlines of corrected regions, as lines."""

import numpy as np

from napari_seglite.images import Box, Corrections
from napari_seglite.widgets.correct.outline import edges


def length(lines):
    return float(np.abs(lines[:, 1]).sum())


def test_regions_that_touch_have_one_outline():
    corrections = Corrections((3, 100, 100), tile=32)
    assert edges(corrections)[0].shape == (0, 2, 3)
    one = corrections.touch(1, Box(40, 40, 44, 44))
    lines, accepted = edges(one)
    assert length(lines) == 4 * 32
    assert set(lines[:, 0, 0]) == {1}
    assert not accepted.any()
    assert lines[:, 0, 1:].min() == 31.5
    both = one.touch(1, Box(40, 72, 44, 76))  # the tile to the right
    assert length(edges(both)[0]) == 2 * 64 + 2 * 32
    third = both.accept(2)
    lines, accepted = edges(third)
    assert length(lines[accepted]) == 4 * 100
    assert set(lines[accepted, 0, 0]) == {2}


def test_scribbles_have_no_outline_but_complete_boxes_do():
    scribbles = Corrections((1, 100, 100), "scribble", tile=32).touch(0, Box(40, 40, 44, 44))
    assert not edges(scribbles)[0].size
    lines, accepted = edges(scribbles.complete(0, Box(10, 10, 30, 20)))
    assert length(lines) == 2 * (20 + 10)
    assert accepted.all()
