"""What was written opens in napari exactly where its image lies."""

import numpy as np
import pytest

from napari_seglite.formats import write_labels


@pytest.mark.parametrize("end", ["tif", "zarr"])
def test_labels_reopen_on_their_image(viewer, tmp_path, end):
    labels = (np.arange(3 * 20 * 30).reshape(3, 20, 30) % 9).astype(np.uint16)
    path = tmp_path / f"cells_labels.{end}"
    recipe = {"checkpoint": "c"}
    write_labels(path, labels, recipe=recipe, spacing=(2.0, 0.5, 0.25), unit="um", axes="ZYX")
    image = viewer.add_image(labels * 2, scale=(2, 0.5, 0.25), units="um", name="cells")
    (layer,) = viewer.open(path, plugin="napari-seglite")
    assert type(layer).__name__ == "Labels"
    np.testing.assert_array_equal(layer.data, labels)
    np.testing.assert_allclose(layer.extent.world, image.extent.world)
    assert layer.units == image.units
    assert layer.axis_labels == ("z", "y", "x")
    assert layer.metadata["seglite"] == recipe
    assert layer.editable


def test_masks_of_cellpose_are_corrections(viewer, tmp_path):
    masks = np.eye(20, dtype=np.uint16)
    np.save(tmp_path / "a_seg.npy", {"masks": masks}, allow_pickle=True)
    (layer,) = viewer.open(tmp_path / "a_seg.npy", plugin="napari-seglite")
    assert type(layer).__name__ == "Labels"
    np.testing.assert_array_equal(layer.data, masks)


def test_a_damaged_file_is_said(viewer, tmp_path):
    (tmp_path / "a_seg.npy").write_text("no")
    with pytest.raises(OSError, match=r"a_seg\.npy: the file is not a Cellpose result"):
        viewer.open(tmp_path / "a_seg.npy", plugin="napari-seglite")
    assert len(viewer.layers) == 0
