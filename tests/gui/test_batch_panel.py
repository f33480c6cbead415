"""Segmenting files from a window."""

import numpy as np
import pytest
from skimage.io import imsave

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
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
