from dataclasses import replace

import numpy as np
import pytest

from napari_seglite import Segmenter, SegmentRequest, segment
from napari_seglite.errors import Cancelled, CheckpointError, DeviceError, ImageError, SegliteError

CHECKPOINT = "nuclei-s-net"


def run(image, axes="YX", **settings):
    settings = {"output": "semantic", "device": "cpu", **settings}
    return segment(image, SegmentRequest(CHECKPOINT, axes, **settings))


@pytest.fixture
def nuclei():
    from napari_seglite.widgets import sample_data

    return sample_data.load("fluorescence")[0][:160, :200]


def test_finds_nuclei(nuclei):
    result = run(nuclei, output="instances")
    assert result.labels.shape == nuclei.shape
    assert result.labels.dtype == np.uint16
    assert 5 < result.labels.max() < 40
    assert nuclei[result.labels > 0].mean() > 3 * nuclei[result.labels == 0].mean()
    assert result.probabilities.shape == (1, 1, *nuclei.shape)
    assert result.recipe()["weights_sha256"] == result.info.weights_sha256
    assert result.request.device == "cpu"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_recipe_names_threads_and_tiles(nuclei, threads):
    """Rounding depends on them, so that only labels with the same ones are sure to be equal."""
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        recipe = run(nuclei[:64, :64], tile=96, overlap=16).recipe()
    finally:
        torch.set_num_threads(before)
    assert (recipe["threads"], recipe["tile"], recipe["overlap"]) == (threads, 96, 16)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float64) / 7 - 3,
        lambda x: x.astype(np.int32) * 1000 - 50_000,
        lambda x: x.astype(np.uint16) * 256,
    ],
)
def test_dtype_and_range_do_not_matter(nuclei, change):
    np.testing.assert_array_equal(run(change(nuclei)).labels, run(nuclei).labels)


def test_boolean_images_work(nuclei):
    mask = nuclei > 40
    labels = run(mask).labels
    assert (labels[mask] == 1).mean() > 0.5


def test_nan_is_missing_and_said(nuclei):
    image = nuclei.astype(np.float32)
    image[10:14, 10:20] = np.nan
    image[50, 50] = np.inf
    result = run(image)
    assert result.notices == ("41 pixels are NaN or infinite and were treated as missing.",)
    agree = (result.labels == run(nuclei).labels).mean()
    assert agree > 0.97
    with pytest.raises(ImageError, match="no finite number"):
        run(np.full((9, 9), np.nan))


@pytest.mark.parametrize("shape", [(1, 1), (50, 60)])
def test_constant_images_hold_nothing(shape):
    result = run(np.full(shape, 9, np.uint8))
    assert not result.labels.any()
    assert "equal" in result.notices[0]


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_empty_images_are_refused(shape):
    with pytest.raises(ImageError, match="empty"):
        run(np.zeros(shape))


def test_numbers_only(nuclei):
    with pytest.raises(ImageError, match="complex64 cannot be segmented"):
        run(nuclei.astype(np.complex64))
    with pytest.raises(ImageError, match="2 axes, not the 3"):
        run(nuclei, axes="ZYX")


def test_colour_alpha_and_channel_order(nuclei):
    grey = run(nuclei)
    rgb = np.repeat(nuclei[..., None], 3, -1)
    rgba = np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1)
    for image, axes in ((rgb, "YXC"), (rgba, "YXC"), (np.moveaxis(rgb, -1, 0), "CYX")):
        np.testing.assert_array_equal(run(image, axes).labels, grey.labels)


def test_chosen_frames_of_a_stack(nuclei):
    stack = np.stack([nuclei, nuclei[::-1], nuclei[:, ::-1]])
    whole = run(stack, "ZYX")
    some = run(stack, "ZYX", frames=(0, 2))
    np.testing.assert_array_equal(some.labels[[0, 2]], whole.labels[[0, 2]])
    assert not some.labels[1].any()
    assert some.probabilities.shape[0] == 2
    with pytest.raises(ImageError, match="no frame 3"):
        run(stack, "ZYX", frames=(3,))


def test_small_tiles_find_the_same_nuclei():
    from napari_seglite.labels import overlap
    from napari_seglite.widgets import sample_data

    image = sample_data.load("fluorescence")[0]
    whole = run(image, tile=1024).labels
    tiled = run(image, tile=256, overlap=64).labels
    assert overlap(whole, tiled).dice > 0.97


def test_relabelling_equals_segmenting_again(nuclei):
    result = run(nuclei)
    anew = result.relabel(threshold=0.8, min_size=30, output="instances")
    direct = run(nuclei, threshold=0.8, min_size=30, output="instances")
    np.testing.assert_array_equal(anew.labels, direct.labels)
    assert anew.request == direct.request
    assert result.request.threshold == 0.5
    with pytest.raises(SegliteError, match=f"{CHECKPOINT} has none"):
        result.relabel(split_depth=0.1)


def test_progress_counts_every_tile(nuclei):
    stack = np.stack([nuclei, nuclei])
    request = SegmentRequest(CHECKPOINT, "ZYX", "cpu", tile=128, overlap=32)
    seen = [p for p in Segmenter().run(stack, request) if p.total]
    assert [p.done for p in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].done == seen[-1].total
    assert {p.frame for p in seen} == {1, 2}
    assert all(p.seconds_left is not None for p in seen)


def test_stops_between_layers(nuclei):
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 20

    with pytest.raises(Cancelled):
        list(Segmenter().run(nuclei, SegmentRequest(CHECKPOINT, "YX", "cpu"), stop))
    assert len(asked) == 21  # of more than a hundred layers


def test_misfits_are_named(store, nuclei):
    import src_models
    from napari_seglite import CheckpointInfo

    with pytest.raises(CheckpointError, match="No checkpoint 'nothing'"):
        segment(nuclei, SegmentRequest("nothing", "YX"))
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        segment(nuclei, SegmentRequest(CHECKPOINT, "YX", device="tpu"))
    store.save(CheckpointInfo("two", "s-net", 2), src_models.create("s-net", 2).state_dict())
    with pytest.raises(CheckpointError, match="needs 2 channels, but the image has 1"):
        segment(nuclei, SegmentRequest("two", "YX"))


def test_what_learnt_from_colours_reads_grey(store, nuclei):
    import src_models
    from napari_seglite import CheckpointInfo

    store.save(
        CheckpointInfo("rgb", "u2net-msac", 3), src_models.create("u2net-msac", 3).state_dict()
    )
    grey = segment(nuclei, SegmentRequest("rgb", "YX", "cpu")).probabilities
    colour = np.stack([nuclei] * 3, axis=-1)
    np.testing.assert_array_equal(
        grey, segment(colour, SegmentRequest("rgb", "YXC", "cpu")).probabilities
    )


def test_one_segmenter_serves_several_checkpoints(store, untrained, nuclei):
    segmenter = Segmenter()

    def labels(checkpoint):
        request = SegmentRequest(checkpoint, "YX", "cpu")
        return segmenter.segment(nuclei, request).labels

    first = labels(CHECKPOINT)
    assert not np.array_equal(labels("untrained"), first)
    np.testing.assert_array_equal(labels(CHECKPOINT), first)


def test_series_of_stacks_in_any_order(store, untrained):
    """Each time point is a volume of its own, and its slices are those of the plain stack."""
    rng = np.random.default_rng(0)
    series = rng.normal(size=(2, 3, 40, 36)).astype(np.float32)
    request = SegmentRequest("untrained", "TZYX", "cpu", output="instances")
    segmenter = Segmenter(store)
    whole = segmenter.segment(series, request)
    assert whole.labels.shape == series.shape
    ids = [set(np.unique(volume)) - {0} for volume in whole.labels]
    assert not ids[0] & ids[1]
    turned = segmenter.segment(
        series.transpose(3, 1, 0, 2), SegmentRequest("untrained", "XZTY", "cpu", threshold=0.4)
    )
    expected = whole.relabel(threshold=0.4, output="semantic").labels.transpose(3, 1, 0, 2)
    # Frames are numbered over Z and T there, so only their order differs.
    np.testing.assert_array_equal(turned.labels, expected)
    one = segmenter.segment(series, replace(request, frames=(4,)))
    np.testing.assert_array_equal(one.labels[1, 1] > 0, whole.labels[1, 1] > 0)
    assert not one.labels[0].any()


def test_the_mean_of_any_number_of_channels(store, nuclei):
    request = SegmentRequest("nuclei-unet-sharp-tiny", "YXC", "cpu")
    grey = Segmenter(store).segment(nuclei, SegmentRequest(request.checkpoint, "YX", "cpu"))
    several = Segmenter(store).segment(np.stack([nuclei] * 2, axis=-1), request)
    np.testing.assert_array_equal(several.labels, grey.labels)
    assert several.labels.any()


def test_one_channel_of_many(store, untrained):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(3, 4, 40, 36)).astype(np.float32)
    segmenter = Segmenter(store)
    picked = segmenter.segment(image, SegmentRequest("untrained", "ZCYX", "cpu", channels=(2,)))
    alone = segmenter.segment(image[:, 2], SegmentRequest("untrained", "ZYX", "cpu"))
    np.testing.assert_array_equal(picked.labels, alone.labels)
    with pytest.raises(ImageError, match="no channel 9"):
        segmenter.segment(image, SegmentRequest("untrained", "ZCYX", "cpu", channels=(9,)))
