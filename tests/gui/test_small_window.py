"""In a small window the button of the Segment tab is in view, whatever the form shows."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect

SIZES = {"scale": (1, 0.5, 0.5), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


def shown(widget):
    """Whether all of a widget can be seen, and nothing that it lies in cuts it off."""
    place = QRect(QPoint(0, 0), widget.size())
    return widget.isVisible() and widget.visibleRegion().boundingRect() == place


@pytest.fixture
def small(viewer, dock, qtbot, nuclei):
    """Return the panel with a stack and a suggestion in a window of 1280 x 720 pixels."""
    panel = dock.segment_panel
    panel.select_checkpoint("general-unet-sharp")
    panel.select_output("instances")
    viewer.add_image(np.stack([nuclei] * 4), name="stack", **SIZES)
    window = viewer.window._qt_window
    window.resize(1280, 720)
    qtbot.waitUntil(lambda: panel.form.suggestion_button.isVisible())
    qtbot.waitUntil(lambda: window.height() == 720 and dock.height() < 720)
    return panel


def test_the_button_is_in_view_with_a_stack_and_a_suggestion(small, qtbot):
    form = small.form
    assert not shown(form.uncertainty)  # the last row: the form is higher than the room for it
    for widget in (small.segment_button, small.cancel_button, small.status, small.copy_row):
        assert shown(widget)
    area = form.parentWidget().parentWidget()
    area.ensureWidgetVisible(form.uncertainty)
    assert shown(form.uncertainty)
    assert shown(small.segment_button)


def test_the_button_follows_the_form_where_there_is_room(small, viewer, qtbot):
    form, button = small.form, small.segment_button
    viewer.window._qt_window.resize(1280, 980)
    qtbot.waitUntil(lambda: shown(form.uncertainty))

    def gap():
        last = form.uncertainty
        bottom = last.mapTo(small, QPoint(0, last.height())).y()
        return button.mapTo(small, QPoint(0, 0)).y() - bottom

    qtbot.waitUntil(lambda: 0 <= gap() < 30)
    # Rows that go, and those that come, move it.
    before = button.mapTo(small, QPoint(0, 0)).y()
    small.select_output("semantic")
    qtbot.waitUntil(lambda: button.mapTo(small, QPoint(0, 0)).y() < before - 10)
    assert 0 <= gap() < 30
    small.select_output("instances")
    qtbot.waitUntil(lambda: button.mapTo(small, QPoint(0, 0)).y() == before)
    assert shown(form.uncertainty)


def test_a_window_that_is_lower_still_scrolls_as_a_whole(small, viewer, dock, qtbot):
    dock.resize(dock.width(), 200)
    area = dock.tabs.widget(0)
    qtbot.waitUntil(lambda: not shown(small.copy_row))
    area.ensureWidgetVisible(small.segment_button)
    assert shown(small.segment_button)
