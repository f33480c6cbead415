"""Axes, normalisation, tiles and requests, each against a known result."""

import numpy as np
import pytest
import scipy.ndimage as ndi

from napari_seglite.checkpoints.inputs import select_channels
from napari_seglite.errors import CheckpointError, ImageError, SegliteError
from napari_seglite.images import ImageAxes, Normalisation, guess_axes
from napari_seglite.inference import SegmentRequest, parse_numbers
from napari_seglite.inference.mosaic import predict_tiled
from napari_seglite.inference.tiling import count_tiles, plan_axis


@pytest.mark.parametrize(
    ("shape", "rgb", "order"),
    [
        ((5, 7), None, "YX"),
        ((5, 7, 3), None, "YXC"),
        ((5, 7, 3), False, "ZYX"),
        ((9, 5, 7), None, "ZYX"),
        ((9, 5, 7, 4), None, "ZYXC"),
    ],
)
def test_axes_are_guessed(shape, rgb, order):
    assert guess_axes(shape, rgb).order == order


def test_unknown_axes_are_refused_with_a_reason():
    with pytest.raises(ImageError, match="or say what its axes are"):
        guess_axes((2, 3, 4, 5, 6))
    for order in ("ZX", "YXS", "YYX", "ZZYX", ""):
        with pytest.raises(ImageError, match="there must be Y and X"):
            ImageAxes(order)
    with pytest.raises(ImageError, match="empty"):
        ImageAxes("YX").check((0, 5))


def test_frames_come_channel_first():
    image = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(ImageAxes("ZYXC").frame(image, 1), image[1].transpose(2, 0, 1))
    np.testing.assert_array_equal(ImageAxes("CYX").frame(image[0], 0), image[0])
    assert ImageAxes("CYX").label_shape((3, 4, 5)) == (4, 5)


SIZES = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 6}


@pytest.mark.parametrize("order", ["TZCYX", "TCZYX", "CZTXY", "XYZ", "YXTC", "ZCYX"])
def test_axes_come_in_any_order(order):
    """Every pixel says where it is; frames and labels must agree with that."""
    shape = tuple(SIZES[axis] for axis in order)
    places = np.indices(shape)
    image = sum(places[k] * 10 ** "XYCZT".index(axis) for k, axis in enumerate(order))
    axes = ImageAxes(order)
    stack = [axis for axis in order if axis in "TZ"]
    assert axes.frame_count(shape) == np.prod([SIZES[axis] for axis in stack])
    channels = SIZES["C"] if "C" in order else 1
    frames = []
    for number, place in enumerate(np.ndindex(*axes.stack_shape(shape))):
        where = sum(k * 10 ** "XYCZT".index(axis) for k, axis in zip(place, stack, strict=True))
        c, y, x = np.indices((channels, SIZES["Y"], SIZES["X"]))
        frame = axes.frame(image, number)
        np.testing.assert_array_equal(frame, where + c * 100 + y * 10 + x)
        frames.append(frame[0])
    without = image.take(0, order.index("C")) if "C" in order else image
    labels = axes.join(np.stack(frames), shape)
    np.testing.assert_array_equal(labels, without)
    np.testing.assert_array_equal(axes.split(labels), frames)
    assert labels.shape == axes.label_shape(shape)


def test_volumes_and_neighbours_keep_to_one_time_point():
    axes, shape = ImageAxes("TZYX"), (2, 3, 8, 8)
    assert axes.volumes(shape) == [[0, 1, 2], [3, 4, 5]]
    assert axes.neighbours(2, shape, 3) == (1, 2, 2)
    assert axes.neighbours(3, shape, 3) == (3, 3, 4)
    assert ImageAxes("ZTYX").volumes((3, 2, 8, 8)) == [[0, 2, 4], [1, 3, 5]]
    assert ImageAxes("ZTYX").neighbours(2, (3, 2, 8, 8), 3) == (0, 2, 4)
    assert ImageAxes("TYX").neighbours(0, (4, 8, 8), 3) == (0, 0, 1)
    assert ImageAxes("TYX").volumes((2, 8, 8)) == [[0], [1]]
    assert ImageAxes("YX").neighbours(0, (8, 8), 3) == (0, 0, 0)
    assert ImageAxes("ZYX").neighbours(2, (5, 8, 8), 1) == (2,)


def test_only_the_frame_that_is_asked_for_is_read():
    class Remote:
        shape, asked = (50, 60, 4, 8, 8), []

        def __getitem__(self, where):
            self.asked.append(where)
            return np.zeros((4, 8, 8))

    ImageAxes("TZCYX").frame(Remote(), 61)
    assert Remote.asked == [(1, 1, slice(None), slice(None), slice(None))]


def test_channels_are_picked_and_averaged():
    from napari_seglite.checkpoints import CheckpointInfo

    frame = np.stack([np.full((2, 2), k) for k in range(5)])
    one, two = CheckpointInfo("a", "s-net"), CheckpointInfo("b", "s-net", in_channels=2)
    assert select_channels(frame, one).mean() == 2
    assert select_channels(frame, one, (3,)).mean() == 3
    assert select_channels(frame, one, (3, 4)).mean() == 3.5
    assert select_channels(frame, two, (4, 1))[:, 0, 0].tolist() == [4, 1]
    with pytest.raises(ImageError, match="no channel 5: the image has 5"):
        select_channels(frame, two, (0, 5))
    with pytest.raises(CheckpointError, match="needs 2 channels"):
        select_channels(frame, two, (0,))


def test_normalisation_maps_percentiles_and_survives_missing_pixels():
    rng = np.random.default_rng(0)
    image = rng.normal(1e6, 1e3, (200, 200))
    normal = Normalisation(1, 99)
    limits = normal.limits(image)
    frame = normal.apply(image, limits)
    assert np.percentile(frame, [1, 99]) == pytest.approx([0, 1], abs=1e-3)
    damaged = image.copy()
    damaged[:3] = np.nan
    damaged[3] = np.inf
    assert normal.limits(damaged) == pytest.approx(limits, rel=1e-4)
    assert (normal.apply(damaged, limits)[:4] == 0).all()
    with pytest.raises(ImageError, match="no finite number"):
        normal.limits(np.full((4, 4), np.nan))


def test_normalisation_of_flat_images():
    flat = np.full((8, 8), -7, np.int32)
    assert (Normalisation().apply(flat, Normalisation().limits(flat)) == 0).all()
    flat[0, 0] = 5  # percentiles fall together, but there is something to see
    low, high = Normalisation(5, 90).limits(flat)
    assert (low, high) == (-7, 5)


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(100, 64, 16), (513, 512, 64), (1000, 64, 0)]
)
def test_tile_weights_sum_to_one(length, tile, overlap):
    plan = plan_axis(length, tile, overlap)
    total = np.zeros(length)
    for start, weights in zip(plan.starts, plan.weights, strict=True):
        assert 0 <= start <= length - plan.size
        total[start : start + plan.size] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert plan.size <= tile
    gaps = np.diff(plan.starts)
    assert (plan.size - gaps >= overlap).all()


def test_tiles_of_a_local_function_equal_the_whole():
    """A filter that sees 12 pixels far, less than the halo of tiles that overlap by 64."""
    frame = np.random.default_rng(0).normal(size=(2, 300, 210)).astype(np.float32)

    def smooth(tile):
        return ndi.uniform_filter(tile, (0, 25, 25), mode="nearest")

    numbers = []

    def counted(tile, number):
        numbers.append(number)
        return smooth(tile)

    tiled = predict_tiled(counted, frame, 128, 64)
    assert np.abs(tiled - smooth(frame)).max() < 1e-3
    assert len(numbers) == count_tiles(300, 210, 128, 64) > 4


def test_no_step_where_tiles_disagree():
    """Every tile answers with its own brightness; the blend must not jump between them."""
    frame = np.broadcast_to(np.linspace(0, 1, 400, dtype=np.float32), (1, 400, 400)).copy()

    def mean_of_tile(tile, number):
        return np.full_like(tile, tile.mean())

    blended = predict_tiled(mean_of_tile, frame, 128, 64)
    levels = [
        frame[0, 0, s : s + plan_axis(400, 128, 64).size].mean()
        for s in plan_axis(400, 128, 64).starts
    ]
    steps = np.abs(np.diff(blended[0, 200]))
    assert np.ptp(blended) > 0.4
    assert steps.max() < 0.1 * np.diff(levels).max()


def test_requests_repeat_themselves():
    import shlex

    from napari_seglite.cli import build_parser

    request = SegmentRequest("c", "ZYX", "cpu", 0.25, 7, "instances", (0, 2), 256, 32)
    assert SegmentRequest.from_dict(request.as_dict()) == request
    words = shlex.split(request.as_command(["a b.tif"], "out"))
    parsed = build_parser().parse_args(words[1:])
    assert parse_numbers(parsed.frames) == (0, 2)
    assert (parsed.threshold, parsed.min_size, parsed.tile, parsed.overlap) == (0.25, 7, 256, 32)
    assert parsed.kind == "instances"
    assert (str(parsed.images[0]), parsed.axes, parsed.device) == ("a b.tif", "ZYX", "cpu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1.5},
        {"min_size": -1},
        {"output": "boxes"},
        {"tile": 10},
        {"overlap": 400},
        {"frames": ()},
        {"axes": "ZX"},
        {"channels": ()},
    ],
)
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(SegliteError):
        SegmentRequest(**{"checkpoint": "c", "axes": "YX", **wrong})


def test_frames_are_read():
    assert parse_numbers("0,3, 5-7") == (0, 3, 5, 6, 7)
    with pytest.raises(SegliteError, match="names no frames"):
        parse_numbers("first")
