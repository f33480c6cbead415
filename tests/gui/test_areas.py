"""Segmenting a part of what is open."""

import numpy as np

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.images import Region


def choose(dock, area):
    box = dock.segment_panel.form.area_box
    box.setCurrentIndex(box.findData(area))


def only_inside(image, region):
    request = SegmentRequest("nuclei-unet-sharp", "YX", region=region)
    return segment_array(image, request).labels


def test_only_what_is_visible(viewer, dock, segment, nuclei):
    viewer.add_image(nuclei, scale=(0.5, 0.5), translate=(10, 20))
    choose(dock, "visible")
    viewer.camera.center, viewer.camera.zoom = (10 + 28, 20 + 36), 40
    labels = segment()
    region = dock.segment_panel.last.result.request.region
    rows, columns = Region.parse(region).box(nuclei.shape).slices
    assert 0 < rows.start < 56 < rows.stop < 112  # the camera looks at the middle
    assert 0 < columns.start < 72 < columns.stop < 144
    size = np.array(viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size)
    expected = size / 40 / 0.5  # screen pixels -> micrometres -> pixels
    assert abs(rows.stop - rows.start - expected[0]) < 3
    assert abs(columns.stop - columns.start - expected[1]) < 3
    np.testing.assert_array_equal(labels.data, only_inside(nuclei, region))


def test_inside_drawn_shapes_and_nothing_else_changes(viewer, dock, segment, nuclei):
    layer = viewer.add_image(nuclei, scale=(0.5, 0.5), translate=(10, 20))
    labels = segment()
    whole = labels.data.copy()
    layer.data = nuclei[::-1].copy()
    rectangle = np.array([[20, 30], [20, 60], [40, 60], [40, 30]])
    viewer.add_shapes([rectangle])
    choose(dock, "shapes")
    assert segment() == labels
    region = dock.segment_panel.last.result.request.region
    assert Region.parse(region).box(nuclei.shape) == (20, 20, 61, 81)
    inside = np.zeros(nuclei.shape, bool)
    inside[20:61, 20:81] = True
    assert (labels.data[inside] != whole[inside]).any()
    np.testing.assert_array_equal(labels.data[~inside], whole[~inside])


def test_an_ellipse_is_round(viewer, dock, segment, nuclei):
    viewer.add_image(nuclei)
    corners = np.array([[10, 20], [10, 120], [90, 120], [90, 20]])
    viewer.add_shapes([corners], shape_type="ellipse")
    choose(dock, "shapes")
    dock.segment_panel.form.threshold.setValue(0.01)
    segment()
    mask = dock.segment_panel.last.result.asked()
    assert abs(mask.sum() - np.pi * 40 * 50) < 60
    assert mask[50, 70]
    assert not mask[12, 22]


def test_nothing_drawn_is_said(viewer, dock, segment, nuclei):
    viewer.add_image(nuclei)
    choose(dock, "shapes")
    assert segment() is None
    assert "Nothing is drawn" in dock.segment_panel.status.text()
