"""What tests share: real images where they are to be had, and a data folder of their own."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from napari_seglite.runtime import tuning

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("SEGLITE_SHARED", ROOT.parent / "shared"))


def pytest_collection_modifyitems(items):
    """Begin with the slow tests where workers share them, so that no worker ends long after."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Keep the tests' checkpoints out of the user's data folder."""
    monkeypatch.setenv("SEGLITE_DATA", str(tmp_path / "seglite-data"))
    return tmp_path / "seglite-data"


@pytest.fixture(autouse=True)
def no_tuning(monkeypatch):
    """Keep long tests from tuning networks in the background, which would slow the others."""
    monkeypatch.setattr(tuning, "PAYS_AFTER", math.inf)


@pytest.fixture(scope="session")
def real_images():
    """Return the folder of labelled images."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"the labelled images are not here ({folder})")
    return folder


@pytest.fixture(scope="session")
def reference_outputs():
    """Return the folder with the published networks' outputs."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip(f"the published networks' outputs are not here ({folder})")
    return folder


@pytest.fixture
def blobs():
    """Return an image of bright discs, float32 (96, 120), and its mask."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :120]
    mask = np.zeros((96, 120), bool)
    for cy, cx in ((20, 25), (60, 40), (35, 85), (75, 95)):
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < 12**2
    return (mask * 100 + 20 + rng.normal(0, 5, mask.shape)).astype(np.float32), mask


@pytest.fixture
def store(data_folder):
    """Return a store whose own checkpoints lie in the test's folder."""
    from napari_seglite.checkpoints import CheckpointStore

    return CheckpointStore()


@pytest.fixture
def untrained(store):
    """Return the card of a stored S-Net with fresh weights."""
    import torch

    import src_models
    from napari_seglite.checkpoints import CheckpointInfo

    torch.manual_seed(0)
    network = src_models.create("s-net")
    return store.save(CheckpointInfo("untrained", "s-net"), network.state_dict())


@pytest.fixture
def light(store):
    """Return the card of a stored light network with fresh weights."""
    import torch

    import src_models
    from napari_seglite.checkpoints import CheckpointInfo

    torch.manual_seed(0)
    network = src_models.create("u2net-msac")
    return store.save(CheckpointInfo("light", "u2net-msac"), network.state_dict())
