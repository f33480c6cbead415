"""Segmenting files from a window."""

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.cli import main
from napari_seglite.formats import read_labels


@pytest.fixture
def panel(dock):
    """Return the Batch tab, shown."""
    dock.show_panel(dock.batch_panel)
    return dock.batch_panel


def test_files_become_labels_and_a_bad_one_says_why(dock, panel, nuclei, qtbot, click, tmp_path):
    dock.segment_panel.form.threshold.setValue(0.7)
    for name, pixels in (("a", nuclei), ("b", nuclei[::-1])):
        imsave(tmp_path / f"{name}.png", pixels, check_contrast=False)
    (tmp_path / "c.tif").write_text("no image")
    panel.set_files([tmp_path / name for name in ("a.png", "c.tif", "b.png")])
    panel.folder.setText(str(tmp_path / "out"))
    click(panel.start_button)
    assert panel.busy
    qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)
    assert panel.status.text().startswith(f"2 of 3 files segmented into {tmp_path / 'out'}.")
    assert [panel.list.item(k).text() for k in range(3)] == ["✓ a.png", "✗ c.tif", "✓ b.png"]
    assert "c.tif: the file is damaged or not an image" in panel.list.item(1).toolTip()
    expected = segment_array(nuclei[::-1], SegmentRequest("nuclei-s-net", "YX", threshold=0.7))
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "b_labels.tif"), expected.labels)


def test_cancelling_keeps_what_is_done(panel, nuclei, qtbot, click, tmp_path):
    for k in range(6):
        imsave(tmp_path / f"{k}.png", nuclei, check_contrast=False)
    panel.set_files([tmp_path / f"{k}.png" for k in range(6)])
    click(panel.start_button)
    qtbot.waitUntil(lambda: panel.list.item(0).text().startswith("✓"), timeout=120_000)
    panel.cancel()
    qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
    assert "Cancelled" in panel.status.text()
    assert (tmp_path / "0_labels.tif").exists()
    assert not (tmp_path / "5_labels.tif").exists()


def test_matching_needs_sizes(panel, nuclei, qtbot, click, tmp_path):
    imsave(tmp_path / "a.png", nuclei, check_contrast=False)
    panel.set_files([tmp_path / "a.png"])
    panel.match.setChecked(True)
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
    assert "pixel size of the checkpoint nuclei-s-net is unknown" in panel.list.item(0).toolTip()


def test_a_click_opens_labels_on_their_image(viewer, panel, nuclei, qtbot, click, tmp_path):
    for name in "ab":
        path = tmp_path / f"{name}.c.tif"
        options = {"resolution": (4, 2), "metadata": {"unit": "um"}}
        tifffile.imwrite(path, nuclei, imagej=True, **options)
    (tmp_path / "bad.tif").write_text("no image")
    panel.set_files([tmp_path / name for name in ("a.c.tif", "bad.tif", "b.c.tif")])
    panel.folder.setText(str(tmp_path / "out"))
    assert not panel.open_button.isEnabled()
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)
    for item in (0, 1, 2):
        panel.list.item(item).setSelected(True)
    click(panel.open_button)
    qtbot.waitUntil(lambda: not panel.opener.runner.busy, timeout=60_000)
    assert panel.status.text() == "2 of 2 results opened."
    assert [layer.name for layer in viewer.layers] == ["a.c", "a.c_labels", "b.c", "b.c_labels"]
    image, labels = viewer.layers[2:]
    assert type(labels).__name__ == "Labels"
    np.testing.assert_allclose(image.scale, (0.5, 0.25))
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    assert labels.units == image.units
    # Once more: the image is open already, and the labels are damaged now.
    (tmp_path / "out" / "b.c_labels.tif").write_text("no labels")
    panel.list.itemDoubleClicked.emit(panel.list.item(2))
    qtbot.waitUntil(lambda: not panel.opener.runner.busy, timeout=60_000)
    assert panel.status.text().startswith("1 of 2 results opened. ")
    assert "b.c_labels.tif: the file is damaged" in panel.status.text()
    assert len(viewer.layers) == 5


def test_labels_of_the_shell_lie_on_their_image(viewer, nuclei, tmp_path):
    path = tmp_path / "cells.tif"
    options = {"resolution": (4, 2), "metadata": {"axes": "ZYX", "unit": "um", "spacing": 2.0}}
    tifffile.imwrite(path, np.stack([nuclei] * 2), imagej=True, **options)
    command = ["segment", str(path), "--checkpoint", "nuclei-s-net", "--output", str(tmp_path)]
    assert main(command) == 0
    image, labels = viewer.open([path, tmp_path / "cells_labels.tif"], plugin="napari-seglite")
    assert type(labels).__name__ == "Labels"
    assert labels.data.any()
    np.testing.assert_allclose(image.scale, (2, 0.5, 0.25))
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    assert labels.units == image.units
