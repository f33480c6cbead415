"""The objects of frames are joined where they overlap, with ids that nothing else uses."""

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_seglite import SegmentRequest
from napari_seglite.errors import SegliteError
from napari_seglite.images import Grid, ImageAxes, LabelFrames, chunked
from napari_seglite.inference import slice_spacing
from napari_seglite.inference.stacks import StackPlan
from napari_seglite.labels import Counts, Foreground, instance_scores, label_frames
from napari_seglite.labels.joining import FrameJoiner, JoinRule, dominant_pairs

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from stack_objects import objects_of, touching_spheroids

SIDE, JOIN = 24, JoinRule()


def squares(*frames):
    """Return labels with a number for every square, given by its corners, counted through."""
    labels, number = np.zeros((len(frames), SIDE, SIDE), np.uint32), 0
    for plane, boxes in zip(labels, frames, strict=True):
        for top, left, bottom, right in boxes:
            number += 1
            plane[top:bottom, left:right] = number
    return labels, number


def joined(labels, count, rule=JOIN, layers=None, min_size=0):
    """Return joined labels and their counts."""
    labels = labels.copy()
    target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
    joiner = FrameJoiner(target, labels.shape[1:], len(labels), count)
    joiner.join([layers or [[k] for k in range(len(labels))]], rule)
    joiner.drop_small(min_size)
    return labels, joiner.write()


def ids(labels):
    """Return the numbers in every frame, sorted."""
    return [sorted(set(plane[plane > 0].tolist())) for plane in labels]


def test_overlap_joins_and_what_is_left_begins():
    a, b = (2, 2, 8, 8), (12, 12, 18, 18)
    labels, counts = joined(*squares([a, b], [(12, 13, 18, 19), a], [b]))
    assert ids(labels) == [[1, 2], [1, 2], [2]]
    assert labels[1, 14, 14] == 2
    assert counts == Counts(5 * 36, 2)
    assert labels.dtype == np.uint32
    # Half of the smaller one overlaps.
    pair = squares([(0, 0, 4, 4)], [(0, 2, 4, 10)])
    assert ids(joined(*pair, JoinRule(0.5))[0]) == [[1], [1]]
    assert ids(joined(*pair, JoinRule(0.51))[0]) == [[1], [2]]
    # Small objects are those that stay small.
    labels, counts = joined(*squares([a], [a], [(0, 20, 4, 24)]), min_size=37)
    assert ids(labels) == [[1], [1], []]
    assert counts == Counts(72, 1)


def test_one_link_to_either_side():
    whole, left, right = (4, 4, 12, 20), (4, 4, 12, 13), (4, 13, 12, 20)
    # A split: both halves lie in the whole, and more pixels decide.
    labels, _ = joined(*squares([whole], [right, left]))
    assert labels[1, 6, 6] == labels[0, 6, 6] == 1
    assert labels[1, 6, 18] == 2
    # A merge: the whole goes on with the larger half, and the other one ends.
    labels, _ = joined(*squares([right, left], [whole], [whole]))
    assert labels[1, 6, 6] == labels[2, 6, 6] == labels[0, 6, 6] == 2
    assert ids(labels) == [[1, 2], [2], [2]]
    # A tie goes to the lower number, and the second best link is not lost.
    labels, _ = joined(*squares([whole], [(4, 4, 12, 12), (4, 12, 12, 20)]))
    assert labels[1, 6, 6] == 1
    pairs = np.array([[1, 5], [2, 5], [1, 6], [2, 7]]).T  # the best first
    np.testing.assert_array_equal(dominant_pairs(*pairs), [0, 3])


def test_a_gap_is_bridged_only_if_asked():
    a, b = (2, 2, 8, 8), (12, 12, 18, 18)
    broken = squares([a, b], [b], [a, b])
    assert ids(joined(*broken)[0]) == [[1, 2], [2], [2, 3]]
    labels, _ = joined(*broken, JoinRule(largest_gap=1))
    assert ids(labels) == [[1, 2], [2], [1, 2]]
    assert not labels[1, 2:8, 2:8].any()
    # What was continued is not joined across a gap as well.
    labels, _ = joined(*squares([a], [(2, 2, 5, 8)], [(5, 2, 8, 8)]), JoinRule(largest_gap=1))
    assert ids(labels) == [[1], [1], [2]]


def test_objects_on_top_of_each_other_are_cut_at_their_waist():
    sizes = [9, 5, 3, 8, 9]
    stack = squares(*[[(0, 0, n, n)] for n in sizes])
    assert ids(joined(*stack)[0]) == [[1]] * 5
    assert ids(joined(*stack, JoinRule(waist=0.5))[0]) == [[1], [1], [2], [2], [2]]
    assert ids(joined(*stack, JoinRule(waist=0.1))[0]) == [[1]] * 5


def test_volumes_keep_their_ids_over_time():
    """Two time points of two slices; an object moves, another one is new."""
    a, near, other = (2, 2, 8, 8), (4, 4, 10, 10), (14, 14, 20, 20)
    labels = squares([a], [a], [other, near], [near])[0]
    labels[1] = np.where(labels[1], 1, 0)  # as one object of a volume
    labels[3] = np.where(labels[3], 4, 0)
    found, counts = joined(labels, 5, layers=[[0, 1], [2, 3]])
    assert ids(found) == [[1], [1], [1, 2], [1]]
    assert found[2, 16, 16] == 2
    assert counts.objects == 2


@pytest.mark.parametrize("order", ["TZYX", "ZTYX"])
@pytest.mark.parametrize("way", ["volume", "joined", "slices"])
def test_a_series_of_stacks(order, way):
    """An object in all slices of all time points, next to one in the first alone."""
    mask = np.zeros((3, 4, SIDE, SIDE), np.float16)  # T, Z
    mask[:, :, 2:10, 2:10] = 1
    mask[0, :, 14:20, 14:20] = 1
    shape = mask.shape if order == "TZYX" else (4, 3, SIDE, SIDE)
    frames = mask if order == "TZYX" else mask.swapaxes(0, 1)
    axes = ImageAxes(order)
    for keep in (False, True):
        labels = np.zeros(shape, np.uint32)
        target = LabelFrames(labels, axes, shape)
        request = SegmentRequest(
            "any", order, output="instances", stack_objects=way, time_objects=keep, min_size=40
        )
        plan = StackPlan.of(request, shape)
        smallest = 40 if plan.min_size is None else plan.min_size
        values = Foreground(frames.reshape(12, 1, SIDE, SIDE), 0.5)
        counts = label_frames(values, plan.groups, target, smallest, "instances")
        counts = plan.joined(target, (SIDE, SIDE), counts)
        found = labels if order == "TZYX" else labels.swapaxes(0, 1)
        large = found[:, :, 4, 4]
        # In slices, the object of 36 pixels is too small; in a volume it has 144.
        small = found[0, :, 16, 16]
        assert len(np.unique(large)) == (4 if way == "slices" else 1) * (1 if keep else 3)
        assert len(np.unique(large[0])) == (4 if way == "slices" else 1)
        assert small.any() == (way != "slices")
        assert counts.objects == len(np.unique(labels)) - 1 == labels.max()
        assert not set(small[small > 0].tolist()) & set(large.ravel().tolist())


def test_touching_spheroids_between_distant_slices(monkeypatch):
    truth = touching_spheroids((12, 90, 100), 5, 30, (8, 13))
    mask = truth > 0
    scores = {
        (way, spacing): instance_scores(objects_of(mask, way, spacing, 10), truth).ap50
        for way, spacing in (("volume", 1), ("volume", 5), ("joined", 5), ("slices", 5))
    }
    assert scores["volume", 5] > 0.95
    assert scores["joined", 5] > 0.9
    assert scores["volume", 1] < 0.8
    assert scores["slices", 5] < 0.2
    whole = {way: objects_of(mask, way, 5, 10) for way in ("volume", "joined")}
    for name, value in {"CHUNK": 16, "DEPTH": 2, "BLOCK_PIXELS": 600}.items():
        monkeypatch.setattr(chunked, name, value)
    for way, expected in whole.items():
        np.testing.assert_array_equal(objects_of(mask, way, 5, 10), expected)


def test_two_frames_in_memory(tmp_path):
    frames, side = 40, 512
    labels = zarr.create_array(
        tmp_path / "labels", shape=(frames, side, side), dtype=np.uint32, chunks=(1, side, side)
    )
    tile = np.zeros((16, 16), bool)
    tile[2:14, 2:14] = True
    numbers = np.kron(np.arange(1, 1025).reshape(32, 32), np.ones((16, 16), int))
    for k in range(frames):
        labels[k] = np.where(np.tile(tile, (32, 32)), numbers + 1024 * k, 0)
    target = LabelFrames(labels, ImageAxes("ZYX"), labels.shape)
    tracemalloc.start()
    joiner = FrameJoiner(target, (side, side), frames, 1024 * frames)
    joiner.join([[[k] for k in range(frames)]], JoinRule(waist=0.5))
    counts = joiner.write()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts == Counts(1024 * 144 * frames, 1024)
    assert int(labels[0].max()) == int(labels[-1].max()) == 1024
    assert peak < 0.5 * labels.nbytes


def test_the_way_through_a_stack_follows_its_spacing():
    def of(axes, spacing, units=("um",) * 3):
        return slice_spacing(Grid(axes, spacing, units))

    assert of("ZYX", (2, 0.5, 0.5)) == 4
    assert of("ZYX", (2, 0.5, 0.5), ("pixel", "um", "um")) == 1
    assert of("YX", (0.5, 0.5), ("um",) * 2) is None
    for spacing, way in ((None, "volume"), (4.0, "volume"), (10.9, "joined")):
        request = SegmentRequest("any", "ZYX", slice_spacing=spacing)
        assert request.with_stack().stack_objects == way
    assert SegmentRequest("any", "TYX").with_stack().stack_objects is None
    for wrong in ({"least_overlap": 1.5}, {"slice_spacing": 0}, {"stack_objects": "all"}):
        with pytest.raises(SegliteError, match=r"overlap|spacing|stack"):
            SegmentRequest("any", "ZYX", **wrong)
    words = SegmentRequest("any", "TZYX", time_objects=True, stack_objects="joined").as_command(
        ["a.tif"], "out"
    )
    assert "--stack-objects joined --time-objects" in words
