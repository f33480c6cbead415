"""Comparing two Labels layers in a window."""

import csv
import json

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_seglite.cli import main
from napari_seglite.formats import write_labels
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
    headers = [panel.results.table.horizontalHeaderItem(k).text() for k in range(6)]
    assert headers[4] == "95 % Hausdorff (micrometer)"
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


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX"])
def test_panel_and_shell_agree(viewer, panel, qtbot, click, tmp_path, capsys, axes):
    truth = np.zeros((30, 40), np.uint8)
    truth[5:15, 5:15] = truth[18:26, 20:36] = 255  # a mask of two objects
    found = np.roll(truth // 255, 3, axis=1)
    spacing = {"T": 20.0, "Z": 2.0, "Y": 0.5, "X": 0.25}
    sizes = [spacing[axis] for axis in axes]
    if len(axes) == 3:
        truth, found = np.stack([truth, truth, truth * 0]), np.stack([found, found * 0, found * 0])
        found[1] = truth[1] // 255
    for folder, labels in (("p", found), ("t", truth)):
        units = tuple("s" if axis == "T" else "um" for axis in axes)
        write_labels(
            tmp_path / folder / "a.tif", labels, axes=axes, spacing=tuple(sizes), unit=units
        )
    folders = ["--predictions", str(tmp_path / "p"), "--labels", str(tmp_path / "t")]
    assert main(["evaluate", *folders, "--distances", "--instances", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["images"][0]
    place = {
        "scale": sizes,
        "units": tuple("s" if axis == "T" else "um" for axis in axes),
        "axis_labels": tuple(axes.lower()),
    }
    pair = [viewer.add_labels(m, name=n, **place) for n, m in (("found", found), ("truth", truth))]
    panel.objects.setChecked(True)
    compare(qtbot, panel, click, pair)
    ours = panel.results.frame.loc["all"].to_dict()
    assert scores.pop("name") == "a"
    assert scores.pop("unit") == "um"
    assert scores == pytest.approx(ours)
    assert "micrometer" in panel.status.text()
    assert "255, so its" in panel.status.text()
