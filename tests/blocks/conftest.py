"""An image of cells, the request of its segmentation, and its labels from one machine."""

import numpy as np
import pytest
import tifffile

from napari_seglite import SegmentRequest
from napari_seglite.inference import segment

TINY = "nuclei-unet-sharp-tiny"


def _discs(shape, count, seed=3):
    """Return discs on a dark ground, uint8, some of which touch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for _ in range(count):
        cy, cx, r = rng.integers(0, shape[0]), rng.integers(0, shape[1]), rng.integers(5, 12)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < r**2
    return (mask * 100 + 20 + rng.normal(0, 5, shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def discs():
    return _discs


@pytest.fixture(scope="session")
def image():
    return _discs((200, 232), 30)


@pytest.fixture(scope="session")
def image_path(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("blocks") / "cells.tif"
    tifffile.imwrite(path, image)
    return path


@pytest.fixture(scope="session")
def request_of():
    def make(axes="YX", **settings):
        given = {"device": "cpu", "runtime": "torch", "tile": 64, "overlap": 16, **settings}
        return SegmentRequest(TINY, axes, **given)

    return make


@pytest.fixture(scope="session")
def objects(image, request_of):
    """Return the objects that one machine finds."""
    labels = segment(image, request_of(output="instances", min_size=15)).labels
    assert labels.max() > 12
    return labels
