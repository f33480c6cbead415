"""What the user looks at comes first, and Cancel keeps what is finished."""

import numpy as np
import pytest
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox

from napari_seglite import segment as segment_array
from napari_seglite.widgets.segment import preview_layer


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(preview_layer, "PATIENCE", 0)
    monkeypatch.setattr(preview_layer, "PAUSE", 0)


def test_the_slice_in_view_first_and_on_from_there(viewer, dock, segment, qtbot, click, nuclei):
    stack = np.stack([np.roll(nuclei, 9 * k, 1) for k in range(7)])
    viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 4)
    panel = dock.segment_panel
    panel.select_output("semantic")
    done = []
    panel.runner.progressed.connect(lambda progress: done.append(progress.done))

    def stop_after_two(progress):
        if progress.done == 2:
            panel.cancel()

    panel.runner.progressed.connect(stop_after_two)
    layer = segment()
    panel.runner.progressed.disconnect(stop_after_two)
    assert panel.status.text().startswith("Stopped: ")
    assert "of 7 slices are labelled. Segment goes on from there." in panel.status.text()
    part = panel.last.result
    first = part.coverage.whole
    assert first[4]
    assert 2 <= first.sum() < 7
    assert set(np.flatnonzero(first)) <= {2, 3, 4, 5, 6}  # neighbours outward
    whole = segment_array(stack, part.request).labels
    np.testing.assert_array_equal(layer.data[first], whole[first])
    assert not layer.data[~first].any()

    done.clear()
    assert segment() == layer
    computed = [count for count in done if count]
    assert computed[0] == first.sum() + 1
    assert computed[-1] == 7
    np.testing.assert_array_equal(layer.data, whole)
    assert panel.last.result.complete


def test_the_visible_tiles_first_each_as_it_is_done(viewer, dock, segment, nuclei):
    image = viewer.add_image(np.tile(nuclei, (14, 8)), name="large")  # 1568 x 1152
    viewer.camera.center, viewer.camera.zoom = (1300, 1000), 8
    seen = []

    def look(progress):
        shown = [layer for layer in viewer.layers if layer.name == "large so far"]
        seen.extend(np.asarray(layer.data) > 0 for layer in shown)

    dock.segment_panel.runner.progressed.connect(look)
    segment()
    first = next(labelled for labelled in seen if labelled.any())
    assert first[1200:1400, 900:1100].any()
    assert not first[:600].any()
    assert not first[:, :300].any()
    assert image in viewer.layers


def test_uncertainty_after_a_run_and_away_again(viewer, dock, segment, qtbot, nuclei):
    viewer.add_image(np.stack([nuclei[:64, :64], nuclei[:64, :64] // 8]), name="stack")
    panel = dock.segment_panel
    segment()
    panel._segmenter._loaded.network.forward = None  # the network must not be asked again
    box = panel.form.uncertainty
    box.setCurrentIndex(box.findData("entropy"))
    name = "stack nuclei-unet-sharp uncertainty"
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=60_000)
    assert viewer.layers[name].data.max() > 0.3
    assert panel.form.image.name == "stack"
    assert "Least certain: slice" in panel.status.text()
    box.setCurrentIndex(box.findData("flips"))
    assert name not in viewer.layers
    assert "Segment again" in panel.status.text()
    box.setCurrentIndex(box.findData("entropy"))
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=60_000)
    box.setCurrentIndex(0)
    assert name not in viewer.layers


def test_the_brush_paints_a_new_object_of_fitting_size(viewer, dock, segment, qtbot, nuclei):
    viewer.add_image(nuclei, name="cells")
    panel = dock.segment_panel
    assert panel.form.output_box.currentData() == "instances"
    assert panel.form.min_size.value() == 25
    layer = segment()
    ids, sizes = np.unique(layer.data[layer.data > 0], return_counts=True)
    assert sizes.min() >= 25
    assert layer.selected_label == ids.max() + 1
    assert "The brush paints a new object" in panel.status.text()
    width = 2 * np.sqrt(np.median(sizes) / np.pi)
    assert 0.3 * width <= layer.brush_size <= 0.6 * width
    panel.form.threshold.setValue(0.9)
    qtbot.waitUntil(lambda: not panel.relabeller.busy, timeout=60_000)
    assert layer.selected_label == layer.data.max() + 1

    # Another checkpoint has other habits; what the user chose stays.
    panel.select_checkpoint("general-unet-sharp")
    assert panel.form.output_box.currentData() == "semantic"
    assert panel.form.min_size.value() == 0
    panel.form.min_size.setValue(7)
    panel.select_checkpoint("nuclei-unet-sharp")
    assert panel.form.output_box.currentData() == "instances"
    assert panel.form.min_size.value() == 7
    panel.form.min_size.setValue(25)
    panel.form.rescale.setValue(2)
    assert panel.form.min_size.value() == 6
    panel.form.rescale.setValue(1)
    panel.select_output("semantic")
    masks = segment()
    assert masks != layer
    assert masks.selected_label == 1
    assert masks.brush_size == pytest.approx(0.4 * width, rel=0.6)


def test_every_control_says_what_it_does_and_keys_move_sliders(viewer, dock, qtbot, nuclei):
    from qtpy.QtCore import Qt

    viewer.add_image(np.stack([nuclei, nuclei]))
    panel = dock.segment_panel
    for kind in (QAbstractButton, QComboBox, QAbstractSpinBox):
        for control in panel.findChildren(kind):
            part_of_another = isinstance(control.parent(), QComboBox | QAbstractSpinBox)
            slider = control.parent() is panel.form.threshold
            if (
                not part_of_another
                and not slider
                and control is not panel.form.image_rows.box.native
            ):
                assert control.toolTip(), f"{control} {getattr(control, 'text', str)()}"
    slider = panel.form.threshold
    slider.setValue(0.5)
    for part in (slider, slider._slider):
        qtbot.keyClick(part, Qt.Key.Key_Right)
        assert slider.value() == pytest.approx(0.51)
        qtbot.keyClick(part, Qt.Key.Key_PageDown)
        assert slider.value() == pytest.approx(0.41)
        qtbot.keyClick(part, Qt.Key.Key_PageUp)
        qtbot.keyClick(part, Qt.Key.Key_Left)
        assert slider.value() == pytest.approx(0.5)
    qtbot.keyClick(slider, Qt.Key.Key_End)
    assert slider.value() == pytest.approx(0.99)
