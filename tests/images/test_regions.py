"""Only a part of the image is asked for."""

import shlex

import numpy as np
import pytest
import tifffile

from napari_seglite import SegmentRequest, segment
from napari_seglite.cli import main
from napari_seglite.errors import ImageError
from napari_seglite.images import Box, Corrections, Region

TRIANGLE = "10,10 10,90.5 70,50"


@pytest.mark.parametrize("text", ["2,3,5,9", TRIANGLE, f"{TRIANGLE}; 80,80 80,99 99,99 99,80"])
def test_a_region_reads_what_it_writes(text):
    assert str(Region.parse(text)) == text
    assert Region.parse(str(Region.parse(text))) == Region.parse(text)


def test_a_rectangle_holds_its_rows_and_columns():
    region = Region.parse("2,3,5,9")
    assert region.box((100, 100)) == (2, 3, 5, 9)
    assert region.mask((100, 100)).all()
    assert region.box((4, 5)) == (2, 3, 4, 5)
    assert region.mask((4, 5)).shape == (2, 2)


def test_a_triangle_holds_half_of_its_box():
    mask = Region.parse("0,0 0,100 100,0").mask((200, 200))
    assert mask.shape == (101, 101)
    assert mask.sum() == 101 * 102 / 2  # y + x <= 100
    assert mask[10, 10]
    assert not mask[90, 90]


def test_boxes_in_boxes():
    box = Box(5, 80, 20, 100)
    outer = box.grown(8, (200, 104))
    assert outer == (0, 72, 28, 104)
    assert box.within(outer) == (5, 8, 20, 28)
    assert box.slices == (slice(5, 20), slice(80, 100))
    assert box.shape == (15, 20)
    assert box.middle(10) == (7, 85, 17, 95)
    assert box.middle(18) == (5, 81, 20, 99)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "three vertices"),
        ("1,2", "not a region"),
        ("left", "not a region"),
        ("0,0 5,5", "three vertices"),
        ("0,0 nan,5 5,5", "finite"),
        ("200,200,300,300", "outside the image of 120 × 96"),
    ],
)
def test_wrong_regions_say_what_is_right(text, message):
    with pytest.raises(ImageError, match=message):
        Region.parse(text).box((96, 120))


def run(image, untrained, axes="YX", **settings):
    return segment(image, SegmentRequest(untrained.id, axes, device="cpu", **settings))


def test_a_region_is_normalised_and_seen_as_in_the_whole_image(blobs, untrained):
    image, _ = blobs
    whole = run(image, untrained)
    part = run(image, untrained, region="30,40,70,80", overlap=160)
    assert part.probabilities.shape == (1, 1, 40, 40)
    np.testing.assert_allclose(
        part.probabilities, whole.probabilities[..., 30:70, 40:80], atol=5e-4
    )


def test_nothing_outside_a_polygon_is_labelled(blobs, untrained):
    image, _ = blobs
    stack = np.stack([image, image[::-1], image])
    result = run(stack, untrained, "ZYX", region=TRIANGLE, threshold=0.0, frames=(1,))
    inside = Region.parse(TRIANGLE)
    expected = np.zeros(stack.shape, bool)
    expected[1][inside.box(image.shape).slices] = inside.mask(image.shape)
    np.testing.assert_array_equal(result.labels > 0, expected)
    np.testing.assert_array_equal(result.asked(), expected)
    again = result.relabel(output="instances")
    np.testing.assert_array_equal(again.labels > 0, expected)


def test_the_shell_takes_a_region(blobs, untrained, tmp_path):
    image, _ = blobs
    tifffile.imwrite(tmp_path / "blobs.tif", image)
    request = SegmentRequest(
        untrained.id, "YX", device="cpu", region=TRIANGLE, smooth=1.5, fill_holes=9
    )
    command = request.as_command([str(tmp_path / "blobs.tif")], str(tmp_path))
    assert main(shlex.split(command)[1:]) == 0
    labels = tifffile.imread(tmp_path / "blobs_labels.tif")
    np.testing.assert_array_equal(labels, segment(image, request).labels)
    assert SegmentRequest.from_dict(request.as_dict()) == request


def test_the_marks_of_a_stroke_go_and_come_back_with_it():
    empty = Corrections((3, 64, 64))
    first = empty.touch(1, Box(1, 1, 4, 4))
    second = first.touch(1, Box(9, 9, 12, 12))
    assert second.undone(first, second) == first
    assert first.undone(empty, first) == empty
    assert empty.undone(first, empty) == first
    # Marks that were made since then stay: of another slice, and a stronger one of the same.
    later = second.accept(2)
    assert later.undone(first, second).undone(empty, first).frames == [2]
    complete = first.complete(1, Box(0, 0, 64, 64))
    assert complete.undone(empty, first) == complete


def test_a_stroke_marks_the_tiles_around_it_and_accepting_the_whole_slice():
    empty = Corrections((2, 100, 90), tile=32)
    dab = empty.touch(0, Box(40, 40, 44, 44))
    assert [r.box for r in dab.regions] == [(32, 32, 64, 64)]
    assert dab.touch(0, Box(42, 42, 43, 43)).strokes == 2
    near_the_corner = empty.touch(0, Box(60, 28, 66, 33))
    assert [r.box for r in near_the_corner.regions] == [
        (32, 0, 64, 32),
        (32, 32, 64, 64),
        (64, 0, 96, 32),
        (64, 32, 96, 64),
    ]
    assert near_the_corner.strokes == 1
    assert dab.inside(0).sum() == 32 * 32
    assert not dab.whole(0)
    accepted = near_the_corner.accept(0)
    assert [r.state for r in accepted.regions] == ["accepted"]
    assert accepted.whole(0)
    assert accepted.strokes == 1
    # A stroke on an accepted slice is a correction of the whole slice.
    again = accepted.touch(0, Box(0, 0, 4, 4))
    assert [(r.box, r.state, r.strokes) for r in again.regions] == [((0, 0, 100, 90), "touched", 2)]
    # Of a slice that is not seen, nothing around the paint counts.
    unseen = empty.touch(1, Box(40, 40, 44, 50), exactly=True)
    assert [r.box for r in unseen.regions] == [(40, 40, 44, 50)]
