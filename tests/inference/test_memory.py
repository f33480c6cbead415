"""Memory that runs out: smaller tiles, then the CPU, then a sentence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import src_models
from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.errors import DeviceError
from napari_seglite.inference.image_pass import ImagePass


class Small:
    """A forward pass for which larger tiles than this do not fit into memory."""

    def __init__(self, network, edge, error):
        self.plain, self.edge, self.error = type(network).forward, edge, error

    def __call__(self, network, x):
        if x.shape[-1] > self.edge:
            raise self.error
        return self.plain(network, x)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to …"),
]


@pytest.fixture
def segmenter(store, untrained):
    """Return one that has measured its memory format already."""
    found = Segmenter(store)
    found.segment(np.eye(64), SegmentRequest(untrained.id, "YX", "cpu"))
    return found


@pytest.mark.parametrize("error", ERRORS)
def test_tiles_are_halved_until_they_fit(segmenter, untrained, blobs, monkeypatch, error):
    stack = np.stack([np.tile(blobs[0], (3, 3))] * 2)
    request = SegmentRequest(untrained.id, "ZYX", "cpu", tile=512, overlap=64)
    small = SegmentRequest(untrained.id, "ZYX", "cpu", tile=128, overlap=32)
    expected = segmenter.segment(stack, small)
    assert expected.notices == ()
    network = type(src_models.create("s-net"))
    limited = Small(segmenter._loaded.network, 128, error)
    monkeypatch.setattr(network, "forward", lambda self, x: limited(self, x))
    found = segmenter.segment(stack, request)
    assert found.notices == (
        "Memory ran out, so tiles of 256 pixels were used.",
        "Memory ran out, so tiles of 128 pixels were used.",
    )
    assert found.request == replace(small.resolved(found.info), runtime="torch", precision="exact")
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_no_memory_at_all_is_said(segmenter, untrained, blobs, monkeypatch):
    limited = Small(segmenter._loaded.network, 8, ERRORS[0])
    network = type(src_models.create("s-net"))
    monkeypatch.setattr(network, "forward", lambda self, x: limited(self, x))
    with pytest.raises(DeviceError, match="smallest tiles"):
        segmenter.segment(blobs[0], SegmentRequest(untrained.id, "YX", "cpu", tile=96, overlap=16))


def test_other_errors_are_not_taken_for_it(segmenter, untrained, blobs, monkeypatch):
    limited = Small(segmenter._loaded.network, 8, RuntimeError("size mismatch"))
    network = type(src_models.create("s-net"))
    monkeypatch.setattr(network, "forward", lambda self, x: limited(self, x))
    with pytest.raises(RuntimeError, match="size mismatch"):
        segmenter.segment(blobs[0], SegmentRequest(untrained.id, "YX", "cpu"))


def test_a_gpu_without_memory_gives_way_to_the_cpu(segmenter, untrained, blobs):
    loaded = segmenter._loaded
    request = SegmentRequest(untrained.id, "YX", "cuda:9", tile=100, overlap=16)
    image_pass = ImagePass(blobs[0], (0,), loaded.info, loaded.network, request, (0.0, 200.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "empty_cache", lambda: None)
        image_pass.back_off(ERRORS[0])
    assert image_pass.request.device == "cpu"
    assert image_pass.notices == ["The memory of cuda:9 ran out, so the CPU was used."]
    boxes = [patch.box for *_, patch in image_pass.run() if patch is not None]
    assert (boxes[-1].bottom, boxes[-1].right) == blobs[0].shape
