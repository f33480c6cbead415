"""Comparing two Labels layers in a window."""

import csv

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_seglite.labels import ADDED, MISSED


@pytest.fixture
def panel(dock):
    """Return the Evaluate tab, shown."""
    dock.show_panel(dock.evaluate_panel)
    return dock.evaluate_panel


@pytest.fixture
def pair(viewer):
    """Return two Labels layers of one stack."""
    truth = np.zeros((2, 40, 50), np.uint8)
    truth[:, 10:30, 10:30] = 1
    place = {"scale": (2, 0.5, 0.5), "translate": (0, 3, 4), "units": "um"}
    found = viewer.add_labels(np.roll(truth, 4, axis=2), name="found", **place)
    return found, viewer.add_labels(truth, name="truth", **place)


def compare(qtbot, panel, click, pair):
    panel.labels_box.value, panel.truth_box.value = pair
    click(panel.compare_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)


def test_a_table_and_an_overlay(viewer, panel, pair, qtbot, click, tmp_path):
    panel.slices.setChecked(True)
    compare(qtbot, panel, click, pair)
    assert [panel.results.table.verticalHeaderItem(k).text() for k in range(3)] == [
        "all", "slice 0", "slice 1",
    ]  # fmt: skip
    assert panel.results.table.item(0, 0).text() == "0.800"
    assert "Dice 0.800" in panel.status.text()
    assert "micrometer" in panel.status.text()
    errors = viewer.layers["found errors"]
    assert errors.data[0, 20, 11] == MISSED
    assert errors.data[0, 20, 32] == ADDED
    np.testing.assert_array_equal(errors.scale, pair[1].scale)
    np.testing.assert_array_equal(errors.translate, pair[1].translate)
    click(panel.results.copy_button)
    assert QApplication.clipboard().text().startswith("part\tdice")
    panel.save(tmp_path / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["part"] for row in rows] == ["all", "slice 0", "slice 1"]
    assert float(rows[1]["dice"]) == pytest.approx(0.8)
    # Once more, into the same overlay.
    panel.slices.setChecked(False)
    pair[0].data = pair[1].data.copy()
    compare(qtbot, panel, click, pair)
    assert panel.results.table.verticalHeaderItem(0).text() == "Dice"
    assert panel.results.table.item(0, 0).text() == "1.000"
    assert len(viewer.layers) == 3
    assert not viewer.layers["found errors"].data.any()


def test_what_cannot_be_compared_is_said(viewer, panel, pair, qtbot, click):
    compare(qtbot, panel, click, (pair[0], pair[0]))
    assert "two different layers" in panel.status.text()
    other = viewer.add_labels(np.zeros((3, 4), np.uint8), name="small")
    compare(qtbot, panel, click, (pair[0], other))
    assert "found, small:" in panel.status.text()
    assert not panel.results.save_button.isEnabled()
