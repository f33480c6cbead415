"""Images larger than memory are segmented chunk by chunk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_seglite import Segmenter, SegmentRequest, segment
from napari_seglite.images import chunked

SCRIPT = Path(__file__).parent / "large_image.py"


def measured(shape):
    # With all threads, as users have them.
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    command = [sys.executable, str(SCRIPT), shape]
    found = subprocess.check_output(command, env=environment, text=True)
    return json.loads(found)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak this way")
def test_memory_does_not_grow_with_the_image():
    # What threads hold at the same time is a matter of chance, so the middle of three counts.
    runs = [measured("5000x5000") for _ in range(3)]
    small, large = sorted(runs, key=lambda run: run["megabytes"])[1], measured("20000x20000")
    assert small["objects"] == 2 * 20 * 20  # the last of them are cut, and are objects still
    assert large["objects"] == 2 * 78 * 78
    assert large["on_disk"]
    assert large["megabytes"] < 1.2 * small["megabytes"]
    assert large["megabytes"] < 1500


@pytest.fixture
def stack(blobs):
    """Return an image float32 (3, 192, 240)."""
    image = np.tile(blobs[0], (2, 2))
    return np.stack([image, image[::-1], image[:, ::-1]])


@pytest.mark.parametrize("output", ["semantic", "instances"])
def test_the_same_labels_from_numpy_dask_zarr_and_a_file(
    stack, untrained, tmp_path, monkeypatch, output
):
    import dask.array
    import tifffile

    request = SegmentRequest(
        untrained.id, "ZYX", "cpu", output=output, tile=128, overlap=32, min_size=9, threshold=0.5
    )
    expected = segment(stack, request)
    median = float(np.median(expected.probabilities))
    request = SegmentRequest.from_dict({**request.as_dict(), "threshold": median})
    expected = expected.relabel(threshold=median)
    assert 0.3 < (expected.labels > 0).mean() < 0.7
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    roads = {
        "zarr": zarr.create_array(tmp_path / "a.zarr", data=stack, chunks=(1, 50, 70)),
        "dask": dask.array.from_array(stack, chunks=(2, 100, 100)),
        "memory-mapped": tifffile.memmap(tmp_path / "a.tif", mode="r"),
    }
    for name, image in roads.items():
        found = segment(image, request)
        np.testing.assert_array_equal(found.labels, expected.labels, err_msg=name)
    monkeypatch.setattr(chunked, "IN_MEMORY", 1000)
    monkeypatch.setattr(chunked, "CHUNK", 64)
    monkeypatch.setattr(chunked, "DEPTH", 2)
    monkeypatch.setattr(chunked, "BLOCK_PIXELS", 64 * 64 * 2)
    found = Segmenter().segment(roads["zarr"], request)
    assert isinstance(found.labels, zarr.Array)
    assert isinstance(found.probabilities, zarr.Array)
    np.testing.assert_array_equal(found.labels[:], expected.labels)
    assert found.counts == expected.counts
    again = found.relabel(output="semantic", threshold=median + 0.01)
    np.testing.assert_array_equal(
        again.labels[:], expected.relabel(output="semantic", threshold=median + 0.01).labels
    )
