"""Projects in a window, when the disk is full, the folder moves, or the project is damaged."""

import os
import shutil

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_seglite.annotation import AnnotationProject, ProjectImage
from napari_seglite.images import Corrections, ImageAxes

PATIENCE = 60_000


@pytest.fixture
def painted(viewer, dock, tmp_path, qtbot):
    """Return the labels of an image that was painted in a window, and saved."""
    viewer.add_image(np.zeros((60, 50), np.uint8), name="cells")
    labels = viewer.add_labels(np.zeros((60, 50), np.uint8), name="mask")
    dock.tracker.open(tmp_path / "first", create=True)
    dock.show_panel(dock.correct_panel)
    dock.correct_panel.labels_box.value = labels
    labels.paint((30, 20), 1)
    wait_for(qtbot, dock, "saved")
    return labels


def wait_for(qtbot, dock, state):
    name = dock.correct_panel.project.name
    qtbot.waitUntil(lambda: name.text().rpartition(" · ")[2] == state, timeout=PATIENCE)


def labels_in(folder):
    project = AnnotationProject.open(folder)
    (key,) = project.images
    found, regions = project.labels(key)[:], project.images[key].corrections.regions
    project.close()
    return found, regions


def answering(monkeypatch, folder):
    """Choose a folder whenever one is asked for."""
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))


@pytest.mark.parametrize("how", ["renamed", "deleted"])
def test_a_folder_that_moves_is_noticed(
    viewer, dock, click, qtbot, painted, tmp_path, monkeypatch, how
):
    folder = tmp_path / "first"
    if how == "renamed":
        folder.rename(tmp_path / "second")
    else:
        shutil.rmtree(folder)
    wait_for(qtbot, dock, "not saved")  # before anything else is painted
    assert "moved or deleted" in dock.correct_panel.status.text()
    painted.paint((5, 5), 1)
    dock.tracker.flush()
    assert not folder.exists()
    row = dock.correct_panel.project
    assert row.elsewhere_button.isVisible()

    answering(monkeypatch, tmp_path / "third")
    click(row.elsewhere_button)
    wait_for(qtbot, dock, "saved")
    assert not row.elsewhere_button.isVisible()
    painted.paint((50, 40), 1)
    dock.tracker.close()
    found, regions = labels_in(tmp_path / "third")
    np.testing.assert_array_equal(found, painted.data)
    assert found[5, 5]
    assert found[50, 40]
    assert regions
    if how == "renamed":  # what was saved before is there, and not locked
        assert labels_in(tmp_path / "second")[0][30, 20]


def test_a_folder_that_comes_back_is_used_again(dock, qtbot, painted, tmp_path):
    (tmp_path / "first").rename(tmp_path / "second")
    painted.paint((5, 5), 1)
    wait_for(qtbot, dock, "not saved")
    (tmp_path / "second").rename(tmp_path / "first")
    wait_for(qtbot, dock, "saved")
    dock.tracker.close()
    np.testing.assert_array_equal(labels_in(tmp_path / "first")[0], painted.data)


@pytest.fixture
def full_disk(monkeypatch, tmp_path):
    """Let nothing more be written into the first project; return what ends that."""
    real = os.fsync

    def fsync(descriptor):
        if (tmp_path / "first").as_posix() in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return lambda: monkeypatch.setattr(os, "fsync", real)


def test_a_full_disk_is_tried_again_by_itself(dock, qtbot, painted, tmp_path, full_disk):
    painted.paint((5, 5), 1)
    wait_for(qtbot, dock, "not saved")
    assert "No space left" in dock.correct_panel.status.text()
    full_disk()
    wait_for(qtbot, dock, "saved")  # without another stroke
    dock.tracker.close()
    np.testing.assert_array_equal(labels_in(tmp_path / "first")[0], painted.data)


def answer_box(text):
    """Click a button of the message box that is about to open."""

    def click():
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(50, click)
            return
        asked.append(box.text())
        next(button for button in box.buttons() if button.text() == text).click()

    asked: list[str] = []
    QTimer.singleShot(50, click)
    return asked


def test_closing_says_what_is_not_saved(
    viewer, dock, qtbot, painted, tmp_path, full_disk, monkeypatch
):
    painted.paint((5, 5), 1)
    asked = answer_box("Do not close")
    closing = QCloseEvent()
    QApplication.sendEvent(dock.window(), closing)
    assert "Corrections of cells are not saved" in asked[0]
    assert not closing.isAccepted()
    assert dock.window().isVisible()
    answering(monkeypatch, tmp_path / "other")
    answer_box("Save elsewhere …")
    assert dock.correct_panel.may_close()
    dock.tracker.close()
    np.testing.assert_array_equal(labels_in(tmp_path / "other")[0], painted.data)
    full_disk()
    assert labels_in(tmp_path / "first")[0][30, 20]  # nothing keeps it locked


def test_labels_of_another_shape_are_told(dock, qtbot, painted, tmp_path):
    before = painted.data.copy()
    painted.data = np.ones((20, 20), np.uint8)
    wait_for(qtbot, dock, "not saved")
    assert "replaced by others of the shape (20, 20)" in dock.correct_panel.status.text()
    painted.data = before
    wait_for(qtbot, dock, "saved")
    dock.tracker.close()
    np.testing.assert_array_equal(labels_in(tmp_path / "first")[0], before)


def test_a_damaged_project_is_repaired_from_the_window(dock, qtbot, tmp_path, monkeypatch):
    folder = tmp_path / "damaged"
    project = AnnotationProject.open(folder, create=True)
    image = ProjectImage("a", "a", "", ImageAxes("YX"), Corrections((1, 60, 50)))
    project.add(image, np.full((60, 50), 3, np.uint8))
    project.store_pixels("a", np.zeros((60, 50), np.uint8))
    project.close()
    AnnotationProject.open(folder).close()
    (folder / "project.json").write_text("{")
    asked = []

    def answer(*arguments):
        asked.append(arguments[2])
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", answer)
    dock.correct_panel.project.open_project(folder)
    qtbot.waitUntil(lambda: dock.tracker.project is not None, timeout=PATIENCE)
    assert "project.json cannot be read" in asked[0]
    qtbot.waitUntil(lambda: not dock.correct_panel.project.busy, timeout=PATIENCE)
    (tracked,) = dock.tracker._tracked
    assert (np.asarray(tracked.labels.data) == 3).all()


def test_a_project_goes_into_one_file_and_comes_back(
    viewer, dock, qtbot, painted, tmp_path, monkeypatch
):
    row = dock.correct_panel.project
    zipped = str(tmp_path / "out.zip")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (zipped, ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (zipped, ""))
    row.ask_export()
    qtbot.waitUntil(lambda: not row.busy, timeout=PATIENCE)
    assert "out.zip" in dock.correct_panel.status.text()
    (tmp_path / "new").mkdir()
    answering(monkeypatch, tmp_path / "new")
    row.ask_import()
    qtbot.waitUntil(lambda: dock.tracker.project.folder.name == "new", timeout=PATIENCE)
    qtbot.waitUntil(lambda: not row.busy, timeout=PATIENCE)
    opened = viewer.layers[-1]
    np.testing.assert_array_equal(opened.data, painted.data)
    answering(monkeypatch, tmp_path / "first")
    row.ask_examine()
    qtbot.waitUntil(lambda: not row.busy, timeout=PATIENCE)
    assert "All is well" in dock.correct_panel.status.text()


def test_a_window_that_closes_on_a_full_disk_leaves_no_lock(
    viewer, dock, qtbot, painted, tmp_path, full_disk
):
    painted.paint((5, 5), 1)
    wait_for(qtbot, dock, "not saved")
    dock.tracker.close_without_qt()  # as when Qt destroys the window
    full_disk()
    found, _ = labels_in(tmp_path / "first")
    assert found[30, 20]


def test_the_name_in_the_preferences_is_stored(viewer, dock, qtbot, tmp_path):
    from napari_seglite.widgets.common import CorrectionTracker, preferences

    for name, stored in (("Ada", "Ada"), ("-", ""), ("", None)):
        preferences.save({"author": name})
        assert CorrectionTracker(viewer, dock).author == stored


def test_an_undo_is_saved_in_a_project_that_was_opened_later(dock, qtbot, painted, tmp_path):
    painted.paint((5, 5), 1)
    dock.tracker.close()
    dock.tracker.open(tmp_path / "later", create=True)
    painted.paint((50, 40), 1)
    painted.undo()
    painted.undo()  # a stroke that the later project never heard of
    wait_for(qtbot, dock, "saved")
    dock.tracker._autosave.stop()  # nothing is compared at closing
    dock.tracker.flush()
    dock.tracker.project.close()
    np.testing.assert_array_equal(labels_in(tmp_path / "later")[0], painted.data)
    assert not painted.data[5, 5]
