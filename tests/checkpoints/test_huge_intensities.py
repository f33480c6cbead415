"""Of huge images, only some bands are read to find the range of intensities."""

import numpy as np
import pytest

from napari_seglite.checkpoints import CheckpointStore, inputs, measure_intensities
from napari_seglite.images import ImageAxes


class Counted:
    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, where):
        part = self.array[where]
        self.read += part.size
        return part


def test_some_bands_tell_nearly_the_same_limits(monkeypatch):
    image = np.random.default_rng(0).normal(100, 20, (4, 2048, 512)).clip(1).astype(np.float32)
    info, axes = CheckpointStore().info("nuclei-s-net"), ImageAxes("ZYX")
    whole = Counted(image)
    expected = measure_intensities(whole, axes, info).limits
    assert whole.read == image.size
    monkeypatch.setattr(inputs, "BAND_PIXELS", 256 * 512)
    monkeypatch.setattr(inputs, "READ_AT_MOST", image.size // 8)
    part = Counted(image)
    assert measure_intensities(part, axes, info).limits == pytest.approx(expected, rel=0.05)
    assert part.read == image.size // 8
