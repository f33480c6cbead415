"""The table of scores and the map of errors."""

import numpy as np
import pytest

from napari_seglite.errors import AnnotationError, Cancelled
from napari_seglite.labels import ADDED, MISSED, OTHER_CLASS, evaluate, instance_scores, mask_scores


@pytest.fixture
def pair():
    """Return labels with two classes and their reference, (3, 30, 40)."""
    reference = np.zeros((3, 30, 40), np.uint8)
    reference[:, 5:15, 5:15] = 1
    reference[1, 18:28, 20:35] = 2
    predicted = np.roll(reference, 2, axis=2)
    predicted[2] = 0
    return predicted, reference


def run(*args, **options):
    *_, (_, last) = evaluate(*args, **options)
    return last


def test_rows_for_all_every_class_and_every_slice(pair):
    spacing = (2.0, 0.5, 0.25)
    result = run(*pair, spacing=spacing, classes=True, slices=True)
    assert list(result.rows) == ["all", "class 1", "class 2", "slice 0", "slice 1", "slice 2"]
    predicted, reference = pair
    assert result.rows["all"] == mask_scores(predicted, reference, spacing).as_dict()
    assert result.rows["class 2"] == mask_scores(predicted == 2, reference == 2, spacing).as_dict()
    assert result.rows["slice 1"] == mask_scores(predicted[1], reference[1], spacing[1:]).as_dict()
    assert result.rows["slice 0"]["hausdorff95"] == pytest.approx(0.5)  # two pixels of 0.25
    assert result.rows["slice 2"]["dice"] == 0
    table = result.table()
    assert table.loc["class 1", "dice"] == result.rows["class 1"]["dice"]


def test_objects_are_scored_where_labels_are_objects(pair):
    predicted, reference = pair
    result = run(predicted, reference, objects=True, slices=True)
    expected = instance_scores(predicted[1], reference[1]).as_dict()
    assert {k: result.rows["slice 1"][k] for k in expected} == expected
    assert "aji" in result.rows["all"]


def test_errors_say_what_is_wrong(pair):
    predicted, reference = pair
    predicted[1, 20, 25] = 1
    errors = run(predicted, reference, classes=True).errors
    assert errors.dtype == np.uint8
    np.testing.assert_array_equal(errors == MISSED, (predicted == 0) & (reference > 0))
    np.testing.assert_array_equal(errors == ADDED, (predicted > 0) & (reference == 0))
    assert (errors == OTHER_CLASS).sum() == 1
    assert run(predicted, reference).errors.max() == ADDED


def test_a_series_of_stacks_gets_the_mean_over_time(pair):
    predicted, reference = pair
    series = run(np.stack([predicted, reference]), np.stack([reference, reference]))
    alone = run(predicted, reference)
    assert series.rows["all"]["dice"] == pytest.approx((alone.rows["all"]["dice"] + 1) / 2)


def test_other_shapes_and_a_stop_are_said(pair):
    predicted, reference = pair
    with pytest.raises(AnnotationError, match="one size"):
        run(predicted[:2], reference)
    with pytest.raises(Cancelled):
        run(predicted, reference, stop=lambda: True)


@pytest.mark.parametrize("axes", ["TYX", "YXT", "TZYX", "ZTYX"])
def test_time_is_no_distance_and_no_depth_of_objects(axes):
    order = [axis for axis in "TZYX" if axis in axes]
    sizes = {"T": 3, "Z": 4, "Y": 20, "X": 24}
    truth = np.zeros([sizes[axis] for axis in order], np.uint8)
    truth[..., 4:12, 4:12] = 1
    truth[2, ..., 4:12, 14:20] = 2
    found = np.roll(truth, 3, axis=-1)
    found[1] = truth[1]
    spacing = {"T": 60.0, "Z": 2.0, "Y": 0.5, "X": 0.25}
    space = [spacing[axis] for axis in order[1:]]
    each = [
        mask_scores(a, b, space).as_dict() | instance_scores(a, b).as_dict()
        for a, b in zip(found, truth, strict=True)
    ]
    turn = [order.index(axis) for axis in axes]
    result = run(
        found.transpose(turn),
        truth.transpose(turn),
        spacing=[spacing[axis] for axis in axes],
        objects=True,
        axes=axes,
        slices=True,
    )
    expected = {name: np.mean([scores[name] for scores in each]) for name in each[0]}
    assert result.rows["all"] == pytest.approx(expected)
    assert result.errors.shape == found.transpose(turn).shape
    stack = truth.shape[:-2]
    assert len(result.rows) == 1 + np.prod(stack)
    last = result.rows["slice " + ", ".join(str(n - 1) for n in stack)]
    assert last["hausdorff95"] == mask_scores(found[-1], truth[-1], space).hausdorff95


def test_masks_and_unlabelled_pixels_are_understood(pair):
    _, reference = pair
    white = np.where(reference > 0, 255, 0).astype(np.uint8)  # two parts in the middle slice
    result = run(reference, white, objects=True)
    assert result.rows["all"]["ap50"] == 1
    assert result.notices == (
        "The reference: it holds one value only, 255, so its 2 connected parts are objects.",
    )
    ones = np.minimum(reference, 1)
    result = run(ones, white, classes=True)
    assert result.rows["class 1"]["dice"] == 1
    assert "255 counts as class 1" in result.notices[0]
    assert run(ones, ones * 255, classes=False).notices == ()
    open_truth = np.where(reference == 2, -1, reference.astype(np.int16))
    result = run(reference, open_truth, classes=True)
    assert list(result.rows) == ["all", "class 1"]
    assert result.rows["all"]["dice"] == 1
    assert not result.errors.any()
    open_truth[0] = -1
    result = run(reference, open_truth, slices=True)
    assert list(result.rows) == ["all", "slice 1", "slice 2"]
    film = run(reference, open_truth, axes="TYX").rows["all"]
    assert film == run(reference[1:], open_truth[1:], axes="TYX").rows["all"]
