"""What the user says about an image: its axes, its channels, its level."""

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication
from skimage.transform import downscale_local_mean

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.formats import ImageFile
from napari_seglite.widgets.common import layers
from napari_seglite.widgets.file_layers import KEY, READING, find_facts
from napari_seglite.widgets.file_layers.facts import facts_from


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
    expected = segment_array(nuclei[::-1], SegmentRequest("nuclei-unet-sharp", "YX")).labels
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
    request = SegmentRequest("nuclei-unet-sharp", "YX", level=1)
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


@pytest.fixture
def plate(tmp_path, nuclei):
    """Return a file of two images: three channels with names, and a single one."""
    path = tmp_path / "plate.b.ome.tif"
    sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(path, ome=True) as writer:
        channels = {"Name": ["DAPI", "GFP", "Texas Red"]}
        writer.write(
            np.stack([nuclei, nuclei[::-1], nuclei[:, ::-1]]),
            metadata={"axes": "CYX", "Name": "well A1", "Channel": channels, **sizes},
        )
        writer.write(nuclei[::-1], metadata={"axes": "YX", "Name": "well B2", **sizes})
    return path


def test_other_images_of_a_file_open_as_layers(viewer, dock, rows, segment, plate, nuclei, qtbot):
    (first,) = viewer.open(plate, plugin="napari-seglite")
    assert rows.scenes.box.isVisible()
    assert "well B2" in rows.scenes.box.itemText(1)
    for _ in range(2):  # the second time it is open already
        rows.box.value = first
        assert rows.scenes.box.currentIndex() == 0
        rows.scenes.box.setCurrentIndex(1)
        rows.scenes.box.activated.emit(1)
        qtbot.waitUntil(lambda: not rows.scenes.runner.busy, timeout=60_000)
    assert len(viewer.layers) == 2
    assert rows.image.name == "plate.b well B2"
    assert rows.scenes.box.currentIndex() == 1
    np.testing.assert_array_equal(rows.image.data, nuclei[::-1])
    np.testing.assert_allclose(rows.image.scale, (0.5, 0.25))
    segment()
    dock.segment_panel.copy_command.click()
    assert f"{plate}#2" in QApplication.clipboard().text()


def test_an_image_that_cannot_be_opened_is_said(viewer, rows, plate, qtbot):
    viewer.open(plate, plugin="napari-seglite")
    plate.write_text("gone")
    rows.scenes.box.setCurrentIndex(1)
    rows.scenes.box.activated.emit(1)
    qtbot.waitUntil(lambda: not rows.scenes.runner.busy, timeout=60_000)
    assert plate.name in rows.info.text()
    assert "damaged" in rows.info.text()
    assert rows.scenes.box.currentIndex() == 0
    assert rows.scenes.box.isEnabled()


def test_what_was_understood_is_shown_under_the_pointer(viewer, rows, plate, tmp_path):
    viewer.open(plate, plugin="napari-seglite")
    told = rows.info.toolTip()
    for part in ("Image 1 of 2", "C 3, Y 112, X 144", "Y 0.5 um, X 0.25 um", "uint8"):
        assert part in told
    assert rows.box.native.toolTip() == told
    viewer.add_image(np.zeros((20, 20)), name="from nowhere")
    rows.box.value = viewer.layers[-1]
    assert rows.info.toolTip() == ""
    assert not rows.scenes.box.isVisible()


def test_channels_have_names(viewer, dock, rows, nuclei):
    image = ImageFile.from_levels([np.stack([nuclei] * 3)], "CYX", channels=("DAPI", "GFP", "Red"))
    layer = viewer.add_image(image.array, metadata={KEY: facts_from(image, "a.tif")})
    texts = [rows.channels_box.itemText(k) for k in range(rows.channels_box.count())]
    assert texts == ["all", "0 DAPI", "1 GFP", "2 Red"]
    rows.channels_box.setCurrentIndex(2)
    rows.channels_box.activated.emit(2)
    assert layers.choice(layer, "channels") == (1,)
    assert rows.channels_box.currentText() == "1"
    enter(rows.channels_box, "2 red")
    assert layers.choice(layer, "channels") == (2,)
    enter(rows.channels_box, "2,0")
    assert layers.choice(layer, "channels") == (2, 0)


def test_segmenting_waits_for_what_the_file_says(viewer, dock, nuclei, tmp_path, qtbot):
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, np.stack([nuclei] * 2), imagej=True, metadata={"axes": "CYX"})
    layer = viewer.add_image(tifffile.imread(path))
    layer.metadata[KEY] = READING
    panel = dock.segment_panel
    panel.segment()
    assert not panel.busy
    assert "Reading" in panel.status.text()
    layer.metadata[KEY] = find_facts(path, layer.data)
    qtbot.waitUntil(lambda: panel.last is not None and not panel.busy, timeout=120_000)
    assert panel.last.result.request.axes == "CYX"
    assert panel.last.layer.data.shape == nuclei.shape
