import itertools
import math

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_seglite.labels import instance_scores, mask_scores


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


def test_matching_is_the_best_there_is():
    """Of all ways to pair objects one to one, none has more matches."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        truth, found = (rng.integers(0, 4, (4, 5)) for _ in range(2))
        scores = instance_scores(found, truth, thresholds=(0.2,))
        rows, columns = (np.unique(m[m > 0]) for m in (truth, found))

        def iou(r, c, truth=truth, found=found):
            return ((truth == r) & (found == c)).sum() / ((truth == r) | (found == c)).sum()

        good = np.array([[iou(r, c) >= 0.2 for c in columns] for r in rows])
        if good.shape[0] > good.shape[1]:
            good = good.T
        best = max(
            sum(good[k, c] for k, c in enumerate(order))
            for order in itertools.permutations(range(good.shape[1]), good.shape[0])
        )
        assert scores.f1[0.2] == pytest.approx(2 * best / (len(rows) + len(columns)))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="cannot be compared"):
        instance_scores(np.zeros((3, 3), int), np.zeros((3, 4), int))
    with pytest.raises(ValueError, match="cannot be compared"):
        mask_scores(np.zeros((3, 3), int), np.zeros((3, 4), int))
