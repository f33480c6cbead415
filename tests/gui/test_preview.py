"""What the viewer shows while a segmentation runs, and what the panel offers about size."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QScrollArea

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.inference import entropy
from napari_seglite.widgets.segment import preview_layer


def test_slices_appear_while_others_are_in_work(viewer, dock, segment, nuclei, monkeypatch):
    monkeypatch.setattr(preview_layer, "PATIENCE", 0)
    monkeypatch.setattr(preview_layer, "PAUSE", 0)
    stack = np.stack([nuclei] * 8)
    viewer.add_image(stack, name="stack", scale=(3, 0.5, 0.5), translate=(0, 7, 0))
    seen = []

    def look(progress):
        for layer in viewer.layers:
            if layer.name == "stack so far":
                seen.append([bool(plane.any()) for plane in layer.data])
                assert not layer.editable
                np.testing.assert_allclose(layer.scale, (3, 0.5, 0.5))
                np.testing.assert_allclose(layer.translate, (0, 7, 0))

    panel = dock.segment_panel
    panel.runner.progressed.connect(look)
    labels = segment()
    assert any(slices[0] and not slices[-1] for slices in seen)
    assert [layer.name for layer in viewer.layers] == ["stack", "stack nuclei-unet-sharp"]
    assert viewer.layers.selection.active == labels
    assert all(plane.any() for plane in labels.data)


def test_it_goes_before_the_result_comes(viewer, dock, segment, nuclei, monkeypatch):
    """The other way round, napari crashed when it drew the stack that was opened next."""
    monkeypatch.setattr(preview_layer, "PATIENCE", 0)
    viewer.add_image(nuclei, name="cells")
    news = []
    viewer.layers.events.inserted.connect(lambda event: news.append(f"+ {event.value.name}"))
    viewer.layers.events.removed.connect(lambda event: news.append(f"- {event.value.name}"))
    segment()
    assert news == ["+ cells so far", "- cells so far", "+ cells nuclei-unet-sharp"]
    viewer.layers.clear()
    viewer.add_image(np.stack([nuclei] * 2), name="stack")
    assert viewer.screenshot(canvas_only=True).any()


def test_it_goes_when_the_run_is_cancelled(viewer, dock, qtbot, nuclei, monkeypatch):
    monkeypatch.setattr(preview_layer, "PATIENCE", 0)
    viewer.add_image(np.stack([nuclei] * 12), name="stack")
    panel = dock.segment_panel
    panel.segment()
    qtbot.waitUntil(lambda: "stack so far" in viewer.layers, timeout=120_000)
    panel.cancel()
    qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
    assert "stack so far" not in viewer.layers
    assert panel.status.text().startswith("Stopped: ")
    assert "labelled. Segment goes on from there." in panel.status.text()


@pytest.fixture
def sized(store):
    """Return a checkpoint that learnt from pixels of half a micrometre."""
    info, network = store.load("nuclei-unet-sharp")
    return store.save(replace(info, id="sized", spacing=(0.5, 0.5)), network.state_dict())


def test_sizes_are_matched(sized, viewer, dock, segment, nuclei, click, qtbot):
    form = dock.segment_panel.form
    form.checkpoint_box.refresh("sized")
    image = viewer.add_image(nuclei, scale=(0.25, 0.25), units=("um", "um"))
    assert form.match_button.text() == "Match (× 0.5)"
    assert form.match_button.isVisible()
    click(form.match_button)
    labels = segment()
    assert dock.segment_panel.last.result.request.rescale == 0.5
    request = SegmentRequest("sized", "YX", rescale=0.5)
    np.testing.assert_array_equal(labels.data, segment_array(nuclei, request).labels)
    image.units = ("pixel", "pixel")
    assert not form.fit_button.isVisible()  # known sizes need no estimate
    form.reset_choices()
    assert not form.match_button.isVisible()
    image.data = np.kron(nuclei, np.ones((4, 4), nuclei.dtype))
    panel = dock.segment_panel
    click(form.fit_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
    assert "px wide, the checkpoint learnt 20 px: rescale by" in panel.status.text()
    assert form.rescale.value() < 0.67
    assert panel.form.request().rescale == round(form.rescale.value(), 2)


def test_the_spread_of_flips(viewer, dock, segment, nuclei, qtbot):
    viewer.add_image(nuclei, name="cells")
    form = dock.segment_panel.form
    form.checkpoint_box.select("nuclei-s-net")
    assert form.uncertainty.findData("heads") < 0  # S-Net has one
    form.uncertainty.setCurrentIndex(form.uncertainty.findData("flips"))
    segment()
    qtbot.waitUntil(lambda: "cells nuclei-s-net uncertainty" in viewer.layers, timeout=60_000)
    result = dock.segment_panel.last.result
    assert result.request.ensemble == "flips"
    shown = viewer.layers["cells nuclei-s-net uncertainty"].data
    np.testing.assert_array_equal(shown, result.disagreement[0])
    assert shown.max() > 0.1
    form.uncertainty.setCurrentIndex(form.uncertainty.findData("entropy"))
    qtbot.waitUntil(lambda: not dock.segment_panel.uncertainty.runner.busy, timeout=60_000)
    layer = viewer.layers["cells nuclei-s-net uncertainty"]
    np.testing.assert_allclose(layer.data, entropy(result.probabilities[0]), atol=1e-3)


def test_no_tab_is_wider_than_the_dock(viewer, dock, segment, nuclei):
    """Whatever an image and a checkpoint make the rows show."""
    viewer.add_image(np.stack([nuclei, nuclei]), name="a stack of a rather long name", units="um")
    segment()
    areas = dock.findChildren(QScrollArea)
    panels = [area for area in areas if area.parent().parent() in (dock.tabs, dock.tools)]
    assert len(panels) == 8
    for area in panels:
        assert area.widget().minimumSizeHint().width() <= dock.minimumWidth()
