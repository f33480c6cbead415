"""A real napari window with the plugin in it."""

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtCore import Qt

from napari_seglite.widgets import sample_data


@pytest.fixture
def nuclei():
    """Return a corner of the sample, uint8 (112, 144)."""
    return sample_data.load("fluorescence")[0][:112, :144].copy()


@pytest.fixture
def viewer(make_napari_viewer, plugin_settings, npe2pm):
    """Return a shown viewer with this plugin alone and settings of the test's own."""
    for package in ("napari", "napari-seglite"):
        npe2pm.register(PluginManifest.from_distribution(package))
    return make_napari_viewer(show=True)


@pytest.fixture
def dock(viewer):
    """Return the plugin's dock, opened as the menu opens it."""
    return viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")[1]


@pytest.fixture
def click(qtbot):
    """Return a function that clicks a button as a user does."""

    def press(button):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return press


@pytest.fixture
def keeps_copies(dock, monkeypatch):
    """Save what a training run ends with even if it did not improve, as few steps rarely do."""
    form = dock.fine_tune_panel.form
    asked = form.request
    monkeypatch.setattr(form, "request", lambda: asked().adjusted(keep_unimproved=True))


@pytest.fixture
def segment(qtbot, dock, click):
    """Return a function that clicks Segment, waits, and returns the Labels layer."""

    def run():
        panel = dock.segment_panel
        click(panel.segment_button)
        qtbot.waitUntil(lambda: not panel.busy, timeout=300_000)
        return panel.last.layer if panel.last else None

    return run


@pytest.fixture
def stack(nuclei):
    """Return a stack of four slices, uint8 (4, 80, 96), the third of them blurred."""
    from scipy.ndimage import gaussian_filter

    crops = [nuclei[k : k + 80, 10 * k : 10 * k + 96] for k in range(4)]
    crops[2] = gaussian_filter(crops[2], 4)
    return np.stack(crops)


@pytest.fixture
def corrected(viewer, dock, click, qtbot, stack):
    """Return the labels of a segmented stack in a window."""
    viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"), scale=(2, 0.5, 0.5))
    panel = dock.segment_panel
    panel.select_output("semantic")
    panel.form.scope_box.setCurrentIndex(panel.form.scope_box.findData("all"))
    click(panel.segment_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=300_000)
    dock.show_panel(dock.correct_panel)
    return panel.last.layer
