"""Shipped checkpoints find the same in real images through ONNX Runtime as through SegLite."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.io import imread

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointStore
from napari_seglite.exchange import export_model, import_model

pytest.importorskip("onnxruntime")

# A part of each image, so that the test takes seconds.
SIDE = 192
CASES = {
    "nuclei-unet-sharp": ("nuclei/test/images", "YX"),
    "vessels-u2net-msac": ("vessels-chase/test/images", "YXC"),
}


def images(folder, axes):
    """Return the middles of the first three images of a folder with so many axes."""
    found = []
    for path in sorted(folder.iterdir()):
        image = imread(path)
        if image.ndim == 3 and axes == "YX" and np.ptp(image[..., :3], axis=2).max() == 0:
            image = image[..., 0]  # grey, stored as colours
        if image.ndim == len(axes):
            top, left = ((length - min(length, SIDE)) // 2 for length in image.shape[:2])
            found.append(image[top : top + SIDE, left : left + SIDE])
        if len(found) == 3:
            return found
    pytest.skip(f"{folder} holds fewer than three such images")


@pytest.mark.parametrize("name", CASES)
def test_labels_of_real_images_are_the_same_through_onnx_runtime(name, real_images, tmp_path):
    """Only a pixel whose probability is within rounding of the threshold may differ."""
    folder, axes = CASES[name]
    given = images(real_images / folder, axes)
    store = CheckpointStore()
    path = export_model(store, name, "onnx", tmp_path / "network.onnx")
    graph = import_model(store, path, name="graph")
    assert graph.network == "graph"
    ours, theirs = Segmenter(store), Segmenter(store)
    found = 0
    for image in given:
        request = SegmentRequest(name, axes, device="cpu", output="semantic", runtime="torch")
        expected = ours.segment(image, request)
        result = theirs.segment(image, replace(request, checkpoint=graph.id))
        different = expected.labels != result.labels
        found += np.count_nonzero(expected.labels)
        close = np.abs(expected.probabilities[0, 0].astype(np.float32) - 0.5) < 1e-3
        assert not (different & ~close.reshape(different.shape)).any()
        assert np.count_nonzero(different) <= 2
        gap = expected.probabilities.astype(np.float32) - result.probabilities
        assert np.abs(gap).max() < 2e-3  # they are kept in float16
    assert found > 500
