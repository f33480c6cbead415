"""Measuring objects of a Labels layer in a window."""

import csv

import numpy as np
import pytest


@pytest.fixture
def panel(dock):
    """Return the Measure tab, shown."""
    dock.show_panel(dock.measure_panel)
    return dock.measure_panel


def measure(qtbot, panel, click):
    click(panel.measure_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)


def test_objects_get_a_table_and_the_layer_gets_features(viewer, panel, qtbot, click, tmp_path):
    data = np.zeros((40, 50), np.uint16)
    data[5:15, 5:15] = 3
    data[20:30, 20:40] = 7
    image = np.where(data == 7, 90, 10).astype(np.uint8)
    layer = viewer.add_labels(data, name="cells", scale=(0.5, 0.5), units=("um", "um"))
    viewer.add_image(image, name="picture", scale=(0.5, 0.5), units=("um", "um"))
    panel.labels_box.value, panel.image_box.value = layer, viewer.layers["picture"]
    measure(qtbot, panel, click)
    assert panel.status.text() == "2 objects, lengths in micrometer."
    table = panel.results.frame
    assert list(table.index) == [3, 7]
    assert list(table["area"]) == [25.0, 50.0]
    assert list(table["intensity_mean"]) == [10.0, 90.0]
    assert panel.results.table.verticalHeaderItem(1).text() == "7"
    headings = map(panel.results.table.horizontalHeaderItem, range(len(table.columns)))
    tips = {heading.text(): heading.toolTip() for heading in headings}
    assert "convex hull" in tips["solidity"]
    assert all(tips.values()), tips
    assert list(layer.features["index"]) == [3, 7]
    # What napari says under the pointer.
    assert "area: 50" in layer.get_status((12, 15), world=True)["value"]
    panel.results.save(tmp_path / "objects.csv")
    rows = list(csv.DictReader((tmp_path / "objects.csv").open()))
    assert [row["label"] for row in rows] == ["3", "7"]


def test_a_series_and_an_image_that_does_not_fit(viewer, panel, qtbot, click):
    data = np.zeros((3, 20, 20), np.uint8)
    data[0, 2:6, 2:6] = 1
    data[2, 2:6, 2:8] = 1
    layer = viewer.add_labels(data, name="film", axis_labels=("t", "y", "x"))
    panel.labels_box.value = layer
    measure(qtbot, panel, click)
    table = panel.results.frame
    assert list(table["t"]) == [0, 2]
    assert list(table["area"]) == [16.0, 24.0]
    assert "the layer does not get the table" in panel.status.text()
    viewer.add_image(np.zeros((5, 5)), name="other")
    panel.image_box.value = viewer.layers["other"]
    click(panel.measure_button)
    assert "other and film differ in size" in panel.status.text()


def test_times_and_any_order_of_axes(viewer, panel, qtbot, click):
    data = np.zeros((20, 24, 3), np.int32)
    data[2:6, 2:8, 1] = 70_000
    data[9:12, 2:4, 2] = 3
    data[15:, :, 0] = -1  # unlabelled
    units, names = ("um", "um", "s"), ("y", "x", "t")
    layer = viewer.add_labels(data, name="a", scale=(0.5, 0.25, 30), units=units, axis_labels=names)
    panel.labels_box.value = layer
    measure(qtbot, panel, click)
    table = panel.results.frame
    assert table.reset_index()[["label", "t", "time"]].to_numpy().tolist() == [
        [70_000, 1, 30], [3, 2, 60],
    ]  # fmt: skip
    assert list(table["area"]) == [24 / 8, 6 / 8]
    assert list(table["centroid_x"]) == [4.5 * 0.25, 2.5 * 0.25]
    assert panel.status.text() == "2 objects, lengths in micrometer, times in second."
