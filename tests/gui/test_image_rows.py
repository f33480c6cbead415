"""What the user says about an image: its axes, its channels, its level."""

import numpy as np
import pytest
from skimage.transform import downscale_local_mean

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array


@pytest.fixture
def rows(dock):
    """Return the form's rows about the image."""
    return dock.segment_panel.form.image_rows


def enter(box, text):
    """Type into a box as a user does who then goes on."""
    box.lineEdit().setText(text)
    box.lineEdit().editingFinished.emit()


def test_a_guess_of_the_axes_can_be_put_right(viewer, dock, rows, segment, nuclei):
    layer = viewer.add_image(np.stack([nuclei, nuclei[::-1]]), name="two")
    assert rows.axes_box.currentText() == "ZYX"
    assert not rows.channels_box.isVisible()
    enter(rows.axes_box, "cyx")
    assert rows.info.text() == "2-D, 2 channels, 144 × 112, uint8"
    assert rows.channels_box.isVisible()
    enter(rows.channels_box, "1")
    labels = segment()
    request = dock.segment_panel.last.result.request
    assert (request.axes, request.channels) == ("CYX", (1,))
    expected = segment_array(nuclei[::-1], SegmentRequest("nuclei-s-net", "YX")).labels
    np.testing.assert_array_equal(labels.data, expected)
    # Labels of other axes have another shape, so they get a layer of their own.
    rows.axes_box.setCurrentText("ZYX")
    rows.axes_box.activated.emit(0)
    assert dock.segment_panel.form.request().channels is None
    assert segment().data.shape == layer.data.shape
    assert labels.data.shape == nuclei.shape


def test_axes_and_channels_that_cannot_be_are_said(viewer, rows, nuclei):
    viewer.add_image(np.stack([nuclei, nuclei]), name="two", axis_labels=("c", "y", "x"))
    enter(rows.axes_box, "QYX")
    assert "'QYX'" in rows.info.text()
    assert "two" in rows.info.text()
    assert rows.axes_box.currentText() == "CYX"
    enter(rows.channels_box, "5")
    assert rows.info.text() == "two has no channel 5; it has 2, from 0."
    enter(rows.channels_box, "red")
    assert "names no channels" in rows.info.text()


def test_a_level_of_a_multiscale_image(viewer, dock, rows, segment, nuclei):
    levels = [nuclei, downscale_local_mean(nuclei, (2, 2)).astype(np.uint8)]
    image = viewer.add_image(levels, multiscale=True, scale=(0.5, 0.25), translate=(3, 4))
    assert rows.level_box.isVisible()
    assert segment().data.shape == nuclei.shape
    rows.level_box.setCurrentIndex(1)
    rows.level_box.activated.emit(1)
    labels = segment()
    request = SegmentRequest("nuclei-s-net", "YX", level=1)
    np.testing.assert_array_equal(labels.data, segment_array(levels, request).labels)
    assert labels.data.shape == (56, 72)
    for mine, its in (((-0.5, -0.5), (-0.5, -0.5)), ((55.5, 71.5), (111.5, 143.5))):  # edges
        np.testing.assert_allclose(labels.data_to_world(mine), image.data_to_world(its))
    assert "--level 1" in dock.segment_panel.last.result.request.as_command(["a.tif"], ".")


def test_the_visible_area_of_a_level(viewer, dock, rows, segment, nuclei):
    levels = [nuclei, downscale_local_mean(nuclei, (2, 2)).astype(np.uint8)]
    viewer.add_image(levels, multiscale=True)
    rows.level_box.setCurrentIndex(1)
    rows.level_box.activated.emit(1)
    box = dock.segment_panel.form.area_box
    box.setCurrentIndex(box.findData("visible"))
    viewer.camera.center, viewer.camera.zoom = (56, 72), 20
    dock.segment_panel.form.threshold.setValue(0.01)
    segment()
    asked = dock.segment_panel.last.result.asked()
    assert asked.shape == (56, 72)
    assert asked[28, 36]
    assert not asked[0].any()
