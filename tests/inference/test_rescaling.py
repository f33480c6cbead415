"""What the network sees larger or smaller comes back on the image's own grid."""

from functools import cache

import numpy as np
import pytest
import torch

from napari_seglite import Segmenter, SegmentRequest, segment
from napari_seglite.errors import SegliteError
from napari_seglite.images import Box
from napari_seglite.inference.rescaling import Resampling
from napari_seglite.runtime import drain
from src_models.cards import NetworkCard


class Bright(torch.nn.Module):
    """Calls foreground what is brighter than half."""

    def __init__(self, in_channels=1, classes=1):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(30.0))

    def forward(self, x):
        return (x[:, :1] - 0.5) * self.gain


@pytest.fixture
def bright(store, monkeypatch):
    import src_models
    from napari_seglite.checkpoints import CheckpointInfo
    from napari_seglite.images import Normalisation

    card = NetworkCard("bright", "Bright", "", "", "", 1, (1, 1), 0.0, 1, "", f"{__name__}:Bright")
    # Taken back afterwards: other tests list the networks.
    monkeypatch.setattr(src_models, "_cards", cache(lambda: dict(src_models.CARDS)))
    src_models.register(card)
    info = CheckpointInfo("bright", "bright", normalisation=Normalisation(0, 100))
    return store.save(info, Bright().state_dict())


def smooth(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (np.sin(y / 17) * np.cos(x / 23)).astype(np.float32)


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 1.7, 3.0])
def test_pieces_are_the_whole_and_the_way_back_is_the_way_there(factor):
    frame = smooth((150, 131))
    resampling = Resampling(frame.shape, Box(0, 0, 150, 131), factor)
    assert resampling.shape == (round(150 * factor), round(131 * factor))

    def read(part):
        return resampling.to_network(frame[None, *resampling.source_box(part).slices], part)

    everything = Box.whole(resampling.shape)
    whole = read(everything)
    assert whole.shape == (1, *resampling.shape)
    np.testing.assert_allclose(read(Box(11, 7, 29, 20)), whole[:, 11:29, 7:20], atol=1e-5)
    back = resampling.to_frame(whole, everything, Box.whole(frame.shape))[0]
    assert back.shape == frame.shape
    assert abs(back - frame)[12:-12, 12:-12].max() < 0.04
    for begin, end in ((0, 9), (40, 77), (100, 150)):
        needed = resampling.needed(slice(begin, end), 0)
        part = everything._replace(top=needed[0, 0], bottom=needed[-1, 1] + 1)
        box = Box(begin, 0, end, 131)
        piece = resampling.to_frame(whole[:, part.rows], part, box)[0]
        np.testing.assert_allclose(piece, back[begin:end], atol=1e-5)


def test_the_smallest_part_is_a_pixel():
    assert Resampling((194, 194), Box(193, 0, 194, 1), 0.1).shape == (1, 1)


def test_nothing_moves(bright):
    """A square stays where it is, at whatever size the network sees it."""
    image = np.zeros((210, 180), np.uint8)
    image[60:140, 48:108] = 200
    for factor in (0.25, 0.5, 1.3, 2.5):
        request = SegmentRequest("bright", "YX", "cpu", rescale=factor)
        labels = segment(image, request).labels
        assert labels.shape == image.shape
        rows, columns = np.nonzero(labels)
        found = np.array([rows.min(), rows.max() + 1, columns.min(), columns.max() + 1])
        assert abs(found - [60, 140, 48, 108]).max() <= max(1, 0.5 / factor)
        assert abs(found.sum() - 356) <= 2  # no shift to one side


@pytest.mark.parametrize("region", [None, "31,20,170,201"])
def test_tiles_do_not_show(bright, region):
    image = (smooth((260, 240)) * 90 + 110).astype(np.uint8)
    common = {"rescale": 0.7, "region": region, "device": "cpu"}
    whole = segment(image, SegmentRequest("bright", "YX", tile=512, **common))
    tiled = segment(image, SegmentRequest("bright", "YX", tile=64, overlap=16, **common))
    difference = whole.probabilities.astype(float) - tiled.probabilities
    assert abs(difference).max() < 2e-3
    assert (whole.labels != tiled.labels).mean() < 1e-3
    plain = segment(image, SegmentRequest("bright", "YX", region=region, device="cpu")).labels
    assert (whole.labels != plain).mean() < 0.01


def test_a_cancelled_run_goes_on(bright, store):
    image = np.stack([(smooth((200, 120)) * 90 + 110).astype(np.uint8)] * 3)
    request = SegmentRequest(
        "bright", "ZYX", "cpu", rescale=1.5, tile=64, overlap=16, ensemble="flips"
    )
    segmenter = Segmenter(store)
    expected = segmenter.segment(image, request)
    pressed = []
    steps = segmenter.run(image, request, lambda: bool(pressed))
    try:
        while True:
            if next(steps).done == 20:
                pressed.append(True)
    except StopIteration as end:
        partial = end.value
    assert not partial.complete
    assert 0 < partial.share < 1
    steps = segmenter.run(image, request, resume=partial)
    found = drain(steps)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.disagreement, expected.disagreement)


def test_limits_are_said():
    with pytest.raises(SegliteError, match=r"between 0.1 and 10, not 20"):
        SegmentRequest("bright", "YX", rescale=20)
    words = SegmentRequest("bright", "YX", rescale=0.5, ensemble="flips").as_command(["a"], "b")
    assert "--rescale 0.5" in words
    assert "--ensemble flips" in words
