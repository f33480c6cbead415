"""What counts as correct around a stroke, in views from other sides, and without a first mask."""

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

from napari_seglite.images import Box

PATIENCE = 300_000  # milliseconds: tests do not measure time, and machines are busy


def dab(layer, *place, size=4):
    """Paint a dot of a new label."""
    layer.brush_size = size
    layer.paint(place, int(layer.data.max()) + 1)


def regions(dock):
    return dock.correct_panel.tracked().entry.corrections.regions


def outlined(viewer, number):
    """Return the area that lines in the viewer enclose in a slice, and their colours."""
    layer = next(each for each in viewer.layers if "seglite_outline" in each.metadata)
    here = layer.data[:, 0, 0] == number
    begin, way = layer.data[here, 0, 1:], layer.data[here, 1, 1:]
    # Shoelace: vertical lines alone, signed by the side that the inside lies on, add up to an area
    # for a rectangle; here the outline is one.
    ends = np.concatenate([begin, begin + way])
    height, width = ends.max(0) - ends.min(0)
    return float(height * width), layer.edge_color[here]


def test_a_dab_counts_around_itself_and_accept_counts_whole(viewer, dock, click, qtbot, corrected):
    panel = dock.correct_panel
    assert panel.mode_box.currentData() == "around"
    viewer.dims.set_current_step(0, 1)
    dab(corrected, 1, 20, 20)
    found = regions(dock)
    assert {region.frame for region in found} == {1}
    area = sum(np.prod(region.box.shape) for region in found)
    assert 16 * 16 < area < 80 * 96 / 2
    assert any(region.box.holds(Box(20, 20, 21, 21)) for region in found)
    # What counts is outlined on its slice, and the brush stays in the labels.
    qtbot.waitUntil(
        lambda: any("seglite_outline" in each.metadata for each in viewer.layers), timeout=PATIENCE
    )
    assert outlined(viewer, 1)[0] == area
    assert viewer.layers.selection.active == corrected
    (trained,) = dock.tracker.annotated()
    assert trained.corrections.truth(1, corrected.data[1])[1].sum() == area

    click(panel.slices.accept_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    qtbot.waitUntil(lambda: outlined(viewer, 1)[0] == 80 * 96, timeout=PATIENCE)
    red, green, *_ = outlined(viewer, 1)[1][0]
    assert green > red
    panel.outline_box.setChecked(False)
    qtbot.waitUntil(
        lambda: not any("seglite_outline" in each.metadata for each in viewer.layers),
        timeout=PATIENCE,
    )


def test_whole_slices_are_a_choice(viewer, dock, corrected):
    panel = dock.correct_panel
    panel.mode_box.setCurrentIndex(panel.mode_box.findData("whole"))
    viewer.dims.set_current_step(0, 2)
    dab(corrected, 2, 40, 48)
    assert [(region.frame, region.box) for region in regions(dock)] == [(2, (0, 0, 80, 96))]


def test_what_is_not_seen_is_not_taken_for_correct(viewer, dock, click, corrected):
    panel = dock.correct_panel
    viewer.dims.order = (1, 0, 2)  # z and x: a stroke goes through all slices
    viewer.dims.set_current_step(1, 40)
    with corrected.block_history():
        for number in range(4):
            dab(corrected, number, 40, 48)
    assert [region.frame for region in regions(dock)] == [0, 1, 2, 3]
    assert max(np.prod(region.box.shape) for region in regions(dock)) <= 8 * 8
    before = regions(dock)
    buttons = panel.slices
    for button in (buttons.accept_button, buttons.next_button, buttons.complete_button):
        panel.say("")
        click(button)
        assert "does not show the slices of cells" in panel.status.text()
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    click(panel.slices.accept_button)
    panel.tools.where.setCurrentIndex(panel.tools.where.findData("slice"))
    click(panel.tools.apply_button)
    assert "Switch to 2-D" in panel.status.text()
    assert regions(dock) == before
    viewer.dims.ndisplay = 2


def test_the_way_in_without_a_mask(viewer, dock, click, qtbot, nuclei):
    panel, training = dock.correct_panel, dock.fine_tune_panel
    dock.show_panel(panel)
    assert "Open an image first" in panel.first_steps.hint.text()
    assert not panel.first_steps.button.isEnabled()
    viewer.add_image(nuclei, name="cells")
    assert panel.first_steps.isVisible()
    click(panel.first_steps.button)
    scribbles = viewer.layers["cells scribbles"]
    assert not panel.first_steps.isVisible()
    assert panel.mode_box.currentData() == "scribble"
    assert training.busy
    qtbot.waitUntil(lambda: "Live" in training.status.text(), timeout=PATIENCE)
    assert "cells learning" not in viewer.layers
    bright = np.argwhere(nuclei > np.percentile(nuclei, 97))[0]
    dark = np.argwhere(nuclei < np.percentile(nuclei, 20))[0]
    scribbles.brush_size = 3
    scribbles.paint(tuple(bright), 2)
    scribbles.paint(tuple(dark), 1)
    qtbot.waitUntil(lambda: "cells learning" in viewer.layers, timeout=PATIENCE)
    click(training.stop_button)
    qtbot.waitUntil(lambda: not training.busy, timeout=PATIENCE)
    (trained,) = dock.tracker.annotated()
    _, weight = trained.corrections.truth(0, scribbles.data)
    assert weight.sum() == (scribbles.data > 0).sum()


def test_helpers_and_errors_speak_of_what_they_are_about(viewer, dock, click, qtbot, corrected):
    panel, tools = dock.correct_panel, dock.correct_panel.tools
    for tool, words in (("delete", "objects to delete"), ("merge", "objects to merge")):
        tools.tool.setCurrentIndex(tools.tool.findData(tool))
        click(tools.apply_button)
        assert words in panel.status.text()
    tools.tool.setCurrentIndex(tools.tool.findData("grow"))
    corrected.selected_label = 77  # as after a result with objects: the next new one
    click(tools.apply_button)
    qtbot.waitUntil(lambda: not tools.busy, timeout=PATIENCE)
    assert "no label 77 here" in panel.status.text()
    viewer.add_labels(np.zeros((5, 5), np.uint8), name="other")
    panel.labels_box.value = viewer.layers["other"]
    assert "do not have the size" in panel.status.text()
    panel.labels_box.value = corrected
    assert "do not have the size" not in panel.status.text()


@pytest.mark.parametrize("key", ["S", "F"])
def test_the_loop_has_keys(viewer, dock, qtbot, corrected, key):
    from vispy.util.keys import SHIFT, Key

    panel = {"S": dock.segment_panel, "F": dock.fine_tune_panel}[key]
    listed = "".join(
        label.text() for label in dock.correct_panel.keys.content().findChildren(QLabel)
    )
    assert f"Shift-{key}" in listed
    viewer.window._qt_viewer.canvas._scene_canvas.events.key_press(
        key=Key(key), modifiers=(SHIFT,), native=None
    )
    assert panel.busy
    panel.runner.stop()
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
