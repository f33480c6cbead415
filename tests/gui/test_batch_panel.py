"""Segmenting files from a window."""

import re

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox
from skimage.io import imsave

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.cli import main
from napari_seglite.formats import read_labels, read_recipe, write_labels
from napari_seglite.widgets.tools.time_left import TimeLeft


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
    assert names(panel) == ["✓ a.png", "✗ c.tif", "✓ b.png"]
    assert re.fullmatch(r"✓ a.png  \(0\.9\d\)", panel.list.item(0).text())  # the Dice to expect
    assert "c.tif: the file is damaged or not an image" in panel.list.item(1).toolTip()
    expected = segment_array(nuclei[::-1], SegmentRequest("nuclei-unet-sharp", "YX", threshold=0.7))
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
    assert (
        "pixel size of the checkpoint nuclei-unet-sharp is unknown" in panel.list.item(0).toolTip()
    )


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
    assert panel.status.text().startswith("0 of 1 results opened. ")
    assert "b.c_labels.tif: the file is damaged" in panel.status.text()
    assert len(viewer.layers) == 4
    panel.list.itemDoubleClicked.emit(panel.list.item(1))
    assert "no labels yet" in panel.status.text()


def test_labels_of_the_shell_lie_on_their_image(viewer, nuclei, tmp_path):
    path = tmp_path / "cells.tif"
    options = {"resolution": (4, 2), "metadata": {"axes": "ZYX", "unit": "um", "spacing": 2.0}}
    tifffile.imwrite(path, np.stack([nuclei] * 2), imagej=True, **options)
    command = ["segment", str(path), "--checkpoint", "nuclei-unet-sharp", "--output", str(tmp_path)]
    assert main(command) == 0
    image, labels = viewer.open([path, tmp_path / "cells_labels.tif"], plugin="napari-seglite")
    assert type(labels).__name__ == "Labels"
    assert labels.data.any()
    np.testing.assert_allclose(image.scale, (2, 0.5, 0.25))
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    assert labels.units == image.units


def drop(widget, paths):
    """Drop files and folders on a widget, as a file manager does."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    action, none = Qt.DropAction.CopyAction, Qt.KeyboardModifier.NoModifier
    left = Qt.MouseButton.LeftButton
    enter = QDragEnterEvent(QPoint(5, 5), action, data, left, none)
    QApplication.sendEvent(widget.viewport(), enter)
    assert enter.isAccepted()
    QApplication.sendEvent(widget.viewport(), QDropEvent(QPointF(5, 5), action, data, left, none))


def names(panel):
    """Return the texts of the list without the expected Dice."""
    texts = [panel.list.item(row).text() for row in range(panel.list.count())]
    return [re.sub(r"  \(\d\.\d\d\)$", "", text) for text in texts]


def test_files_and_folders_are_dropped_and_deleted(
    panel, nuclei, qtbot, monkeypatch, click, tmp_path
):
    for place in ("one/a.png", "one/b.png", "two/a.png", "c.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        imsave(tmp_path / place, nuclei, check_contrast=False)
    drop(panel.list, [tmp_path / "c.png", tmp_path / "one"])
    qtbot.waitUntil(lambda: panel.list.count() == 3, timeout=20_000)
    assert names(panel) == ["c.png", "a.png", "b.png"]
    assert panel.status.text() == "3 files added."
    qtbot.waitUntil(lambda: not panel.finder.busy)
    chosen = str(tmp_path / "two")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: chosen)
    click(panel.add_folder_button)
    qtbot.waitUntil(lambda: panel.list.count() == 4, timeout=20_000)
    assert names(panel) == ["c.png", "one/a.png", "b.png", "two/a.png"]
    qtbot.waitUntil(lambda: not panel.finder.busy)
    for row in (0, 2):
        panel.list.item(row).setSelected(True)
    qtbot.keyClick(panel.list, Qt.Key.Key_Delete)
    assert panel.files == [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"]
    assert (tmp_path / "c.png").exists()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    click(panel.add_folder_button)
    assert panel.list.count() == 2


def answer(button):
    """Click a button of the question that is about to be asked; return what it says."""
    asked = []

    def press():
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(50, press)
            return
        asked.extend([box.text(), box.informativeText()])
        next(b for b in box.buttons() if b.text() == button).click()

    QTimer.singleShot(50, press)
    return asked


def test_labels_go_beside_their_images_and_are_replaced_only_if_told(
    viewer, panel, nuclei, qtbot, click, tmp_path
):
    paths = [tmp_path / place for place in ("one/a.png", "two/a.png", "two/b.png")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        imsave(path, nuclei, check_contrast=False)
    panel.set_files(paths[:2])
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)
    targets = [path.with_name(f"{path.stem}_labels.tif") for path in paths]
    assert [target.exists() for target in targets] == [True, True, False]
    assert panel.status.text() == "2 of 2 files segmented each beside its image."
    before = [target.read_bytes() for target in targets[:2]]
    corrected = read_labels(targets[0]) * 0 + 1
    write_labels(targets[0], corrected, recipe=read_recipe(targets[0]))
    before[0] = targets[0].read_bytes()

    panel.list.add([paths[2]])
    asked = answer("Cancel")
    click(panel.start_button)
    assert not panel.busy
    assert asked[0].startswith("2 of 3 images have labels already")
    assert str(targets[0]) in asked[1]
    assert not targets[2].exists()
    answer("Skip those")
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)
    assert panel.status.text().endswith("2 files with labels kept.")
    assert names(panel) == ["– one/a.png", "– two/a.png", "✓ b.png"]
    assert [target.read_bytes() for target in targets[:2]] == before
    # What was kept can be opened, too.
    panel.list.itemDoubleClicked.emit(panel.list.item(0))
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=60_000)
    assert viewer.layers["a_labels"].data.all()
    answer("Replace")
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)
    assert names(panel) == ["✓ one/a.png", "✓ two/a.png", "✓ b.png"]
    assert not read_labels(targets[0]).all()


def test_time_left_is_told_once_it_is_known_and_never_negative():
    now = [0.0]
    left = TimeLeft(clock=lambda: now[0])
    assert left.text(0.5) == ""
    now[0] = 60.0
    assert left.text(0.25) == "about 3 min left"
    assert left.text(0.9) == "about 5 s left"
    assert left.text(1.2) == "about 5 s left"
    assert left.text(0.0) == ""
    now[0] = 36_000.0
    assert left.text(0.5) == "about 10 h left"
