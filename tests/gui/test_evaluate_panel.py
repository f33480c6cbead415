"""Comparing two Labels layers in a window."""

import csv
import json

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QLabel

from napari_seglite.cli import main
from napari_seglite.formats import write_labels
from napari_seglite.inference import Uncertainty
from napari_seglite.labels import ADDED, MISSED, OTHER_CLASS
from napari_seglite.widgets.common import layers


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


def test_no_layer_is_chosen_twice_and_choosing_the_other_swaps(viewer, panel, pair):
    found, truth = pair
    assert panel.labels_box.value is not panel.truth_box.value
    panel.labels_box.value, panel.truth_box.value = found, truth
    panel.labels_box.value = truth
    assert (panel.labels_box.value, panel.truth_box.value) == (truth, found)
    panel.truth_box.value = truth
    assert (panel.labels_box.value, panel.truth_box.value) == (found, truth)
    viewer.layers.remove(truth)
    assert panel.labels_box.value is found
    assert panel.truth_box.value is not found
    panel.truth_box.value = found
    assert (panel.labels_box.value, panel.truth_box.value) == (found, None)
    assert not panel.compare_button.isEnabled()


def test_the_errors_have_a_legend_in_their_colours(viewer, panel, pair, qtbot, click):
    compare(qtbot, panel, click, pair)
    errors = viewer.layers["found errors"]
    # Overlays are no labels to compare.
    assert errors not in panel.labels_box.choices + panel.truth_box.choices
    shown = panel.legend.findChildren(QLabel)
    meanings = dict(zip(shown[1::2], shown[0::2], strict=True))
    colours = {
        text.text(): square.pixmap().toImage().pixelColor(4, 4).getRgbF()
        for text, square in meanings.items()
    }
    for number, meaning in ((MISSED, "missed"), (ADDED, "false"), (OTHER_CLASS, "wrong class")):
        expected = errors.get_color(number)
        np.testing.assert_allclose(colours[meaning], expected, atol=0.01, err_msg=meaning)
    assert colours["right"][3] == 0
    assert panel.legend.isVisible()
    click(panel.overlay)
    assert not panel.legend.isVisible()


def test_one_click_hides_all_but_images_and_their_current_labels(
    viewer, dock, panel, nuclei, segment, qtbot, click
):
    image = viewer.add_image(nuclei, name="cells")
    mine = viewer.add_labels(np.zeros(nuclei.shape, np.uint8), name="mine")
    layers.add_labels(viewer, image, "cells old", np.ones(nuclei.shape, np.uint8), {})
    dock.segment_panel.form.image_rows.box.value = image
    dock.show_panel(dock.segment_panel)
    current = segment()
    layers.add_uncertainty(
        viewer, image, "cells unsure", Uncertainty(np.zeros(nuclei.shape, np.float16), {0: 0.5})
    )
    dock.show_panel(panel)
    compare(qtbot, panel, click, (current, viewer.layers["cells old"]))
    viewer.layers.selection.active = image
    click(panel.tidy_button)
    assert {layer for layer in viewer.layers if layer.visible} == {image, mine, current}
    assert panel.status.text().startswith("Hidden: cells old, cells unsure, ")
    assert len(viewer.layers) == 6
    click(panel.tidy_button)
    assert panel.status.text() == "There is nothing older to hide."


@pytest.mark.parametrize("slices", [False, True])
def test_scores_are_explained_where_they_stand(viewer, panel, pair, qtbot, click, slices):
    panel.slices.setChecked(slices)
    panel.objects.setChecked(True)
    compare(qtbot, panel, click, pair)
    table = panel.results.table
    heading = table.horizontalHeaderItem if slices else table.verticalHeaderItem
    tips = {heading(k).text(): heading(k).toolTip() for k in range(panel.results.frame.shape[1])}
    assert "shared area" in tips["Dice"]
    assert "IoU of at least 0.5" in tips["F1 at 0.5"]
    assert "HD95" in next(tip for title, tip in tips.items() if "Hausdorff" in title)
    assert all(tips.values()), tips
