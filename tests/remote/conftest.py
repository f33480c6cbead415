"""A Dask cluster in processes of its own, an image, and the request of its segmentation."""

import numpy as np
import pytest
from dask_cluster import Cluster

pytest.importorskip("distributed")

from napari_seglite import SegmentRequest

TINY = "nuclei-unet-sharp-tiny"


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory):
    """Return a function that starts a cluster; all end with the tests."""
    made = []

    def make(*options):
        made.append(Cluster(tmp_path_factory.mktemp("cluster"), *options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture(scope="session")
def cluster(make_cluster):
    """Return a cluster with one worker."""
    one = make_cluster()
    one.worker()
    return one


@pytest.fixture(scope="session")
def cells():
    """Return discs on a dark ground, uint8 (200, 232)."""
    rng = np.random.default_rng(3)
    shape = (200, 232)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for _ in range(30):
        cy, cx, r = rng.integers(0, shape[0]), rng.integers(0, shape[1]), rng.integers(5, 12)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < r**2
    return (mask * 100 + 20 + rng.normal(0, 5, shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def request_of():
    """Return a function that makes a request with tiles of 64 pixels."""

    def make(axes="YX", **settings):
        given = {"device": "cpu", "runtime": "torch", "tile": 64, "overlap": 16, **settings}
        return SegmentRequest(TINY, axes, **given)

    return make
