"""What all panels of the Tools tab have in common, and the list of networks to compare."""

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QListWidget,
    QSlider,
)

import src_models
from napari_seglite.training import RankedNetwork
from napari_seglite.training.model_comparison import ComparisonEvent

CONTROLS = QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QListWidget, QSlider
PANELS = "evaluate_panel", "measure_panel", "batch_panel", "compare_panel"


@pytest.mark.parametrize("name", PANELS)
def test_every_control_says_what_it_does(dock, name):
    panel = getattr(dock, name)
    controls = {
        control
        for kind in CONTROLS
        for control in panel.findChildren(kind)
        # Parts of a control and of a table's corner belong to them.
        if not isinstance(control.parent(), QAbstractSpinBox | QComboBox)
        and control.metaObject().className() != "QTableCornerButton"
        and not control.objectName().startswith("qt_")
    }
    assert len(controls) >= 3
    silent = [c for c in controls if not c.toolTip() and c.window() is dock.window()]
    # The buttons of the table are those of all tables.
    table = getattr(panel, "results", None)
    ours = [c for c in silent if table is None or not table.isAncestorOf(c)]
    assert not ours, [(type(c).__name__, getattr(c, "text", str)()) for c in ours]


def test_trained_checkpoints_are_listed_and_ticked_first(dock, store, untrained):
    panel = dock.compare_panel
    panel.refresh()
    trained = [info.id for info in store.list()]
    assert "untrained" in trained
    shown = [panel.starts.item(k).data(Qt.ItemDataRole.UserRole) for k in range(len(trained))]
    assert shown == trained
    assert panel.ticked() == trained
    assert not set(panel.ticked()) & set(src_models.names())
    # What the user ticked and did not tick stays when the list is read again.
    panel.starts.item(0).setCheckState(Qt.CheckState.Unchecked)
    panel.starts.item(panel.starts.count() - 1).setCheckState(Qt.CheckState.Checked)
    info, network = store.load("untrained")
    store.save(replace(info, id="later"), network.state_dict())
    before = panel.ticked()
    panel.refresh()
    assert sorted(panel.ticked()) == sorted([*before, "later"])


def test_a_ranking_fits_a_narrow_dock(viewer, dock, qtbot):
    panel = dock.compare_panel
    viewer.window.resize(1280, 720)
    dock.show_panel(panel)
    names = [f"fluorescence-nuclei-of-the-liver-tuned-{k}" for k in (1, 2)]
    ranking = tuple(
        RankedNetwork(name, 0.9 - k / 10, 0.5, 1.25, 1_234_567, 4000, True)
        for k, name in enumerate(names)
    )
    panel._on_event(ComparisonEvent(ranking, "Training …", 1.0))
    dock.setFixedWidth(400)
    qtbot.wait(100)
    table = panel.results.table
    assert not table.horizontalScrollBar().isVisible()
    assert table.viewport().width() >= table.horizontalHeader().length() > 150
    # The ends, which tell the names apart, are shown.
    assert table.verticalHeader().textElideMode() == Qt.TextElideMode.ElideMiddle
    assert names[1] in table.verticalHeaderItem(1).toolTip()
    assert "held out" in table.horizontalHeaderItem(0).toolTip()
