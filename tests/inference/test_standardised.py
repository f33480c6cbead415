"""A checkpoint whose channels are standardised, from the image to the mask and to training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seglite import FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo, intensity_limits, prepare_slices
from napari_seglite.images import Box, ImageAxes, Normalisation
from napari_seglite.training import image_examples, start_info
from napari_seglite.training.patches import PatchSampler

NORMAL = Normalisation(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
OPTIONS = {"preset": "tiny"}


@pytest.fixture
def colours(blobs):
    """Return a picture of discs, uint8 (96, 120, 3), and its mask."""
    grey, mask = blobs
    return np.stack([grey, 0.5 * grey, 255 - grey], -1).clip(0, 255).astype(np.uint8), mask


@pytest.fixture
def standard(store):
    """Return the card of a stored network that reads standardised colours."""
    torch.manual_seed(0)
    info = CheckpointInfo("standard", "unet-sharp", 3, normalisation=NORMAL, options=OPTIONS)
    saved = store.save(info, info.build().state_dict())
    assert store.info("standard") == saved
    assert saved.as_dict()["format"] == 2  # which no earlier version reads as percentiles
    return saved


def by_hand(store, name, picture):
    """Return the probabilities that the published way of reading an image gives."""
    x = (picture / 255 - np.array(NORMAL.mean)) / np.array(NORMAL.std)
    network = store.load(name)[1].eval()
    with torch.no_grad():
        logits = network(torch.tensor(x.transpose(2, 0, 1)[None], dtype=torch.float32))
    return logits.sigmoid()[0].numpy()


def test_the_network_sees_what_the_published_code_feeds_it(store, standard, colours):
    picture, _ = colours
    segmenter, request = Segmenter(store), SegmentRequest("standard", "YXC", device="cpu")
    found = segmenter.segment(picture, request).probabilities[0]
    np.testing.assert_allclose(found, by_hand(store, "standard", picture), atol=2e-3)
    deep = segmenter.segment(picture.astype(np.uint16) * 257, request).probabilities[0]
    np.testing.assert_array_equal(deep, found)
    camera = segmenter.segment(picture.astype(np.uint16) * 16, request)  # 12 bits
    assert any("Stretch its intensities" in text for text in camera.notices)
    assert not segmenter.segment(picture, request).notices

    # The same weights with another normalisation are another checkpoint.
    store.save(
        replace(standard, id="percentiles", normalisation=Normalisation()),
        store.load("standard")[1].state_dict(),
    )
    other = segmenter.segment(picture, replace(request, checkpoint="percentiles"))
    assert np.abs(other.probabilities[0] - found).max() > 0.01


def test_tiles_are_parts_of_the_whole(standard, colours):
    axes, (picture, _) = ImageAxes("YXC"), colours
    limits = intensity_limits(picture, axes, standard)
    whole = prepare_slices(picture, axes, 0, standard, limits)
    tile = prepare_slices(picture, axes, 0, standard, limits, box=Box(10, 20, 40, 60))
    np.testing.assert_array_equal(tile, whole[:, 10:40, 20:60])
    grey = prepare_slices(picture[..., 0], ImageAxes("YX"), 0, standard, limits)
    assert len(grey) == 3  # read three times, each time as another channel
    np.testing.assert_allclose(NORMAL.undo(grey), [picture[..., 0] / 255] * 3, atol=1e-6)


def test_fine_tuning_keeps_the_normalisation(store, standard, colours):
    request = FineTuneRequest("standard", "new")
    assert start_info(request, store).normalisation == NORMAL
    grey = start_info(replace(request, in_channels=1), store)
    assert grey.normalisation == NORMAL.with_channels(1)

    picture, mask = np.full((40, 40, 3), 200, np.uint8), np.ones((40, 40), np.uint8)
    picture[0] = 0  # not constant
    (example,) = image_examples("a", picture, mask, ImageAxes("YXC"), standard)
    frames, *_ = PatchSampler([example], 16, 1.0, 1.0, 0, 0, normalisation=NORMAL).batch(4)
    inverted = np.stack([NORMAL.undo(frame) for frame in frames.numpy()])
    assert inverted.min() == pytest.approx(55 / 255, abs=1e-3)
    assert inverted.max() <= 1.001
