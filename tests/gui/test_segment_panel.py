"""What the Segment tab does with images, edits, settings and mistakes."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.widgets.common import preferences


def answer(text):
    """Click a button of the message box that opens next."""

    def press():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        next(b for b in box.buttons() if b.text().replace("&", "") == text).click()

    QTimer.singleShot(200, press)


@pytest.fixture
def masks(dock):
    """Choose masks; the result of the checkpoint for nuclei is objects."""
    dock.segment_panel.select_output("semantic")


def relabelled(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.relabeller.busy, timeout=300_000)


def test_threshold_labels_anew_from_the_same_probabilities(viewer, dock, segment, qtbot, nuclei):
    viewer.add_image(nuclei)
    layer, panel = segment(), dock.segment_panel
    network = panel._segmenter._loaded.network
    network.forward = None  # the network must not be asked again
    for threshold in (0.2, 0.9):
        panel.form.threshold.setValue(threshold)
    relabelled(qtbot, panel)
    panel.form.output_box.setCurrentIndex(1)
    relabelled(qtbot, panel)
    expected = segment_array(
        nuclei, SegmentRequest("nuclei-unet-sharp", "YX", threshold=0.9, output="instances")
    ).labels
    np.testing.assert_array_equal(layer.data, expected)
    assert layer.data.dtype == np.uint16
    assert layer.metadata["seglite"]["threshold"] == 0.9
    rows, count = panel.form.labelling_rows, len(np.unique(layer.data))
    assert rows.split_depth.isVisible()
    value = layer.data[5, 5]
    layer.data_setitem((np.array([5]), np.array([5])), value + 9)
    layer.undo()
    assert layer.data[5, 5] == value
    layer.redo()
    layer.undo()
    rows.split_depth.setValue(0.5)
    relabelled(qtbot, panel)
    assert layer.metadata["seglite"]["split_depth"] == 0.5
    panel.form.threshold.setValue(0.5)
    rows.least_probability.setValue(0.97)
    relabelled(qtbot, panel)
    assert layer.metadata["seglite"]["least_probability"] == 0.97
    assert len(np.unique(layer.data)) < count
    before = layer.data.copy()
    layer.redo()  # the number belongs to another object now
    np.testing.assert_array_equal(layer.data, before)
    panel.form.smooth.setValue(2)
    panel.form.fill_holes.setValue(50)
    relabelled(qtbot, panel)
    request = SegmentRequest.from_dict(layer.metadata["seglite"])
    assert (request.smooth, request.fill_holes) == (2.0, 50)
    np.testing.assert_array_equal(layer.data, segment_array(nuclei, request).labels)
    panel.select_checkpoint("nuclei-s-net")  # which has no object head
    assert not rows.split_depth.isVisible()


@pytest.mark.usefixtures("masks")
def test_hand_edits_outlive_the_threshold(viewer, dock, segment, qtbot, nuclei):
    viewer.add_image(nuclei)
    layer, panel = segment(), dock.segment_panel
    layer.brush_size = 9
    layer.paint((2, 140), 1)
    painted = layer.data.copy()
    spot = painted[:6, 136:]
    assert spot.any()
    for threshold in (0.05, 0.95):
        panel.form.threshold.setValue(threshold)
        relabelled(qtbot, panel)
    np.testing.assert_array_equal(layer.data[0:3, 138:143], 1)
    assert (layer.data != painted).any()


@pytest.mark.usefixtures("masks")
def test_the_slice_that_is_seen_is_labelled_first(viewer, dock, segment, qtbot, nuclei):
    viewer.add_image(np.stack([nuclei, nuclei[::-1], nuclei[:, ::-1]]))
    layer, panel = segment(), dock.segment_panel
    viewer.dims.current_step = (1, 0, 0)
    layer.paint((1, 2, 140), 1)
    layer.paint((2, 2, 140), 1)
    before, shown = layer.data.copy(), panel.last
    written = []
    layer.events.set_data.connect(lambda: written.append(layer.data.copy()))
    panel.form.threshold.setValue(0.9)
    relabelled(qtbot, panel)
    fresh = shown.result.relabel_frame(1, threshold=0.9)
    fresh[shown.touched[1]] = 1
    early = next(seen for seen in written if (seen[1] != before[1]).any())
    np.testing.assert_array_equal(early[1], fresh)
    np.testing.assert_array_equal(early[[0, 2]], before[[0, 2]])
    expected = shown.result.labels.copy()
    expected[shown.touched] = 1
    assert shown.touched[1].any()
    assert shown.touched[2].any()
    assert (expected[0] != before[0]).any()
    np.testing.assert_array_equal(layer.data, expected)


@pytest.mark.usefixtures("masks")
def test_segmenting_again_keeps_what_was_corrected(viewer, dock, segment, qtbot, click, nuclei):
    stack = np.stack([nuclei, nuclei[::-1], nuclei[:, ::-1]])
    viewer.add_image(stack, name="stack")
    panel = dock.segment_panel
    layer = segment()
    assert not panel.replace_box.isVisible()
    assert segment() == layer  # there are no corrections to keep
    first = layer.data.copy()
    correct = dock.correct_panel
    correct.mode_box.setCurrentIndex(correct.mode_box.findData("whole"))
    viewer.dims.set_current_step(0, 1)
    layer.paint((1, 2, 140), 1)
    viewer.dims.set_current_step(0, 2)
    layer.data[2][:] = 0  # as a tool that writes without a stroke
    click(dock.correct_panel.slices.accept_button)
    corrected = layer.data.copy()
    assert panel.replace_box.isVisible()

    # With another checkpoint, into the same layer.
    panel.select_checkpoint("general-unet-sharp")
    assert segment() == layer
    names = [each.name for each in viewer.layers if "corrected area" not in each.name]
    assert names == ["stack", "stack general-unet-sharp"]
    np.testing.assert_array_equal(layer.data[1:], corrected[1:])
    whole = segment_array(stack, panel.last.result.request).labels
    np.testing.assert_array_equal(layer.data[0], whole[0])
    assert (layer.data[0] != corrected[0]).any()
    assert "What you corrected stayed as it is: slices 1, 2." in panel.status.text()
    tracked = dock.correct_panel.tracked()
    assert [tracked.entry.corrections.state(k) for k in range(3)] == ["", "touched", "accepted"]
    assert tracked.entry.checkpoint == "general-unet-sharp"
    panel.form.threshold.setValue(0.9)
    relabelled(qtbot, panel)
    np.testing.assert_array_equal(layer.data[1:], corrected[1:])

    # The labels before are a key away, and back.
    after = layer.data.copy()
    click(panel.before_button)
    shown = viewer.layers["stack general-unet-sharp before"]
    np.testing.assert_array_equal(shown.data, corrected)
    assert not shown.editable
    assert not layer.visible
    panel._flip()
    assert layer.visible
    names = [each.name for each in viewer.layers if "corrected area" not in each.name]
    assert names == ["stack", "stack general-unet-sharp"]
    np.testing.assert_array_equal(layer.data, after)

    # Corrections are replaced only on request, and after a question.
    panel.replace_box.setChecked(True)
    answer("No")
    panel.segment()
    assert not panel.busy
    np.testing.assert_array_equal(layer.data, after)
    panel.select_checkpoint("nuclei-unet-sharp")
    panel.form.threshold.setValue(0.5)
    answer("Yes")
    assert segment() == layer
    np.testing.assert_array_equal(layer.data, first)
    assert not dock.correct_panel.tracked().entry.corrections.regions
    assert not panel.replace_box.isVisible()


def test_locked_layers_are_left_alone(viewer, segment, nuclei):
    viewer.add_image(nuclei)
    layer = segment()
    layer.locked = True
    assert segment() != layer


@pytest.mark.usefixtures("masks")
def test_current_slice_of_a_stack(viewer, dock, segment, nuclei):
    stack = np.stack([nuclei, nuclei[::-1], nuclei[:, ::-1]])
    viewer.add_image(stack, name="stack", scale=(2, 1, 1))
    panel = dock.segment_panel
    assert panel.form.scope_box.isVisible()
    panel.form.min_size.setValue(0)
    panel.form.scope_box.setCurrentIndex(1)
    viewer.dims.set_current_step(0, 1)
    layer = segment()
    whole = segment_array(
        stack, SegmentRequest("nuclei-unet-sharp", "ZYX", output="semantic", min_size=0)
    ).labels
    np.testing.assert_array_equal(layer.data[1], whole[1])
    assert not layer.data[[0, 2]].any()
    assert tuple(layer.scale) == (2, 1, 1)
    viewer.dims.set_current_step(0, 2)
    assert segment() == layer  # the other slices stay
    np.testing.assert_array_equal(layer.data[1:], whole[1:])


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((2, 2, 2, 8, 9)), {}, "or say what its axes are"),
        (np.full((20, 20), np.nan), {}, "no finite number"),
    ],
)
def test_what_cannot_be_segmented_gets_a_sentence(viewer, dock, segment, image, options, message):
    viewer.add_image(image, name="odd", contrast_limits=(0, 1), **options)
    assert segment() is None
    assert message in dock.segment_panel.status.text()
    assert "odd" in dock.segment_panel.status.text()
    assert len(viewer.layers) == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1), np.uint8),
        np.full((30, 40), 7.5),
        np.eye(40, dtype=bool),
        np.random.default_rng(0).integers(-500, 500, (40, 40)).astype(np.int32),
        np.where(np.eye(40), np.nan, np.random.default_rng(0).random((40, 40))),
    ],
    ids=["1x1", "constant", "bool", "negative", "nan"],
)
def test_odd_images_get_labels(viewer, segment, image):
    viewer.add_image(image, contrast_limits=(0, 1))
    assert segment().data.shape == image.shape


def test_damaged_checkpoint_gets_a_sentence(viewer, dock, segment, nuclei, untrained, store):
    dock.segment_panel.form.checkpoint_box.refresh("untrained")
    weights = store.folder / "untrained" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    viewer.add_image(nuclei)
    assert segment() is None
    assert "damaged" in dock.segment_panel.status.text()


def test_nothing_open_yet(dock):
    assert not dock.segment_panel.segment_button.isEnabled()
    assert "Open an image" in dock.segment_panel.form.image_rows.info.text()
    assert not dock.fine_tune_panel.start_button.isEnabled()


def test_settings_come_back(viewer, dock, segment, nuclei, plugin_settings):
    viewer.add_image(nuclei)
    panel = dock.segment_panel
    panel.form.threshold.setValue(0.7)
    panel.form.min_size.setValue(15)
    panel.form.output_box.setCurrentIndex(1)
    segment()
    viewer.window.remove_dock_widget(dock)
    again = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")[1].segment_panel
    assert again.form.threshold.value() == 0.7
    assert again.form.min_size.value() == 15
    assert again.form.output_box.currentData() == "instances"


def test_samples_open(viewer):
    (grey,) = viewer.open_sample("napari-seglite", "nuclei-fluorescence")
    (rgb,) = viewer.open_sample("napari-seglite", "nuclei-histology")
    assert grey.data.shape == (520, 696)
    assert rgb.rgb


def test_the_dock_opens_without_torch():
    import subprocess
    import sys

    code = (
        "import sys, napari\n"
        "viewer = napari.Viewer(show=False)\n"
        "viewer.window.add_plugin_dock_widget('napari-seglite', 'SegLite')\n"
        "print([m for m in ('torch', 'monai') if m in sys.modules])\n"
        "viewer.close()"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_depth_and_empty_images_are_offered_where_they_can(viewer, dock, segment, store, nuclei):
    import torch

    import src_models
    from napari_seglite.checkpoints import CheckpointInfo

    torch.manual_seed(0)
    options = {"preset": "small"}
    network = src_models.create("unet-sharp", **options)
    store.save(CheckpointInfo("sharp", "unet-sharp", options=options), network.state_dict())
    viewer.add_image(nuclei)
    form = dock.segment_panel.form
    form.checkpoint_box.select("nuclei-s-net")
    assert not form.depth_box.isVisible()
    assert not form.keep_empty.isEnabled()
    assert "S-Net, the network of nuclei-s-net, does not learn" in form.keep_empty.toolTip()
    form.checkpoint_box.refresh("sharp")
    assert form.depth_box.isVisible()
    form.depth_box.setCurrentText("Pruned to level 1")
    assert form.keep_empty.isEnabled()
    assert "does not learn" not in form.keep_empty.toolTip()
    form.keep_empty.setChecked(True)
    recipe = segment().metadata["seglite"]
    assert (recipe["pruning_level"], recipe["keep_empty"]) == (1, True)
    form.checkpoint_box.select("nuclei-s-net")
    assert not form.depth_box.isVisible()
    assert form.request().pruning_level is None
    assert not form.request().keep_empty
    form.remember(form.request())
    assert preferences.load({"keep_empty": False}) == {"keep_empty": True}


def test_precision_is_a_row_where_openvino_is_and_is_remembered(viewer, dock, nuclei):
    from napari_seglite.runtime import graphs

    viewer.add_image(nuclei)
    form = dock.segment_panel.form
    assert form.precision_box.isVisible() == graphs.installed()
    assert form.request().precision == "auto"
    form.precision_box.setCurrentIndex(form.precision_box.findData("fast"))
    request = form.request()
    assert request.precision == "fast"
    # What ran may have been exact; what was chosen is remembered.
    form.remember(replace(request, precision="exact"))
    assert preferences.load({"precision": "exact"}) == {"precision": "fast"}


def test_every_network_can_be_trained_from_scratch(dock):
    box = dock.fine_tune_panel.form.checkpoint_box
    offered = {box.itemData(k) for k in range(box.count())}
    assert {"celnet", "m2snet", "s-net", "u2net-msac", "unet-sharp"} < offered


@pytest.mark.usefixtures("masks")
def test_series_of_stacks_and_its_current_slice(viewer, dock, segment, qtbot, nuclei):
    series = np.stack([np.stack([nuclei[:64, :64], nuclei[:64, 64:128]])] * 2)
    viewer.add_image(series, name="series", axis_labels=("t", "z", "y", "x"), scale=(1, 4, 1, 1))
    form = dock.segment_panel.form
    assert form.image_rows.info.text() == "2 time points, 2 slices, grey, 64 × 64, uint8"
    form.scope_box.setCurrentIndex(1)
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 0)
    layer = segment()
    assert layer.data.shape == series.shape
    assert layer.metadata["seglite"]["axes"] == "TZYX"
    assert layer.metadata["seglite"]["frames"] == [2]
    assert layer.data[1, 0].any()
    assert not layer.data[0].any()
    assert not layer.data[1, 1].any()
    first = layer.data[1, 0].copy()
    viewer.dims.set_current_step(0, 0)
    assert segment() == layer  # the frame that was segmented before stays
    np.testing.assert_array_equal(layer.data[1, 0], first)
    np.testing.assert_array_equal(layer.data[0, 0], first)

    # Objects of the whole series: in 3-D, then joined, then with their ids kept over time.
    panel, rows = dock.segment_panel, form.labelling_rows.stack
    assert not rows.way_box.isVisible()  # a mask has no objects to join
    panel.select_output("instances")
    form.scope_box.setCurrentIndex(0)
    assert rows.way_box.isVisible()
    assert rows.over_time.isVisible()
    assert not rows.overlap.isVisible()
    layer = segment()
    request = SegmentRequest.from_dict(layer.metadata["seglite"])
    assert (request.stack_objects, request.slice_spacing) == ("volume", 4.0)
    assert set(layer.data[0].ravel()) & set(layer.data[1].ravel()) == {0}
    rows.way_box.setCurrentIndex(rows.way_box.findData("joined"))
    relabelled(qtbot, panel)
    assert rows.overlap.isVisible()
    rows.over_time.setChecked(True)
    relabelled(qtbot, panel)
    assert layer.data.any()
    np.testing.assert_array_equal(layer.data[0], layer.data[1])
    request = SegmentRequest.from_dict(layer.metadata["seglite"])
    assert (request.stack_objects, request.time_objects) == ("joined", True)
    np.testing.assert_array_equal(layer.data, segment_array(series, request).labels)
    assert "slice_spacing" not in panel.settings()  # every file has its own
    image = viewer.layers["series"]
    image.scale = (1, 20, 1, 1)
    assert form.labelling()["slice_spacing"] == 20


def test_labels_lie_on_an_image_with_channels(viewer, dock, segment, nuclei):
    channels = np.stack([nuclei, nuclei // 2])
    placed = {"scale": (1, 0.5, 0.25), "translate": (0, 3, 4), "axis_labels": ("c", "y", "x")}
    image = viewer.add_image(channels, name="two", **placed)
    assert "2 channels" in dock.segment_panel.form.image_rows.info.text()
    layer = segment()
    assert layer.data.shape == nuclei.shape
    assert tuple(layer.scale) == (0.5, 0.25)
    assert tuple(layer.translate) == (3, 4)
    assert layer.axis_labels == ("y", "x")
    assert tuple(layer.data_to_world((7, 9))) == tuple(image.data_to_world((0, 7, 9))[1:])


def test_uncertainty_lies_on_the_image_and_names_the_worst_slice(
    viewer, dock, segment, qtbot, nuclei
):
    stack = np.stack([nuclei[:64, :64], nuclei[:64, :64] // 8])
    image = viewer.add_image(stack, name="stack", scale=(3, 1, 1))
    panel = dock.segment_panel
    panel.form.uncertainty.setCurrentIndex(panel.form.uncertainty.findData("entropy"))
    labels = segment()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=60_000)
    shown = viewer.layers["stack nuclei-unet-sharp uncertainty"]
    assert shown.data.shape == stack.shape
    assert 0.3 < shown.data.max() <= 1
    np.testing.assert_array_equal(shown.scale, image.scale)
    scores = shown.metadata["seglite_scores"]
    assert f"Least certain: slice {max(scores, key=scores.get)}" in panel.status.text()
    assert viewer.layers.selection.active == labels
