"""A dock that is taken out of its window stops its work and listens no more."""

import napari
import numpy as np
import pytest
from npe2 import PluginManifest

from napari_seglite.annotation import AnnotationProject


@pytest.fixture
def two_viewers(make_napari_viewer, plugin_settings, npe2pm):
    for package in ("napari", "napari-seglite"):
        npe2pm.register(PluginManifest.from_distribution(package))
    return make_napari_viewer(show=True), make_napari_viewer(show=True)


def _dock(viewer):
    return viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")


def test_a_removed_dock_stops_and_listens_no_more(two_viewers, nuclei, qtbot, click, data_folder):
    first, second = two_viewers
    stack = np.stack([nuclei] * 12)
    image = first.add_image(stack, name="stack")
    window, dock = _dock(first)
    labels = first.add_labels(np.zeros(stack.shape, np.uint8), name="mine")
    dock.correct_panel.offer(image, labels, "")
    labels.data_setitem((np.array([2]), np.array([5]), np.array([5])), 1)
    project = dock.tracker.project
    assert project is not None
    dock.tracker.flush()
    (key,) = project.images
    click(dock.segment_panel.segment_button)
    qtbot.waitUntil(lambda: dock.segment_panel.runner.state == "running")
    qtbot.wait(300)
    runner = dock.segment_panel.runner
    first.window.remove_dock_widget(window)
    assert not runner.busy
    assert dock.tracker.project is None

    # Another dock takes the project over, in another window.
    other = second.add_image(nuclei, name="other")
    again = _dock(second)[1]
    again.tracker.open(project.folder)
    painted = second.add_labels(np.zeros(nuclei.shape, np.uint8), name="painted")
    again.correct_panel.offer(other, painted, "")
    before = [layer.name for layer in first.layers]
    labels.data_setitem((np.array([7]), np.array([5]), np.array([5])), 1)
    painted.data_setitem((np.array([5]), np.array([5])), 1)
    again.tracker.flush()
    qtbot.wait(2000)
    # The removed dock added no layer, lists none of another viewer, and recorded nothing.
    assert [layer.name for layer in first.layers] == before
    assert set(dock.segment_panel.form.image_rows.box.choices) <= {image}
    assert "Shift-A" not in map(str, labels.keymap)
    again.tracker.close()
    opened = AnnotationProject.open(project.folder)
    frames = {k: sorted(entry.corrections.frames) for k, entry in opened.images.items()}
    opened.close()
    assert frames[key] == [2]
    assert sorted(map(len, frames.values())) == [1, 1]


def test_lists_show_the_layers_of_their_own_viewer(two_viewers, nuclei):
    first, second = two_viewers
    dock = _dock(first)[1]
    image = first.add_image(nuclei, name="mine")
    other = second.add_image(nuclei, name="other")
    assert napari.current_viewer() is not None
    boxes = dock.segment_panel.form.image_rows.box, dock.measure_panel.image_box
    for box in boxes:
        box.reset_choices()
        assert other not in box.choices
        assert image in box.choices
