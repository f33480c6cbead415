"""Networks that see blocks of a stack."""

from functools import cache

import numpy as np
import pytest
import torch

from napari_seglite import SegmentRequest, segment
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.images import ImageAxes, Normalisation
from napari_seglite.inference import slabs
from napari_seglite.runtime import devices
from src_models.cards import NetworkCard


class Column(torch.nn.Module):
    """Looks two slices up and down, and one pixel to each side."""

    def __init__(self, in_channels=1, classes=1, dims=3):
        super().__init__()
        self.conv = torch.nn.Conv3d(in_channels, classes, (5, 3, 3), padding=(2, 1, 1))

    def forward(self, x):
        return self.conv(x)


@pytest.fixture
def column(store, monkeypatch):
    import src_models

    card = NetworkCard("column", "Column", "", "", "", 46, (1, 1), 0.0, 1, "", f"{__name__}:Column")
    # Taken back afterwards: other tests list the networks.
    monkeypatch.setattr(src_models, "_cards", cache(lambda: dict(src_models.CARDS)))
    src_models.register(card)
    torch.manual_seed(0)
    network = Column()
    info = CheckpointInfo(
        "column", "column", normalisation=Normalisation(0, 100), options={"dims": 3}
    )
    store.save(info, network.state_dict())
    return network


def test_blocks_are_the_whole(column, monkeypatch):
    """A series of two stacks, its axes in another order, in blocks of 24 slices."""
    monkeypatch.setattr(slabs, "DEPTH", 24)
    stacks = np.random.default_rng(0).random((2, 50, 70, 90)).astype(np.float32)
    stacks = (stacks - stacks.min()) / (stacks.max() - stacks.min())
    with torch.inference_mode():
        expected = column(torch.from_numpy(stacks)[:, None]).sigmoid()[:, 0].numpy()
    image = np.ascontiguousarray(stacks.transpose(1, 0, 2, 3))
    request = SegmentRequest("column", "ZTYX", "cpu", tile=64, overlap=16)
    result = segment(image, request)
    found = np.asarray(result.probabilities)[:, 0].reshape(50, 2, 70, 90)
    np.testing.assert_allclose(found, expected.transpose(1, 0, 2, 3), atol=1e-3)
    # Some slices alone see their neighbours all the same.
    some = SegmentRequest("column", "ZTYX", "cpu", frames=(3, 40, 41), region="5,6,50,60")
    result = segment(image, some)
    for position, frame in enumerate(some.frames):
        z, t = divmod(frame, 2)
        np.testing.assert_allclose(
            np.asarray(result.probabilities)[position, 0], expected[t, z, 5:50, 6:60], atol=1e-3
        )
    assert not result.labels[0].any()


def test_slabs_cover_every_slice_once(store, column, monkeypatch):
    monkeypatch.setattr(slabs, "DEPTH", 24)
    info = store.info("column")
    for depth in (1, 5, 24, 25, 40, 101):
        planned = slabs.plan_slabs(ImageAxes("ZYX"), (depth, 8, 8), range(depth), info)
        out = [position for slab in planned for position in slab.positions]
        assert sorted(out) == list(range(depth))
        for slab in planned:
            assert len(slab.read) <= 24
            for position, offset in zip(slab.positions, slab.offsets, strict=True):
                assert slab.read[offset] == position
                around = min(offset, len(slab.read) - 1 - offset)
                at_end = slab.read[0] == 0 or slab.read[-1] == depth - 1
                assert around >= slabs.DEPTH_OVERLAP // 2 - 1 or at_end


def test_unet_sharp_in_three_dimensions(store):
    import src_models

    torch.manual_seed(0)
    options = {"dims": 3, "preset": "small"}
    network = src_models.create("unet-sharp", 1, 1, **options).eval()
    info = CheckpointInfo("sharp", "unet-sharp", options=options)
    store.save(info, network.state_dict())
    image = np.random.default_rng(1).random((20, 40, 48)).astype(np.float32)
    result = segment(image, SegmentRequest("sharp", "ZYX", "cpu"))
    frames = info.normalisation.apply(image, info.normalisation.limits(image))
    with torch.inference_mode():
        expected = network(torch.from_numpy(frames)[None, None]).sigmoid()[0, 0]
    np.testing.assert_allclose(np.asarray(result.probabilities)[:, 0], expected, atol=2e-3)


def test_tiles_fit_into_the_free_memory(untrained, blobs, monkeypatch):
    image = np.tile(blobs[0], (4, 3))  # 384 x 360
    request = SegmentRequest(untrained.id, "YX", "cpu", tile=256)
    plain = segment(image, request)
    assert plain.request.tile == 256
    assert plain.notices == ()
    monkeypatch.setattr(devices, "free_memory", lambda device: 60_000_000)
    small = segment(image, request)
    assert small.request.tile == 128
    assert small.request.overlap == 32
    assert small.notices == (
        "Tiles of 128 pixels were used, because cpu has 0.1 GB of free memory.",
    )
    monkeypatch.setattr(devices, "free_memory", lambda device: 1000)
    assert segment(image, request).request.tile == 64
    monkeypatch.setattr(devices, "free_memory", lambda device: None)
    assert segment(image, request).request.tile == 256
    assert devices.free_memory("mps") is None
