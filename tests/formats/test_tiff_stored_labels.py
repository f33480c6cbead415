"""Labels in a temporary folder are written plane by plane, into the very same TIFF."""

import numpy as np
import pytest

from napari_seglite.formats import tiff_write
from napari_seglite.images import Grid, chunked


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize(("shape", "axes"), [((70, 60), "YX"), ((2, 3, 40, 50), "TZYX")])
def test_stored_labels_become_the_same_file(shape, axes, dtype, tmp_path):
    labels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    stored = chunked.zeros(shape, dtype, in_memory=0)
    stored[:] = labels
    assert not isinstance(stored, np.ndarray)
    for name, given in (("memory", labels), ("stored", stored)):
        tiff_write.write(tmp_path / f"{name}.tif", given, {"checkpoint": "any"}, Grid(axes))
    first, second = ((tmp_path / f"{name}.tif").read_bytes() for name in ("memory", "stored"))
    assert first == second
