"""Labels of simple shapes, merging of labels, and overlap, each against a known result."""

import numpy as np
import pytest
from whole import to_labels

from napari_seglite.labels import insert_labels, keep_edits, overlap, overlap_per_class


def discs(*centres, radius=9, shape=(60, 90)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for cy, cx in centres:
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    return mask.astype(np.float32)


def test_touching_objects_are_separated():
    probabilities = discs((30, 20), (30, 36), (30, 70))[None, None]
    labels = to_labels(probabilities, 0.5, 0, "instances", False)[0]
    assert labels.dtype == np.uint16
    assert labels.max() == 3
    assert len({labels[30, 20], labels[30, 36], labels[30, 70]}) == 3
    np.testing.assert_array_equal(labels > 0, probabilities[0, 0] > 0.5)


def test_long_objects_stay_whole():
    y, x = np.mgrid[:80, :160]
    for angle in np.linspace(0, np.pi, 7):
        along = (x - 80) * np.cos(angle) + (y - 40) * np.sin(angle)
        across = (x - 80) * np.sin(angle) - (y - 40) * np.cos(angle)
        ellipse = ((along / 35) ** 2 + (across / 9) ** 2 < 1).astype(np.float32)
        assert to_labels(ellipse[None, None], 0.5, 0, "instances", False).max() == 1


def test_objects_keep_one_id_through_a_volume_and_new_ones_in_time():
    frames = np.stack([discs((30, 20)), discs((30, 21)), discs((30, 22))])[:, None]
    assert len(np.unique(to_labels(frames, 0.5, 0, "instances", True))) == 2
    assert len(np.unique(to_labels(frames, 0.5, 0, "instances", False))) == 4


@pytest.mark.parametrize("output", ["semantic", "instances"])
def test_small_objects_go(output):
    probabilities = (discs((30, 20)) + discs((10, 70), radius=3))[None, None]
    labels = to_labels(probabilities, 0.5, 60, output, False)[0]
    assert labels[30, 20] == 1
    assert labels[10, 70] == 0


def test_classes_are_chosen_among_the_foreground():
    probabilities = np.array([0.3, 0.5, 0.2], np.float32).reshape(1, 3, 1, 1)
    assert to_labels(probabilities, 0.5, 0, "semantic", False).item() == 1
    assert to_labels(probabilities, 0.8, 0, "semantic", False).item() == 0


def test_hand_edits_survive_a_new_threshold():
    fresh = np.array([[1, 1, 0, 2]], np.uint16)
    edited = np.array([[7, 0, 7, 2]], np.uint16)
    touched = np.array([[True, True, True, False]])
    np.testing.assert_array_equal(keep_edits(edited, touched, fresh), [[3, 0, 3, 2]])
    mask = keep_edits(
        np.array([[0, 1]], np.uint8), np.array([[True, True]]), np.array([[1, 0]], np.uint8)
    )
    np.testing.assert_array_equal(mask, [[0, 1]])


def test_one_slice_goes_into_a_stack_with_ids_of_its_own():
    existing = np.array([[[5, 0]], [[9, 9]]], np.uint16)
    fresh = np.array([[[0, 0]], [[1, 0]]], np.uint16)
    taken = np.array([[[False, False]], [[True, True]]])
    np.testing.assert_array_equal(insert_labels(existing, fresh, taken), [[[5, 0]], [[6, 0]]])


def test_an_object_that_goes_on_in_what_stays_keeps_its_id():
    existing = np.array([[9, 9, 9, 0, 4, 4, 0, 7]], np.uint16)
    fresh = np.array([[2, 2, 2, 2, 1, 1, 1, 3]], np.uint16)
    where = np.array([[False, False, True, True, True, False, False, True]])
    merged = insert_labels(existing, fresh, where)
    # 2 is 9, and 1 is 4; 3 lies outside of what stays and gets a number above all of that.
    assert merged.tolist() == [[9, 9, 9, 9, 4, 4, 0, 12]]
    # Of two new objects in one old one, the larger overlap goes on.
    existing = np.array([[5, 5, 5, 5, 0, 0]], np.uint8)
    fresh = np.array([[1, 1, 1, 2, 2, 1]], np.uint16)
    where = np.array([[False, False, False, False, True, True]])
    assert insert_labels(existing, fresh, where).tolist() == [[5, 5, 5, 5, 7, 5]]


def test_overlap_by_hand():
    a, b = np.array([1, 1, 0, 0]), np.array([3, 0, 3, 0])
    assert (overlap(a, b).dice, overlap(a, b).iou) == (0.5, 1 / 3)
    assert overlap(a * 0, b * 0).dice == 1
    assert overlap(a, b * 0).dice == 0
    assert overlap_per_class(np.array([1, 2, 2]), np.array([1, 1, 2])).dice == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="cannot be compared"):
        overlap(a, b[:2])
