"""Helpers for the brush, where to go next, and what napari tells about painting."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_seglite.annotation import Candidate, ranked
from napari_seglite.images import Box, Corrections
from napari_seglite.labels import edits
from napari_seglite.widgets.common.paint_events import edited_spans


@pytest.fixture
def labels():
    """Return a ring of label 1 with a speck, and a block of label 2 touching it."""
    y, x = np.mgrid[:60, :80]
    away = np.hypot(y - 30, x - 30)
    found = ((away < 20) & (away > 8)).astype(np.uint16)
    found[2:4, 2:4] = 1
    found[25:35, 50:70] = 2
    return found


def test_holes_are_filled_where_nothing_lies(labels):
    labels[30, 30] = 2
    filled = edits.fill_holes(labels, 1)
    assert filled[30, 27] == 1
    assert filled[30, 30] == 2
    assert filled.dtype == labels.dtype
    assert labels[30, 27] == 0


def test_smoothing_takes_specks_and_leaves_others(labels):
    smooth = edits.smooth(labels, 1)
    assert smooth[2, 2] == 0
    np.testing.assert_array_equal(smooth == 2, labels == 2)
    ring = (labels == 1) & (np.mgrid[:60, :80][0] > 5)
    assert abs((smooth == 1).sum() - ring.sum()) < 0.05 * ring.sum()


def test_only_the_largest_part_is_kept(labels):
    kept = edits.keep_largest(labels, 1)
    assert kept[2, 2] == 0
    assert kept[30, 12] == 1
    np.testing.assert_array_equal(kept == 2, labels == 2)


def test_growing_stops_at_others_and_shrinking_undoes_it():
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 10:20], labels[10:20, 22:30] = 1, 2
    grown = edits.grow(labels, 1, 4)
    assert grown[15, 6] == 1
    assert grown[15, 5] == 0
    assert grown[15, 21] == 1
    np.testing.assert_array_equal(grown == 2, labels == 2)
    alone = np.where(labels == 1, 1, 0)
    back = edits.grow(edits.grow(alone, 1, 3), 1, -3)
    assert (back != alone).sum() <= 8  # but for the rounded corners


def test_objects_under_a_shape_go_or_become_one(labels):
    where = np.zeros(labels.shape, bool)
    where[24:36, 45:75] = True
    gone = edits.delete_objects(labels, where)
    assert not (gone == 2).any()
    assert not (gone[5:, :50] == 1).any()  # the ring reaches into the box
    assert gone[2, 2] == 1
    merged = edits.merge_objects(labels, where)
    assert merged[30, 60] == merged[30, 12] == merged[24, 74] == 2
    assert merged[2, 2] == 1
    nowhere = np.zeros(labels.shape, bool)
    np.testing.assert_array_equal(edits.delete_objects(labels, nowhere), labels)
    np.testing.assert_array_equal(edits.merge_objects(labels, nowhere), labels)


def test_interpolation_goes_from_one_shape_to_the_other():
    y, x = np.mgrid[:64, :64]
    discs = [(np.hypot(y - 32, x - 32) < r).astype(np.uint8) for r in (8, 20)]
    discs[1][2:6, 2:6] = 3  # appears on the way
    made = list(edits.interpolated(discs[0], discs[1], 3))
    radii = [np.sqrt((m == 1).sum() / np.pi) for m in made]
    np.testing.assert_allclose(radii, [11, 14, 17], atol=0.5)
    assert {tuple(np.unique(m)) for m in made} <= {(0, 1), (0, 1, 3)}
    assert [m.dtype for m in made] == [np.uint8] * 3


def candidate(frame, uncertainty, looks):
    traits = np.array([looks, 0.0, 0, 0, 0])
    return Candidate(frame, (0, 0, 10, 10), uncertainty, traits)


def test_next_is_uncertain_and_unlike_what_is_corrected():
    found = [
        candidate(0, 0.9, 1.0),  # corrected
        candidate(1, 0.8, 1.0),  # uncertain, and just like the corrected one
        candidate(2, 0.7, 9.0),  # nearly as uncertain, and unlike
        candidate(3, 0.1, 1.1),
    ]
    corrections = Corrections((4, 10, 10))
    assert [c.frame for c in ranked(found, corrections)] == [0, 1, 2, 3]
    corrections = corrections.touch(0, Box(0, 0, 3, 3))
    assert ranked(found, corrections)[0].frame == 2
    assert [c.frame for c in ranked(found, corrections)][-1] == 3
    for frame in range(4):
        corrections = corrections.accept(frame)
    assert ranked(found, corrections) == []


def test_edits_are_boxes_and_nothing_else():
    shape = (5, 60, 80)
    box = SimpleNamespace(slice_key=(slice(2, 3), slice(10, 20), slice(None)), mask=object())
    indices = (np.array([1, 1]), np.array([5, 9]), np.array([70, 71])), None, None
    assert edited_spans([box, indices], shape) == [
        ((2, 10, 0), (3, 20, 80)),
        ((1, 5, 70), (2, 10, 72)),
    ]
    # Of a release that changed everything, the whole array may have changed.
    for value in (None, [object()], [(None,)], [((np.array([1]),), 0, 0)], 3):
        assert edited_spans(value, shape) == [((0, 0, 0), shape)]
