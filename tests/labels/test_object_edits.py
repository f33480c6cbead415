"""Single objects are split, merged, deleted and redrawn, and others keep their labels."""

import numpy as np
import pytest
import zarr

from napari_seglite.errors import AnnotationError
from napari_seglite.images import Box
from napari_seglite.labels import level_sets, object_edits
from napari_seglite.labels.object_edits import Plane


def disk(shape, row, column, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - row, x - column) <= radius


@pytest.fixture
def labels():
    """Return a dumbbell of label 3, a disk of label 7 beside it, and another part of label 3."""
    found = np.zeros((80, 160), np.uint16)
    found[disk(found.shape, 40, 30, 15) | disk(found.shape, 40, 55, 12)] = 3
    found[disk(found.shape, 40, 82, 12)] = 7
    found[5:10, 140:150] = 3
    return found


def applied(labels, edit):
    new = labels.copy()
    new[edit.box.slices] = edit.labels
    return new


def stroke(*points):
    return np.array(points, float)


def test_the_larger_part_keeps_the_label(labels):
    # The line ends inside the object, and goes on straight to its border.
    edit = object_edits.split(Plane.of(labels), stroke((25, 44), (50, 44)), 20)
    new = applied(labels, edit)
    assert set(np.unique(new[labels == 3])) == {3, 20}
    assert new[40, 20] == 3
    assert new[40, 60] == 20
    assert new[7, 145] == 3
    np.testing.assert_array_equal(new[labels != 3], labels[labels != 3])
    assert edit.box.shape[1] < 60  # nothing but the object was read
    several = object_edits.split(
        Plane.of(labels), stroke((20, 44), (60, 44), (60, 60), (20, 60)), 20
    )
    assert set(np.unique(applied(labels, several)[labels == 3])) == {3, 20, 21}

    classes = applied(labels, object_edits.split(Plane.of(labels), stroke((20, 44), (60, 40))))
    assert set(np.unique(classes)) == {0, 3, 7}
    left, right = (object_edits.object_at(Plane.of(classes), (40, x)) for x in (20, 60))
    assert not left.box.meets(Box(40, 60, 41, 61))
    assert right.value == 3
    with pytest.raises(AnnotationError, match="divides no object"):
        object_edits.split(Plane.of(labels), stroke((2, 2), (2, 20)), 20)


def test_merging_keeps_the_first_label_and_fills_the_gap(labels):
    labels[:, 69:70] = 0
    new = applied(labels, object_edits.merge(Plane.of(labels), stroke((40, 82), (40, 55))))
    assert (new[labels == 7] == 7).all()
    assert new[40, 20] == 7
    assert new[40, 69] == 7
    assert new[7, 145] == 3  # another object of the same label
    assert object_edits.object_at(Plane.of(new), (40, 82)).box.left == 15
    assert np.count_nonzero(new[labels == 0]) < 60
    for bad, words in (((40, 82), "same object"), ((70, 150), "end inside the second")):
        with pytest.raises(AnnotationError, match=words):
            object_edits.merge(Plane.of(labels), stroke((40, 80), bad))


def test_one_part_is_deleted(labels):
    new = applied(labels, object_edits.delete(Plane.of(labels), (7, 145)))
    assert not new[5:10, 140:150].any()
    np.testing.assert_array_equal(new[15:], labels[15:])
    with pytest.raises(AnnotationError, match="no object"):
        object_edits.delete(Plane.of(labels), (0, 0))


def test_a_stroke_bulges_or_dents(labels):
    plane = Plane.of(labels)
    out = stroke((40, 85), (20, 85), (20, 100), (40, 100), (40, 85))
    bulged = applied(labels, object_edits.redraw(plane, out))
    assert bulged[25, 97] == 7
    assert (bulged[labels == 7] == 7).all()
    np.testing.assert_array_equal(bulged[labels == 3], 3)
    over = stroke((40, 80), (20, 80), (20, 60), (38, 60), (40, 75))
    assert (applied(labels, object_edits.redraw(plane, over))[labels == 3] == 3).all()

    dented = applied(labels, object_edits.redraw(plane, stroke((31, 87), (40, 87), (49, 87))))
    assert dented[40, 90] == 0
    assert dented[40, 80] == 7
    assert dented[40, 87] == 7  # the stroke is the new border
    with pytest.raises(AnnotationError, match="Start the stroke inside"):
        object_edits.redraw(plane, stroke((0, 0), (40, 87)))
    with pytest.raises(AnnotationError, match="changes no border"):
        object_edits.redraw(plane, stroke((40, 82), (40, 82)))


def test_large_labels_are_read_in_boxes():
    stored = zarr.zeros((6000, 6000), chunks=(512, 512), dtype=np.uint32)
    stored[3000:3300, 3000:3020] = 9
    read = []

    def part(box):
        read.append(box)
        return stored[box.slices]

    plane = Plane(part, stored.shape)
    edit = object_edits.split(plane, stroke((3100, 2990), (3100, 3030)), 10)
    assert set(np.unique(edit.labels)) == {9, 10}
    assert max(max(box.shape) for box in read) < 1100
    stored[:, 100:104] = 5
    with pytest.raises(AnnotationError, match="too large"):
        object_edits.delete(plane, (3000, 101))


def test_missed_objects_are_proposed_from_the_probabilities():
    shape = (150, 170)
    y, x = np.mgrid[:150, :170]
    faint = 0.4 / (1 + np.exp((np.hypot(y - 60, x - 70) - 14) / 1.5))
    bright = 0.95 / (1 + np.exp((np.hypot(y - 60, x - 110) - 14) / 1.5))
    chances = np.maximum(faint, bright).astype(np.float16)
    labels = disk(shape, 60, 110, 18)
    whole = Box.whole(shape)
    found = level_sets.propose(chances, ~labels, (62, 67), whole)
    mask, truth = found.mask(found.best), disk(shape, 60, 70, 14)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    assert not (mask & labels).any()
    areas = [found.mask(k).sum() for k in range(len(found.levels))]
    assert areas == sorted(set(areas))
    assert found.mask(0).sum() < truth.sum() < found.mask(len(areas) - 1).sum()
    for small, large in zip(range(len(areas) - 1), range(1, len(areas)), strict=True):
        assert not (found.mask(small) & ~found.mask(large)).any()
    assert level_sets.propose(chances, ~labels, (140, 10), whole) is None


def test_a_cut_parts_nothing_that_touches_at_corners():
    # Two squares joined at a corner are one object; a nick in one of them divides nothing.
    labels = np.zeros((40, 40), np.uint16)
    labels[5:15, 5:15] = labels[15:25, 15:25] = 1
    with pytest.raises(AnnotationError, match="divides no object"):
        object_edits.split(Plane.of(labels), stroke((3, 6), (5, 6), (3, 8)), 9)
    # A diagonal line divides, although pixels on either side touch at corners.
    labels[5:25, 5:25] = 1
    for fresh in (9, None):
        new = applied(labels, object_edits.split(Plane.of(labels), stroke((3, 3), (26, 26)), fresh))
        assert {int(new[20, 8]), int(new[8, 20])} == ({1, 9} if fresh else {1})
        one, other = (object_edits.object_at(Plane.of(new), p) for p in ((20, 8), (8, 20)))
        assert not (one.within(Box(0, 0, 40, 40)) & other.within(Box(0, 0, 40, 40))).any()


def test_a_border_at_the_side_of_the_image_is_redrawn_up_to_the_side():
    labels = np.zeros((40, 60), np.uint16)
    labels[:30, 10:50] = 4
    new = applied(
        labels, object_edits.redraw(Plane.of(labels), stroke((1, 38), (15, 38), (28, 38)))
    )
    assert not new[:30, 40:].any()
    assert (new[:30, 10:38] == 4).all()


def test_what_cannot_be_done_says_why():
    labels = np.zeros((30, 6000), np.uint16)
    labels[10:20, 10:20], labels[10:20, 30:40], labels[:, 24:26] = 1, 2, 3
    labels[10:20, 5000:5010], labels[2:4, 100:102] = 5, 6
    plane = Plane.of(labels)
    for edit, points, words in (
        (object_edits.merge, ((15, 15), (15, 35)), "lies between"),
        (object_edits.merge, ((15, 15), (15, 5005)), "too far"),
        (object_edits.redraw, ((15, 15), (15, 5005)), "too far"),
        (object_edits.split, ((1, 101), (5, 101)), "too small"),
    ):
        with pytest.raises(AnnotationError, match=words):
            edit(plane, stroke(*points))
