"""Which frames a paint event lies in."""

from napari_seglite.images import Box, ImageAxes
from napari_seglite.widgets.common.paint_events import frames_of, joined, span_in_frame

AXES, SHAPE = ImageAxes("TZYX"), (2, 3, 40, 50)


def test_a_box_of_a_frame_and_its_span():
    box = Box(5, 6, 9, 11)
    span = span_in_frame(AXES, SHAPE, 4, box)
    assert span == ((1, 1, 5, 6), (2, 2, 9, 11))
    assert frames_of(span, AXES, SHAPE) == [(4, box)]
    plane = span_in_frame(ImageAxes("YX"), (40, 50), 0, box)
    assert plane == ((5, 6), (9, 11))
    assert frames_of(plane, ImageAxes("YX"), (40, 50)) == [(0, box)]


def test_an_edit_across_slices():
    frames = frames_of(((1, 0, 5, 6), (2, 2, 9, 11)), AXES, SHAPE)
    assert frames == [(3, Box(5, 6, 9, 11)), (4, Box(5, 6, 9, 11))]
    # Everything: an edit that could not be read.
    assert frames_of(((0,) * 4, SHAPE), AXES, SHAPE) == []


def test_strokes_join_in_one_frame_only():
    first, second = ((0, 5, 6), (1, 9, 11)), ((0, 7, 2), (1, 20, 8))
    assert joined(first, second) == ((0, 5, 2), (1, 20, 11))
    other = ((1, 7, 2), (2, 20, 8))
    assert joined(first, other) == other
