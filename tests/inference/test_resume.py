"""What was finished before a job was cancelled stays, and is not done again."""

import numpy as np
import pytest

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.errors import Cancelled
from napari_seglite.inference.tiling import count_bands, count_tiles, predict_bands


@pytest.fixture
def segmenter(store, untrained):
    """Return one that has measured its memory format already."""
    found = Segmenter(store)
    found.segment(np.eye(64), SegmentRequest(untrained.id, "YX", "cpu"))
    return found


@pytest.fixture
def stack(blobs):
    """Return an image float32 (3, 192, 240)."""
    image = np.tile(blobs[0], (2, 2))
    return np.stack([image, image[::-1], image[:, ::-1]])


def drive(steps, stop_after):
    """Take steps, and press the button after so many tiles."""
    taken = []
    try:
        while True:
            progress = next(steps)
            if progress.done:
                taken.append(progress)
            if len(taken) == stop_after:
                pressed.append(True)
    except StopIteration as end:
        return end.value, taken


pressed: list[bool] = []


@pytest.fixture(autouse=True)
def _release_the_button():
    pressed.clear()


def request(untrained, **settings):
    return SegmentRequest(untrained.id, "ZYX", "cpu", tile=128, overlap=32, **settings)


@pytest.mark.parametrize("stop_after", [4, 11, 14])
def test_a_cancelled_run_goes_on_where_it_was(segmenter, untrained, stack, stop_after):
    expected = segmenter.segment(stack, request(untrained))
    level = float(np.median(expected.probabilities))
    expected = expected.relabel(threshold=level)
    asked = request(untrained, threshold=level)
    part, _ = drive(segmenter.run(stack, asked, lambda: bool(pressed)), stop_after)
    assert not part.complete
    assert 0 < part.share < 1
    done = part.asked()
    assert done.mean() == pytest.approx(part.share)
    np.testing.assert_array_equal(part.labels[done], expected.labels[done])
    assert not part.labels[~done].any()
    pressed.clear()
    whole, taken = drive(segmenter.run(stack, asked, resume=part), 0)
    assert whole.complete
    np.testing.assert_array_equal(whole.probabilities, expected.probabilities)
    np.testing.assert_array_equal(whole.labels, expected.labels)
    per_frame = count_tiles(192, 240, 128, 32)
    columns = per_frame // count_bands(192, 128, 32)
    assert len(taken) == 3 * per_frame - stop_after // columns * columns
    assert taken[-1].done == taken[-1].total


def test_a_changed_request_begins_anew(segmenter, untrained, stack):
    part, _ = drive(segmenter.run(stack, request(untrained), lambda: bool(pressed)), 5)
    pressed.clear()
    other = SegmentRequest(untrained.id, "ZYX", "cpu", tile=96, overlap=32)
    whole, taken = drive(segmenter.run(stack, other, resume=part), 0)
    assert len(taken) == taken[-1].total
    np.testing.assert_array_equal(
        whole.probabilities, segmenter.segment(stack, other).probabilities
    )
    relabelled = request(untrained, threshold=0.9, output="instances")
    whole, taken = drive(segmenter.run(stack, relabelled, resume=part), 0)
    assert len(taken) < taken[-1].total  # probabilities are the same
    assert whole.request == relabelled


def test_a_region_can_be_cancelled(segmenter, untrained, stack):
    asked = request(untrained, region="30,20,190,220")
    part, _ = drive(segmenter.run(stack, asked, lambda: bool(pressed)), 10)
    assert part.rows[0] == 160
    assert 0 < part.rows[1] < 160
    whole, _ = drive(segmenter.run(stack, asked, resume=part), 0)
    expected = segmenter.segment(stack, asked)
    np.testing.assert_array_equal(whole.probabilities, expected.probabilities)


def test_nothing_finished_is_cancelled(segmenter, untrained, stack):
    with pytest.raises(Cancelled):
        drive(segmenter.run(stack, request(untrained), lambda: True), 1)


def test_bands_do_not_depend_on_where_they_begin():
    frame = np.random.default_rng(0).normal(size=(1, 300, 90)).astype(np.float32)

    def predict(tile, number):
        return tile * (1 + number % 3)

    def bands(first):
        found = predict_bands(predict, lambda r: frame[:, r], (300, 90), 64, 16, first)
        return [band for band in found if band is not None]

    whole = bands(0)
    assert len(whole) == count_bands(300, 64, 16)
    for first in range(1, len(whole)):
        for a, b in zip(whole[first:], bands(first), strict=True):
            assert a.rows == b.rows
            np.testing.assert_array_equal(a.values, b.values)
