"""Correcting in a real window: what is painted is marked, saved, listed and learnt."""

import json
import math
import re

import numpy as np
import pytest
from qtpy.QtWidgets import QMessageBox
from vispy.util.keys import SHIFT, Key

from napari_seglite import CheckpointStore
from napari_seglite.annotation import AnnotationProject, ProjectImage
from napari_seglite.images import Corrections, ImageAxes
from napari_seglite.widgets.common.colours import colour

PART = "corrected in part"
PATIENCE = 300_000  # milliseconds: tests do not measure time, and machines are busy


def paint(layer, number):
    """Paint a stroke over background in a slice."""
    layer.brush_size = 3
    layer.paint((number, *np.argwhere(layer.data[number] == 0)[0]), 1)


def states(dock):
    """Return what the list says of the first image's slices."""
    dock.correct_panel.show_regions()
    top = dock.correct_panel.list.topLevelItem(0)
    return [top.child(k).text(1) for k in range(top.childCount())]


def saved_labels(tracker):
    tracker.flush()
    project = tracker.project
    project.compact()
    (key,) = project.images
    return project.labels(key)[:]


def test_painting_is_marked_saved_and_undone(viewer, dock, click, qtbot, corrected):
    tracker, panel = dock.tracker, dock.correct_panel
    assert tracker.project is None  # looking makes no folders
    assert states(dock) == ["predicted"] * 4
    viewer.dims.set_current_step(0, 1)
    before = corrected.data.copy()
    paint(corrected, 1)
    assert (corrected.data != before).any()
    assert states(dock) == ["predicted", PART, "predicted", "predicted"]
    qtbot.waitUntil(lambda: "saved" in panel.project.name.text(), timeout=PATIENCE)
    np.testing.assert_array_equal(saved_labels(tracker), corrected.data)
    (region,) = tracker.corrected()[0].entry.corrections.regions
    assert (region.frame, region.strokes) == (1, 1)

    corrected.undo()
    np.testing.assert_array_equal(corrected.data, before)
    np.testing.assert_array_equal(saved_labels(tracker), before)
    assert states(dock) == ["predicted"] * 4
    assert tracker.annotated() == ()
    corrected.redo()
    assert (saved_labels(tracker) != before).any()
    assert states(dock) == ["predicted", PART, "predicted", "predicted"]

    # Another window is told, and writes nothing.
    from napari_seglite.errors import AnnotationError

    with pytest.raises(AnnotationError, match="another window"):
        AnnotationProject.open(tracker.project.folder)

    viewer.dims.set_current_step(0, 0)
    click(panel.slices.next_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    first = viewer.dims.current_step[0]
    assert first != 1
    assert re.search(r"most uncertain of 3 left", panel.status.text())
    click(panel.slices.next_button)  # skips
    second = viewer.dims.current_step[0]
    assert second not in (1, first)
    click(panel.slices.next_button)
    assert viewer.dims.current_step[0] not in (1, first, second)
    click(panel.slices.next_button)
    assert viewer.dims.current_step[0] == first  # all were shown once
    click(panel.slices.accept_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert states(dock)[first] == "accepted"
    assert panel.status.text().startswith(f"Slice {first} is accepted. Slice ")
    assert viewer.dims.current_step[0] not in (1, first)
    for _ in range(4):
        click(panel.slices.accept_button)
    assert "Everything" in panel.status.text()
    viewer.dims.set_current_step(0, 1)
    click(panel.slices.accept_button)  # what was painted is accepted, too
    assert states(dock) == ["accepted"] * 4
    item = panel.list.topLevelItem(0).child(1)
    panel.list.itemClicked.emit(item, 0)
    assert viewer.dims.current_step[0] == 1


def test_helpers_are_undone_in_one_step(viewer, dock, click, qtbot, corrected):
    panel, tools = dock.correct_panel, dock.correct_panel.tools

    def use(tool, where="slice"):
        tools.tool.setCurrentIndex(tools.tool.findData(tool))
        tools.where.setCurrentIndex(tools.where.findData(where))
        click(tools.apply_button)
        qtbot.waitUntil(lambda: not tools.busy, timeout=PATIENCE)

    viewer.dims.set_current_step(0, 1)
    before = corrected.data.copy()
    use("grow")
    assert (corrected.data > 0).sum() > (before > 0).sum()
    np.testing.assert_array_equal(corrected.data[[0, 2, 3]], before[[0, 2, 3]])
    assert states(dock)[1].startswith("corrected")
    corrected.undo()
    np.testing.assert_array_equal(corrected.data, before)
    assert states(dock)[1] == "predicted"
    paint(corrected, 1)
    use("fill")  # what was predicted may have holes
    filled, steps = corrected.data.copy(), len(corrected._undo_history)
    use("fill")
    assert "Nothing to change" in panel.status.text()
    np.testing.assert_array_equal(corrected.data, filled)
    assert len(corrected._undo_history) == steps
    for _ in range(steps):
        corrected.undo()
    np.testing.assert_array_equal(corrected.data, before)
    use("shrink", "all")
    assert all((corrected.data[k] > 0).sum() < (before[k] > 0).sum() for k in (0, 1, 3))
    corrected.undo()
    np.testing.assert_array_equal(corrected.data, before)

    use("interpolate")
    assert "between two" in panel.status.text()
    assert colour("error") in panel.status.styleSheet()
    click(panel.slices.complete_button)
    shapes = viewer.layers["complete"]
    shapes.add_rectangles(np.array([[10, 10], [10, 60], [40, 60], [40, 10]]))
    click(panel.slices.complete_button)
    assert states(dock)[1] == "complete"
    use("delete")
    gone = corrected.data[1] != before[1]
    assert gone.any()
    assert not corrected.data[1][gone].any()
    np.testing.assert_array_equal(corrected.data[0], before[0])


def test_a_project_is_opened_again(viewer, dock, click, qtbot, corrected, tmp_path):
    panel = dock.correct_panel
    paint(corrected, 0)
    dock.tracker.flush()
    folder = dock.tracker.project.folder
    painted = corrected.data.copy()
    panel.project.open_project(tmp_path / "other")
    assert dock.tracker.project.folder == tmp_path / "other"
    viewer.layers.clear()
    panel.project.open_project(folder)
    qtbot.waitUntil(lambda: "Opened" in panel.status.text(), timeout=PATIENCE)
    layer = viewer.layers["cells corrected"]
    np.testing.assert_array_equal(layer.data, painted)
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.5))
    assert states(dock)[0] == PART
    paint(layer, 3)
    assert states(dock)[3] == PART
    np.testing.assert_array_equal(saved_labels(dock.tracker), layer.data)


def test_marks_and_images_are_taken_back(viewer, dock, qtbot, corrected, monkeypatch):
    panel, tracker = dock.correct_panel, dock.tracker
    for number in (0, 1):
        paint(corrected, number)
    tracker.flush()
    painted = corrected.data.copy()
    assert states(dock) == [PART, PART, "predicted", "predicted"]
    top = panel.list.topLevelItem(0)
    assert [a.text() for a in panel.list.menu_of(top.child(2)).actions()] == []
    (forget,) = panel.list.menu_of(top.child(1)).actions()
    forget.trigger()
    assert states(dock) == [PART, "predicted", "predicted", "predicted"]
    tracker.flush()
    stored = json.loads((tracker.project.folder / "project.json").read_text())
    assert [r["frame"] for r in stored["images"][0]["corrections"]["regions"]] == [0]

    (remove,) = panel.list.menu_of(panel.list.topLevelItem(0)).actions()
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    remove.trigger()
    assert list(tracker.project.images) == ["cells"]
    remove.trigger()
    assert list(tracker.project.images) == []
    np.testing.assert_array_equal(corrected.data, painted)
    # The next stroke takes it in again, with everything that is painted by then.
    paint(corrected, 2)
    assert states(dock) == ["predicted", "predicted", PART, "predicted"]
    np.testing.assert_array_equal(saved_labels(tracker), corrected.data)


def test_classes_have_names_and_colours(viewer, dock, click, qtbot, corrected, tmp_path):
    panel, row = dock.correct_panel, dock.correct_panel.classes
    assert [row.box.itemText(k) for k in range(row.box.count())] == ["object"]
    before = corrected.colormap
    row.rename("cell")
    row.add("nucleus")
    assert corrected.selected_label == 2
    assert corrected.colormap != before
    row.recolour("#ff0000")
    qtbot.waitUntil(lambda: np.allclose(corrected.colormap.map(2), (1, 0, 0, 1)), timeout=PATIENCE)
    # napari's own control and the list agree, both ways.
    corrected.selected_label = 1
    assert row.box.currentText() == "cell"
    row.box.setCurrentIndex(1)
    row.box.activated.emit(1)
    assert corrected.selected_label == 2
    names = ("background", "cell", "nucleus")
    dock.segment_panel.form.device_box.setCurrentText("cpu")
    asked = [dock.fine_tune_panel.request(), *dock.compare_panel.requests()]
    assert {(one.class_names, one.device) for one in asked} == {(names, "cpu")}
    assert len(asked) > 2

    paint(corrected, 1)
    qtbot.waitUntil(lambda: dock.tracker.project is not None, timeout=PATIENCE)
    dock.tracker.flush()
    folder = dock.tracker.project.folder
    stored = json.loads((folder / "project.json").read_text())
    assert tuple(stored["class_names"]) == names
    assert stored["class_colours"][2] == "#ff0000"

    plain = AnnotationProject.open(tmp_path / "plain", create=True)
    plain.add(
        ProjectImage("a", "a", "", ImageAxes("YX"), Corrections((1, 8, 8))), np.eye(8, dtype=int)
    )
    plain.close()
    panel.project.open_project(tmp_path / "plain")
    qtbot.waitUntil(lambda: row.box.itemText(0) == "object", timeout=PATIENCE)
    qtbot.waitUntil(lambda: not panel.project.busy, timeout=PATIENCE)
    panel.project.open_project(folder)
    qtbot.waitUntil(lambda: row.box.itemText(0) == "cell", timeout=PATIENCE)
    qtbot.waitUntil(lambda: not panel.project.busy, timeout=PATIENCE)
    # Scribbles name the background too.
    panel.mode_box.setCurrentIndex(panel.mode_box.findData("scribble"))
    qtbot.waitUntil(lambda: row.box.count() == 3, timeout=PATIENCE)
    assert row.box.currentText() == "background"
    row.remove_last()
    assert row.class_list.class_names == names[:-1]


def test_learning_is_seen_stopped_continued_and_taken_back(
    viewer, dock, click, qtbot, corrected, monkeypatch, keeps_copies
):
    from napari_seglite.training import RunCallbacks, feed

    defaults = [
        0.0 if default == 4.0 else default for default in RunCallbacks.__init__.__defaults__
    ]
    monkeypatch.setattr(RunCallbacks.__init__, "__defaults__", tuple(defaults))
    panel = dock.fine_tune_panel
    monkeypatch.setattr(feed, "AFTER_STOP", math.inf)
    paint(corrected, 1)
    paint(corrected, 3)
    dock.show_panel(panel)
    assert [image.corrections.frames for image in panel.images()] == [[1, 3]]
    panel.form.classes.setText("background, nucleus")
    click(panel.start_button)
    qtbot.waitUntil(lambda: "cells learning" in viewer.layers, timeout=PATIENCE)
    assert viewer.layers["cells learning"].data.any()
    assert viewer.layers.selection.active == corrected
    panel.pause_button.setChecked(True)
    qtbot.waitUntil(lambda: "Paused" in panel.status.text(), timeout=PATIENCE)
    panel.pause_button.setChecked(False)
    click(panel.stop_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert "cells learning" not in viewer.layers
    info = CheckpointStore().info("nuclei-unet-sharp-tuned-1")
    assert info.settings["frames"] == ["cells, slice 1", "cells, slice 3"]
    assert info.class_names == ("background", "nucleus")
    assert "2 strokes" in panel.status.text()
    pair = panel.pair
    assert pair.isVisible()
    assert [label.toolTip() for label in pair.captions] == ["nuclei-unet-sharp", info.id]
    for picture in pair.pictures:
        assert picture.pixmap().width() > 80
        # Outlined in cyan, of an image that is grey.
        seen = picture.grab().toImage()
        colours = [
            seen.pixelColor(x, y).getRgb()[:3]
            for x in range(0, seen.width(), 2)
            for y in range(0, seen.height(), 2)
        ]
        assert sum(b > r + 100 and g > r + 100 for r, g, b in colours) > 20
    top = dock.correct_panel.list.topLevelItem(0)
    assert top.child(1).text(2) == "used"
    assert dock.models_panel.selected == info.id

    if info.scores["validation_dice"] > info.scores["validation_dice_before"]:
        assert panel.start_button.text() == "Continue"
        assert dock.segment_panel.checkpoint == info.id
    else:
        assert panel.form.checkpoint_box.checkpoint == "nuclei-unet-sharp"
        assert "stays selected" in panel.status.text()
    viewer.layers.selection.active = corrected
    viewer.window._qt_viewer.canvas._scene_canvas.events.key_press(
        key=Key("B"), modifiers=(SHIFT,), native=None
    )
    assert "Back to nuclei-unet-sharp" in panel.status.text()
    assert panel.form.checkpoint_box.checkpoint == "nuclei-unet-sharp"
    assert dock.segment_panel.checkpoint == "nuclei-unet-sharp"


def test_live(viewer, dock, click, qtbot, corrected):
    panel = dock.fine_tune_panel
    dock.show_panel(panel)
    paint(corrected, 1)
    viewer.dims.set_current_step(0, 1)
    panel.form.live.setChecked(True)
    click(panel.start_button)
    qtbot.waitUntil(lambda: "cells learning" in viewer.layers, timeout=PATIENCE)
    layer = viewer.layers["cells learning"]
    assert not layer.data[2].any()
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: layer.data[3].any(), timeout=PATIENCE)
    paint(corrected, 3)
    click(panel.stop_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    info = CheckpointStore().info("nuclei-unet-sharp-tuned-1")
    assert info.settings["live"]
    assert info.settings["steps_done"] > 0
    assert "learnt live" in panel.status.text()


def test_networks_are_compared_and_checkpoints_kept_in_order(
    viewer, dock, click, qtbot, corrected, monkeypatch, tmp_path
):
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox

    panel = dock.compare_panel
    dock.show_panel(panel)
    click(panel.compare_button)
    assert "Correct some slices first" in panel.status.text()
    paint(corrected, 1)
    for number in range(panel.starts.count()):
        panel.starts.item(number).setCheckState(Qt.CheckState.Unchecked)
    click(panel.compare_button)
    assert "Tick at least one" in panel.status.text()
    (start,) = panel.starts.findItems("nuclei-unet-sharp", Qt.MatchFlag.MatchExactly)
    start.setCheckState(Qt.CheckState.Checked)
    panel.minutes.setValue(0.1)
    click(panel.compare_button)
    qtbot.waitUntil(lambda: panel.results.frame is not None, timeout=PATIENCE)
    click(panel.cancel_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert list(panel.results.frame.index) == ["nuclei-unet-sharp"]
    assert "Best so far: nuclei-unet-sharp" in panel.status.text()
    dock.fine_tune_panel.select_checkpoint("celnet")
    panel.results.table.cellDoubleClicked.emit(0, 0)
    assert dock.fine_tune_panel.form.checkpoint_box.checkpoint == "nuclei-unet-sharp"
    assert dock.fine_tune_panel.isVisible()

    models, store = dock.models_panel, CheckpointStore()
    dock.show_panel(models)
    models.refresh("nuclei-unet-sharp")
    assert not models.buttons["delete"].isEnabled()
    path = tmp_path / "it.zip"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    click(models.buttons["export"])
    assert path.is_file()
    info, network = store.load("nuclei-unet-sharp")
    from dataclasses import replace

    store.save(replace(info, id="child", parent="nuclei-unet-sharp"), network.state_dict())
    models.refresh("child")
    assert models.tree.currentItem().parent().text(0) == "nuclei-unet-sharp"
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("grandchild", True))
    click(models.buttons["rename"])
    assert models.selected == "grandchild"
    assert dock.fine_tune_panel.form.checkpoint_box.findData("grandchild") >= 0
    monkeypatch.setattr(QInputDialog, "getMultiLineText", lambda *_: ("keep this one", True))
    click(models.buttons["note"])
    assert "keep this one" in models.status.text()
    answer = QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answer)
    click(models.buttons["delete"])
    assert store.list()
    assert all(store.is_built_in(info.id) for info in store.list())
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(models.buttons["import"])
    assert "already" in models.status.text()
