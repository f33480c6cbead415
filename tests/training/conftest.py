"""Frames to learn from."""

import numpy as np
import pytest

from napari_seglite.images import Normalisation, TrainingImage


@pytest.fixture
def turned_blobs(blobs):
    """Return a function that makes some frames of 64 x 64 pixels, each turned further."""
    image, mask = blobs
    normal = Normalisation()
    frame = normal.apply(image, normal.limits(image))[None, :64, :64]

    def turned(count):
        return [
            TrainingImage(f"blobs {k}", np.rot90(frame, k, (1, 2)), np.rot90(mask[:64, :64], k) * 1)
            for k in range(count)
        ]

    return turned
