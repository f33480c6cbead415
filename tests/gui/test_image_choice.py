"""The image to work on is the one that is selected in the viewer."""

import dask.array
import numpy as np
import pytest

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.widgets.common import layers
from napari_seglite.widgets.segment import channel_layers


@pytest.fixture
def form(dock):
    """Return the form of the Segment tab."""
    return dock.segment_panel.form


def test_the_box_follows_the_viewer(viewer, dock, form, segment, click, nuclei):
    first = viewer.add_image(nuclei, name="first")
    assert form.image is first
    second = viewer.add_image(nuclei[::-1], name="second")
    assert form.image is second
    viewer.layers.selection.active = first
    assert form.image is first
    labels = segment()
    viewer.layers.selection.active = second
    assert form.image is second
    viewer.layers.selection.active = labels
    assert form.image is first
    viewer.add_labels(np.zeros(nuclei.shape, np.uint8))  # of no image
    assert form.image is first
    click(form.image_rows.choice.pin)
    viewer.layers.selection.active = second
    third = viewer.add_image(nuclei, name="third")
    assert form.image is first
    click(form.image_rows.choice.pin)
    assert form.image is first or form.image is third
    viewer.layers.selection.active = third
    assert form.image is third


def test_a_run_keeps_its_image_and_the_user_the_other(viewer, dock, form, qtbot, nuclei):
    stack = viewer.add_image(np.stack([nuclei] * 3), name="stack")
    other = viewer.add_image(nuclei, name="other")
    viewer.layers.selection.active = stack
    panel = dock.segment_panel
    panel.segment()
    viewer.layers.selection.active = other
    assert form.image is other
    qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)
    assert panel.last.image is stack
    assert panel.last.layer.data.shape == stack.data.shape
    assert viewer.layers.selection.active is other
    assert form.image is other


@pytest.mark.parametrize("lazy", [False, True])
def test_layers_are_taken_as_channels(
    viewer, dock, form, segment, click, nuclei, monkeypatch, lazy
):
    monkeypatch.setattr(channel_layers, "COPIED", 0 if lazy else 10**9)
    stack = np.stack([np.stack([nuclei, nuclei[::-1]]), np.stack([nuclei[:, ::-1], nuclei // 2])])
    parts = viewer.add_image(
        stack, channel_axis=0, name=["cells DAPI", "cells GFP"], scale=(3, 0.5, 0.5)
    )
    viewer.add_image(nuclei, name="of another size")
    viewer.layers.selection.active = parts[0]
    button = form.image_rows.join_button
    assert button.isVisible()
    assert button.text() == "Join 2 layers"
    assert "0 cells DAPI, 1 cells GFP" in button.toolTip()
    click(button)
    joined = form.image
    assert joined.name == "cells channels"
    assert isinstance(joined.data, dask.array.Array if lazy else np.ndarray)
    assert layers.layer_axes(joined).order == "CZYX"
    assert not any(part.visible for part in parts)
    assert not button.isVisible()
    assert "2 channels" in form.image_rows.info.text()
    layers.choose(joined, channels=(1,))
    labels = segment()
    assert labels.data.shape == stack.shape[1:]
    np.testing.assert_allclose(labels.scale, (3, 0.5, 0.5))
    expected = segment_array(stack[1], SegmentRequest("nuclei-unet-sharp", "ZYX")).labels
    np.testing.assert_array_equal(labels.data, expected)
