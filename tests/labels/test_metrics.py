import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage as ndi
from scipy.optimize import linear_sum_assignment

from napari_seglite.labels import instance_scores, mask_scores, overlap, overlap_per_class


def squares(*corners, size=4, shape=(20, 20)):
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + size, x : x + size] = number
    return labels


def test_masks_by_hand():
    truth, found = squares((2, 2)), squares((2, 3))
    scores = mask_scores(found, truth)
    assert scores.dice == scores.sensitivity == scores.precision == pytest.approx(12 / 16)
    assert scores.iou == pytest.approx(12 / 20)
    # The border of a 4 x 4 square has 12 pixels; shifted by one, 4 of them lie 1 away on either
    # side: at the far edge, and at the corners of the near edge only 2 are still on a border.
    assert scores.hausdorff95 == 1.0
    assert 0 < scores.surface_distance < 1


def test_distances_agree_with_all_pairs_of_border_pixels():
    rng = np.random.default_rng(0)
    spacing = (2.0, 0.5)
    for _ in range(5):
        masks = [ndi.binary_opening(rng.random((24, 30)) > 0.4, iterations=1) for _ in range(2)]
        borders = [np.argwhere(m & ~ndi.binary_erosion(m)) * spacing for m in masks]
        apart = np.linalg.norm(borders[0][:, None] - borders[1][None], axis=-1)
        there, back = apart.min(1), apart.min(0)
        scores = mask_scores(*masks, spacing)
        expected = max(np.percentile(there, 95), np.percentile(back, 95))
        assert scores.hausdorff95 == pytest.approx(expected, rel=0.02)
        mean = (there.sum() + back.sum()) / (there.size + back.size)
        assert scores.surface_distance == pytest.approx(mean, rel=1e-4)


def test_empty_masks():
    empty, full = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    scores = mask_scores(empty, empty)
    assert (scores.dice, scores.hausdorff95, scores.surface_distance) == (1, 0, 0)
    assert math.isnan(scores.sensitivity)
    scores = mask_scores(empty, full)
    assert (scores.dice, scores.sensitivity, scores.hausdorff95) == (0, 0, math.inf)


def test_instances_by_hand():
    truth = squares((0, 0), (0, 10), (10, 0))
    found = squares((0, 0), (0, 11), (15, 15))  # IoU 1, 12/20 and 0
    scores = instance_scores(found, truth)
    assert (scores.reference, scores.predicted) == (3, 3)
    assert scores.f1 == {
        0.5: pytest.approx(4 / 6),
        0.6: pytest.approx(4 / 6),
        0.7: pytest.approx(2 / 6),
        0.8: pytest.approx(2 / 6),
        0.9: pytest.approx(2 / 6),
    }
    assert scores.ap50 == pytest.approx(2 / 4)
    assert scores.aji == pytest.approx((16 + 12) / (16 + 20 + 16 + 16))


def test_numbers_of_objects_do_not_matter():
    truth = squares((0, 0), (0, 10), (10, 0))
    shuffled = np.array([0, 900, 7, 31])[truth]
    scores = instance_scores(shuffled, truth)
    assert scores.aji == scores.ap50 == 1
    assert set(scores.f1.values()) == {1.0}
    assert instance_scores(truth * 0, truth).aji == 0
    assert instance_scores(truth * 0, truth * 0).f1[0.5] == 1


def dense_scores(found, truth, threshold):
    """Return F1 and AJI from a dense table of all pairs, matched by the Hungarian method."""
    rows, columns = (np.unique(m[m > 0]) for m in (truth, found))
    shared = np.array([[((truth == r) & (found == c)).sum() for c in columns] for r in rows])
    shared = shared.reshape(len(rows), len(columns))
    areas, others = (np.array([(m == n).sum() for n in each]) for m, each in
                     ((truth, rows), (found, columns)))  # fmt: skip
    union = areas[:, None] + others[None] - shared
    iou = shared / np.maximum(union, 1)
    good = iou >= threshold
    pairs = linear_sum_assignment(good, maximize=True)
    objects = len(rows) + len(columns)
    f1 = 2 * int(good[pairs].sum()) / objects if objects else 1.0
    if not rows.size or not columns.size:
        return f1, float(objects == 0)
    best = iou.argmax(1)
    each = np.arange(len(rows))
    hit = shared[each, best] > 0
    added = np.setdiff1d(np.arange(len(columns)), best[hit])
    total = union[each, best][hit].sum() + areas[~hit].sum() + others[added].sum()
    return f1, shared[each, best][hit].sum() / total


@given(
    arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 5), st.integers(1, 6)),
           elements=st.integers(0, 5)),
    st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_matching_is_the_best_there_is(pair, repeat):
    """Of all ways to pair objects one to one, none has more matches, ties of IoU included."""
    found, truth = np.repeat(pair.astype(np.int64), repeat, axis=2) * 5_000_000_000
    thresholds = (0, 0.1, 0.25, 1 / 3, 0.5, 0.6, 0.75, 1)
    scores = instance_scores(found, truth, thresholds)
    for threshold in thresholds:
        assert (scores.f1[threshold], scores.aji) == dense_scores(found, truth, threshold)


def test_one_object_split_into_halves_matches_once():
    truth, found = np.ones((2, 4), int), np.array([[1, 1, 2, 2]] * 2)  # twice IoU 0.5
    assert instance_scores(found, truth).ap50 == 1 / 2
    assert instance_scores(truth, found).ap50 == 1 / 2


def test_very_many_objects_are_compared():
    # A table of all pairs would take 80 GB.
    numbers = np.arange(1, 100_001, dtype=np.uint32).reshape(250, 400)
    truth = np.kron(numbers, np.array([[1, 1, 1, 0], [0, 0, 0, 0]], np.uint32))
    found = np.roll(truth, 1, axis=1)  # IoU 2 / 4
    scores = instance_scores(found, truth)
    assert (scores.reference, scores.predicted) == (100_000, 100_000)
    assert (scores.ap50, scores.f1[0.6], scores.aji) == (1, 0, 0.5)


def test_unlabelled_pixels_count_in_no_score():
    truth, found = squares((2, 2), (2, 12), (12, 2)), squares((2, 3), (2, 12), (12, 12))
    open_truth = truth.copy()
    open_truth[:, 10:] = -1  # without the second object, and what the prediction has there
    open_truth[12:16, 2:6] = -2
    left = (slice(0, 12), slice(0, 10))
    for score in (mask_scores, instance_scores, overlap, overlap_per_class):
        expected = score(found[left], truth[left])
        assert score(found, open_truth) == expected
        assert score(found.astype(np.uint16), open_truth.astype(np.int8)) == expected
        assert score(found > 0, open_truth) == score(found[left] > 0, truth[left])
        # A negative prediction is background.
        assert score(np.where(found > 0, found, -1), open_truth) == expected


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="cannot be compared"):
        instance_scores(np.zeros((3, 3), int), np.zeros((3, 4), int))
    with pytest.raises(ValueError, match="cannot be compared"):
        mask_scores(np.zeros((3, 3), int), np.zeros((3, 4), int))
