"""Tools for objects in a real window, used with the mouse and undone in one step each."""

import time

import numpy as np
import pytest
import zarr
from dask.array import from_array
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QLabel
from skimage.measure import label
from vispy.util.keys import SPACE

from napari_seglite.widgets.common.colours import colour

PATIENCE = 300_000
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
PLAIN = Qt.KeyboardModifier.NoModifier


class Mouse:
    """A mouse over the canvas, at rows and columns of a Labels layer."""

    def __init__(self, viewer, layer):
        self.viewer, self.layer = viewer, layer
        self.canvas = viewer.window._qt_viewer.canvas

    def drag(self, *pixels, release=True):
        """Drag over pixels; a single one is a click."""
        places = [self._on_screen(pixel) for pixel in pixels]
        self._send(QEvent.Type.MouseMove, places[0], NONE, NONE)
        self._send(QEvent.Type.MouseButtonPress, places[0], LEFT, LEFT)
        for place in places[1:]:
            self._send(QEvent.Type.MouseMove, place, NONE, LEFT)
        if release:
            self._send(QEvent.Type.MouseButtonRelease, places[-1], LEFT, NONE)

    def wheel(self, pixel, step):
        """Turn the wheel over a pixel."""
        place, native = self._on_screen(pixel), self.canvas.native
        spot = QPointF(native.mapToGlobal(place.toPoint()))
        phase, turn = Qt.ScrollPhase.NoScrollPhase, QPoint(0, 120 * step)
        event = QWheelEvent(place, spot, QPoint(), turn, NONE, PLAIN, phase, False)
        QApplication.sendEvent(native, event)
        QApplication.processEvents()

    def _send(self, kind, place, button, buttons):
        native = self.canvas.native
        spot = QPointF(native.mapToGlobal(place.toPoint()))
        time.sleep(0.011)  # vispy leaves out moves that follow each other faster
        QApplication.sendEvent(native, QMouseEvent(kind, place, spot, button, buttons, PLAIN))
        QApplication.processEvents()

    def _on_screen(self, pixel):
        point = list(self.viewer.dims.current_step)[: self.layer.ndim]
        world = np.array(self.layer.data_to_world((*point[:-2], *pixel)))[-2:]
        native, camera = self.canvas.native, self.viewer.camera
        middle = np.array([native.height(), native.width()]) / 2
        y, x = (world - np.array(camera.center)[-2:]) * camera.zoom + middle
        return QPointF(float(x), float(y))


@pytest.fixture
def press(viewer):
    """Return a function that presses a key with the pointer in the canvas."""

    def key(name):
        from vispy.util import keys

        known = getattr(keys, name.upper(), None) or keys.Key(name)
        events = viewer.window._qt_viewer.canvas._scene_canvas.events
        events.key_press(key=known, modifiers=(), native=None)
        events.key_release(key=known, modifiers=(), native=None)
        QApplication.processEvents()

    return key


def middle(labels, value):
    """Return a pixel in the middle of an object, rows and columns of it, and its height."""
    y, x = np.nonzero(labels == value)
    k = int(np.hypot(y - y.mean(), x - x.mean()).argmin())
    return int(y[k]), int(x[k]), y, x


def largest(labels, away=12):
    """Return the labels of objects away from the frame's sides, the largest first."""
    sizes = np.bincount(labels.ravel())
    sides = [labels[:away], labels[-away:], labels[:, :away].T, labels[:, -away:].T]
    cut = {0, *np.unique(np.concatenate([np.unique(side) for side in sides]))}
    return [int(k) for k in np.argsort(-sizes) if k not in cut and sizes[k]]


def test_each_tool_is_one_stroke_and_one_step(viewer, dock, segment, click, qtbot, nuclei, press):
    viewer.window.resize(1200, 800)
    viewer.add_image(nuclei, name="cells")
    dock.segment_panel.select_output("instances")
    layer = segment()
    dock.show_panel(dock.correct_panel)
    panel, tools = dock.correct_panel, dock.correct_panel.objects
    QApplication.processEvents()
    mouse, before = Mouse(viewer, layer), layer.data.copy()
    value = largest(before)[0]
    row, column, y, _ = middle(before, value)
    top, fresh = int(before.max()), int(before.max()) + 1
    assert layer.selected_label == fresh

    def undone():
        layer.undo()
        np.testing.assert_array_equal(layer.data, before)
        assert not dock.tracker.corrected()
        layer.redo()
        assert (layer.data != before).any()
        assert dock.tracker.corrected()

    def others(*values):
        changed = np.unique(np.concatenate([before[layer.data != before], values]))
        assert set(changed.tolist()) <= {0, *values}

    press("S")
    assert tools.buttons["split"].isChecked()
    assert (layer.mode, layer.mouse_pan) == ("pan_zoom", False)
    mouse.drag((y.min() - 3, column), (row, column), release=False)
    assert tools.mode.line.shown
    mouse.drag((y.min() - 3, column), (row, column), (y.max() + 3, column))
    assert not tools.mode.line.shown
    assert set(np.unique(layer.data[before == value])) == {value, fresh}
    assert (layer.data == value).sum() >= (layer.data == fresh).sum()
    assert f"the new part is {fresh}" in panel.status.text()
    assert layer.selected_label == fresh + 1  # still that of a new object
    others(value)
    undone()

    press("J")
    assert not tools.buttons["split"].isChecked()
    halves = [middle(layer.data, k)[:2] for k in (fresh, value)]
    mouse.drag(*halves)
    assert (layer.data[before == value] == fresh).all()
    assert (
        np.count_nonzero((layer.data == fresh) & (before == 0)) < 10
    )  # a notch at the line's ends
    others(value)
    layer.undo()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)

    press("D")
    mouse.drag((row, column))
    assert not layer.data[before == value].any()
    others(value)
    undone()

    events = viewer.window._qt_viewer.canvas._scene_canvas.events
    for emit, moves in ((events.key_press, True), (events.key_release, False)):
        emit(key=SPACE, modifiers=(), native=None)
        assert layer.mouse_pan == moves  # held, the mouse moves the view

    # What was deleted is a missed object now.
    press("A")
    zoom = viewer.camera.zoom
    mouse.drag((row, column))
    added = layer.data == top + 1
    truth = before == value
    assert (added & truth).sum() / (added | truth).sum() > 0.7
    for turn in (1, 1, -1, -1, -1):
        size = (layer.data == top + 1).sum()
        mouse.wheel((row, column), turn)
        assert np.sign(int((layer.data == top + 1).sum()) - int(size)) == turn
    press("Up")
    press("Down")
    press("Up")
    np.testing.assert_array_equal(layer.data == top + 1, added)
    assert viewer.camera.zoom == zoom
    mouse.wheel((2, 2), 1)
    mouse.wheel((60, 60), 1)
    qtbot.waitUntil(lambda: viewer.camera.zoom != zoom, timeout=PATIENCE)  # elsewhere it zooms
    viewer.camera.zoom = zoom
    others(value)
    layer.undo()
    assert not layer.data[truth].any()
    press("Up")  # what was undone is not grown
    assert not layer.data[truth].any()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    mouse.drag((row, column))
    assert "object here already" in panel.status.text()

    press("R")
    outside = before == 0
    mouse.drag((row, column), (y.min() - 6, column - 3), (y.min() - 6, column + 3), (row, column))
    assert layer.data[y.min() - 3, column] == (value if outside[y.min() - 3, column] else top)
    assert (layer.data[truth] == value).all()
    others(value)
    undone()
    layer.undo()
    bottom = y.max() - (y.max() - y.min()) // 4
    x = np.flatnonzero(before[bottom] == value)
    mouse.drag((bottom, int(x.min())), (bottom, int(x.max())))
    assert not (layer.data[bottom + 1 :] == value).any()
    assert layer.data[row, column] == value
    others(value)
    undone()

    press("Escape")
    assert not any(button.isChecked() for button in tools.buttons.values())
    assert (layer.mode, layer.mouse_pan) == ("paint", False)
    click(tools.buttons["delete"])
    layer.mode = "fill"  # one of napari's own modes ends the tool
    assert tools.tool is None
    assert (layer.mode, list(layer.mouse_drag_callbacks).count(tools.mode._on_drag)) == ("fill", 0)
    click(tools.buttons["delete"])
    viewer.layers.selection.active = viewer.layers["cells"]
    qtbot.waitUntil(lambda: tools.tool is None, timeout=PATIENCE)
    listed = "".join(each.text() for each in panel.keys.content().findChildren(QLabel))
    assert "split, merge, delete, add, redraw" in listed


def test_tools_work_on_a_slice_and_say_where_they_cannot(viewer, dock, click, qtbot, corrected):
    panel, tools = dock.correct_panel, dock.correct_panel.objects
    viewer.dims.set_current_step(0, 1)
    QApplication.processEvents()
    mouse, before = Mouse(viewer, corrected), corrected.data.copy()
    parts = label(before[1])
    row, column, y, _ = middle(parts, np.bincount(parts.ravel())[1:].argmax() + 1)
    object_of = parts == parts[row, column]

    # Labels that number classes: objects are connected parts, and keep their class.
    click(tools.buttons["split"])
    mouse.drag((int(y.min()) - 2, column), (int(y.max()) + 2, column))
    np.testing.assert_array_equal(corrected.data[[0, 2, 3]], before[[0, 2, 3]])
    assert set(np.unique(corrected.data[1])) == {0, 1}
    assert label(corrected.data[1] * object_of).max() == 2
    assert dock.tracker.corrected()[0].entry.corrections.frames == [1]
    corrected.undo()
    np.testing.assert_array_equal(corrected.data, before)
    click(tools.buttons["delete"])
    mouse.drag((row, column))
    np.testing.assert_array_equal(corrected.data[1] > 0, (before[1] > 0) & ~object_of)
    click(tools.buttons["add"])
    mouse.drag((row, column))
    assert (corrected.data[1][object_of] == 1).mean() > 0.7
    corrected.undo()
    corrected.undo()
    np.testing.assert_array_equal(corrected.data, before)

    def refused(words):
        assert words in panel.status.text()
        assert colour("error") in panel.status.styleSheet()

    empty = np.argwhere(before[1] == 0)[0].tolist()
    click(tools.buttons["delete"])
    mouse.drag(empty)
    refused("no object under the pointer")
    viewer.dims.order = (1, 0, 2)
    mouse.drag((row, column))
    refused("does not show the slices")
    viewer.dims.order = (0, 1, 2)
    click(tools.buttons["delete"])  # put down
    viewer.dims.ndisplay = 3
    click(tools.buttons["delete"])
    refused("does not show the slices")
    assert not tools.buttons["delete"].isChecked()
    viewer.dims.ndisplay = 2
    corrected.visible = False
    click(tools.buttons["split"])
    refused("is hidden")
    corrected.visible = True
    np.testing.assert_array_equal(corrected.data, before)

    # Labels on disk, without a segmentation of their own.
    stored = zarr.array(np.where(before > 0, before.astype(np.uint32) + 4, 0), chunks=(1, 32, 32))
    large = viewer.add_labels(stored, name="stored", scale=(2, 0.5, 0.5))
    panel.image_box.value, panel.labels_box.value = viewer.layers["cells"], large
    viewer.dims.set_current_step(0, 1)
    click(tools.buttons["split"])
    qtbot.waitUntil(lambda: not tools.free.runner.busy, timeout=PATIENCE)
    mouse = Mouse(viewer, large)
    mouse.drag((int(y.min()) - 2, column), (int(y.max()) + 2, column))
    assert set(np.unique(large.data[1][object_of])) == {5, 6}
    np.testing.assert_array_equal(large.data[0] > 0, before[0] > 0)
    large.undo()
    np.testing.assert_array_equal(large.data[:] > 0, before > 0)
    assert set(np.unique(large.data[1])) == {0, 5}
    click(tools.buttons["add"])
    mouse.drag(empty)
    refused("was not segmented")
    viewer.layers.remove(large)
    assert tools.tool is None
    lazy = viewer.add_labels(from_array(before), name="lazy", scale=(2, 0.5, 0.5))
    panel.image_box.value, panel.labels_box.value = viewer.layers["cells"], lazy
    click(tools.buttons["split"])
    refused("lazy is a dask array")
