"""Labels that do not fit into memory: shown from disk, painted on, and replaced with care."""

import numpy as np
import pytest
import zarr

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.images import chunked


@pytest.fixture
def on_disk(monkeypatch):
    """Let nothing fit into memory."""
    monkeypatch.setattr(chunked, "IN_MEMORY", 1000)


def settled(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.relabeller.busy, timeout=300_000)


def expected(nuclei, **settings):
    return segment_array(nuclei, SegmentRequest("nuclei-unet-sharp", "YX", **settings)).labels[:]


def test_labels_on_disk_follow_the_threshold_until_they_are_painted_on(
    on_disk, viewer, dock, segment, qtbot, nuclei
):
    viewer.add_image(nuclei)
    layer, panel = segment(), dock.segment_panel
    assert isinstance(layer.data, zarr.Array)
    np.testing.assert_array_equal(layer.data[:], expected(nuclei))
    panel.form.threshold.setValue(0.9)
    settled(qtbot, panel)
    np.testing.assert_array_equal(layer.data[:], expected(nuclei, threshold=0.9))
    assert not panel.last.edited
    layer.paint((2, 140), 1)
    assert layer.data[2, 140] == 1
    assert panel.last.edited
    painted = layer.data[:]
    panel.form.threshold.setValue(0.2)
    settled(qtbot, panel)
    np.testing.assert_array_equal(layer.data[:], painted)
    assert "stay" in panel.status.text()


def test_a_part_is_put_into_labels_on_disk(on_disk, viewer, dock, segment, nuclei):
    image = viewer.add_image(nuclei)
    form = dock.segment_panel.form
    form.output_box.setCurrentIndex(1)
    layer = segment()
    whole = layer.data[:]
    image.data = nuclei[::-1].copy()
    corners = np.array([[20, 30], [20, 90], [80, 90], [80, 30]]) - 0.5
    viewer.add_shapes([corners])
    form.area_box.setCurrentIndex(form.area_box.findData("shapes"))
    assert segment() == layer
    merged = layer.data[:]
    inside = np.zeros(nuclei.shape, bool)
    inside[20:80, 30:90] = True
    np.testing.assert_array_equal(merged[~inside], whole[~inside])
    fresh = expected(nuclei[::-1], output="instances", region="20,30,80,90")
    np.testing.assert_array_equal(merged[inside] > 0, fresh[inside] > 0)
    assert not set(np.unique(merged[inside])) & set(np.unique(whole)) - {0}
