"""The table of scores and the map of errors."""

import numpy as np
import pytest

from napari_seglite.errors import AnnotationError, Cancelled
from napari_seglite.labels import ADDED, MISSED, OTHER_CLASS, evaluate, instance_scores, mask_scores


@pytest.fixture
def pair():
    """Return labels with two classes and their reference, (3, 30, 40)."""
    truth = np.zeros((3, 30, 40), np.uint8)
    truth[:, 5:15, 5:15] = 1
    truth[1, 18:28, 20:35] = 2
    found = np.roll(truth, 2, axis=2)
    found[2] = 0
    return found, truth


def run(*args, **options):
    *_, (_, last) = evaluate(*args, **options)
    return last


def test_rows_for_all_every_class_and_every_slice(pair):
    spacing = (2.0, 0.5, 0.25)
    result = run(*pair, spacing=spacing, classes=True, slices=True)
    assert list(result.rows) == ["all", "class 1", "class 2", "slice 0", "slice 1", "slice 2"]
    found, truth = pair
    assert result.rows["all"] == mask_scores(found, truth, spacing).as_dict()
    assert result.rows["class 2"] == mask_scores(found == 2, truth == 2, spacing).as_dict()
    assert result.rows["slice 1"] == mask_scores(found[1], truth[1], spacing[1:]).as_dict()
    assert result.rows["slice 0"]["hausdorff95"] == pytest.approx(0.5)  # two pixels of 0.25
    assert result.rows["slice 2"]["dice"] == 0
    table = result.table()
    assert table.loc["class 1", "dice"] == result.rows["class 1"]["dice"]


def test_objects_are_scored_where_labels_are_objects(pair):
    found, truth = pair
    result = run(found, truth, objects=True, slices=True)
    expected = instance_scores(found[1], truth[1]).as_dict()
    assert {k: result.rows["slice 1"][k] for k in expected} == expected
    assert "aji" in result.rows["all"]


def test_errors_say_what_is_wrong(pair):
    found, truth = pair
    found[1, 20, 25] = 1
    errors = run(found, truth, classes=True).errors
    assert errors.dtype == np.uint8
    np.testing.assert_array_equal(errors == MISSED, (found == 0) & (truth > 0))
    np.testing.assert_array_equal(errors == ADDED, (found > 0) & (truth == 0))
    assert (errors == OTHER_CLASS).sum() == 1
    assert run(found, truth).errors.max() == ADDED


def test_a_series_of_stacks_gets_the_mean_over_time(pair):
    found, truth = pair
    series = run(np.stack([found, truth]), np.stack([truth, truth]))
    alone = run(found, truth)
    assert series.rows["all"]["dice"] == pytest.approx((alone.rows["all"]["dice"] + 1) / 2)


def test_other_shapes_and_a_stop_are_said(pair):
    found, truth = pair
    with pytest.raises(AnnotationError, match="one size"):
        run(found[:2], truth)
    with pytest.raises(Cancelled):
        run(found, truth, stop=lambda: True)
