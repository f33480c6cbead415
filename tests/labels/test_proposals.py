"""The confidence of objects, splits and merges that are proposed, and expected quality."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.draw import disk

from napari_seglite.images import Box
from napari_seglite.labels import Calibration, SoftDice, object_confidence, propose, worst


def cells(joined=True, cut=True):
    """Return labels of 12 round cells, two of them perhaps one object, and one cut in two."""
    labels = np.zeros((120, 160), np.uint16)
    for number in range(12):
        y, x = divmod(number, 4)
        labels[disk((20 + 40 * y, 20 + 40 * x), 12, shape=labels.shape)] = number + 10
    if joined:
        labels[labels == 11] = 10
        labels[17:23, 20:60][labels[17:23, 20:60] == 0] = 10
    if cut:
        labels[90:, 20:][labels[90:, 20:] == 18] = 300
    return labels


def last(labels, *evidence):
    *_, found = propose(labels, *evidence)
    return found


def test_least_confident_objects_come_first():
    labels = cells(cut=False)
    probability = gaussian_filter((labels > 0).astype(np.float32), 0.5)
    blurred = gaussian_filter(probability, 4)
    unsure = labels == 21
    around = np.s_[88:, 128:]
    probability[around] = blurred[around]  # the network is unsure of the last object
    found = object_confidence(labels, probability)
    assert len(found) == len(np.unique(labels)) - 1
    first, second = found[:2]
    assert {first.label, second.label} == {10, 21}
    large = next(each for each in found if each.label == 10)
    assert large.odd
    assert large.box == Box(9, 9, 32, 72)
    assert large.size == (labels == 10).sum()
    vague = next(each for each in found if each.label == 21)
    assert not vague.odd
    assert vague.border < 0.6 < found[-1].border
    assert vague.quality == pytest.approx(
        2 * probability[unsure].mean() / (1 + probability[unsure].mean())
    )
    # Without probabilities, shape alone; without objects, nothing.
    assert object_confidence(labels)[0].label == 10
    assert object_confidence(np.zeros((9, 9), int), np.zeros((9, 9))) == []
    # A head that sees a border between two objects makes it certain.
    halves = np.repeat([[1, 2]], 10, 0).repeat(10, 1)
    ones = np.ones(halves.shape, np.float32)
    inside = ones * (
        1 - ((np.indices(halves.shape)[1] // 2) == 4) - ((np.indices(halves.shape)[1] // 2) == 5)
    )
    assert object_confidence(halves, ones)[0].border < 0.1
    assert object_confidence(halves, ones, inside)[0].border > 0.9


def test_splits_and_merges_are_proposed_and_done():
    labels = cells()
    probability = gaussian_filter((labels > 0).astype(np.float32), 1)
    found = {each.kind: each for each in last(labels, probability)}
    assert set(found) == {"split", "merge"}
    split, merge = found["split"], found["merge"]
    assert (split.label, {merge.label, merge.other}) == (10, {18, 300})
    after = split.applied(labels, 500)
    assert set(np.unique(after)) == {*np.unique(labels), 500}
    assert (after[disk((20, 20), 9)] == after[20, 20]).all()
    assert (after[disk((20, 60), 9)] == after[20, 60]).all()
    assert {after[20, 20], after[20, 60]} == {10, 500}
    others = labels != 10
    np.testing.assert_array_equal(after[others], labels[others])
    assert not split.fits(after)
    after = merge.applied(labels, 500)
    assert len(set(after[disk((100, 20), 12)])) == 1
    others = ~np.isin(labels, (18, 300))
    np.testing.assert_array_equal(after[others], labels[others])
    # Cells as they should be are left alone, by their shape too.
    for evidence in ((), (probability,)):
        assert last(cells(joined=False, cut=False), *evidence) == []
    assert {each.kind for each in last(labels)} == {"split", "merge"}
    # A border that the network sees is right.
    seen = probability.copy()
    seen[89:91, 20:] = 0.2
    seen[88:100, 18:23] = 0.2
    seen[labels == 300] = np.minimum(seen[labels == 300], 0.3)
    assert {each.kind for each in last(labels, seen)} == {"split"}
    assert last(np.zeros((9, 9), np.uint8)) == []
    moved = split.moved(5, 7)
    assert moved.box == Box(14, 16, 37, 79)


def test_expected_quality_follows_the_probabilities_and_what_was_accepted():
    rng = np.random.default_rng(0)
    probability = gaussian_filter(rng.random((200, 200)), 4)
    probability = (probability - probability.min()) / np.ptp(probability)
    truth = rng.random(probability.shape) < probability
    soft = SoftDice()
    for half in (np.s_[:100], np.s_[100:]):  # block by block
        soft.add(probability[half] > 0.5, probability[half])
    mask = probability > 0.5
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert soft.value == pytest.approx(dice, abs=0.01)
    assert SoftDice().value == 1

    assert Calibration()(0.9) == 0.9
    calibration = Calibration((0.95, 0.93, 0.94), (0.75, 0.73, 0.74))
    assert calibration(0.95) == pytest.approx(0.75, abs=0.01)
    assert calibration(0.85) == pytest.approx(0.65, abs=0.01)
    steep = Calibration((0.9, 0.8, 0.7), (0.9, 0.7, 0.5))
    assert 0.35 < steep(0.6) < 0.5
    assert steep(0) == 0
    assert worst({"a": 0.9, "b": 0.2, "c": 0.8}) == ["b"]
    assert worst({k: -k for k in range(20)}) == [19, 18]
