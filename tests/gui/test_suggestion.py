"""The Segment tab marks the checkpoint to try first on an image, and leaves the choice alone."""

from dataclasses import replace

import numpy as np

from napari_seglite.widgets.common import MARK

SIZES = {"scale": (0.03, 0.005, 0.005), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


def test_a_checkpoint_is_suggested_and_never_chosen(viewer, dock, store, untrained, click, nuclei):
    form, box = dock.segment_panel.form, dock.segment_panel.form.checkpoint_box
    button, follow = form.suggestion_button, dock.segment_panel.suggestion

    def marked():
        texts = [box.itemText(k) for k in range(box.count())]
        return [text.removeprefix(MARK) for text in texts if text.startswith(MARK)]

    assert marked() == []
    cells = viewer.add_image(nuclei, name="cells")
    assert marked() == [box.checkpoint] == ["nuclei-unet-sharp"]
    assert "Suggested for this image. It needs no training if" in box.toolTip()
    assert "The trained weights to segment with" in box.toolTip()
    assert button.isHidden()
    # Another choice stays, until the user follows the suggestion.
    box.select("nuclei-s-net")
    assert button.isHidden()  # as good here
    box.select("general-unet-sharp")
    assert box.checkpoint == "general-unet-sharp"
    assert button.isVisible()
    assert button.text() == f"{MARK}Suggested: nuclei-unet-sharp"
    click(button)
    assert box.checkpoint == "nuclei-unet-sharp"
    assert button.isHidden()
    # Nanometres, no objects, and as many pixels as take a CPU minutes.
    stack = viewer.add_image(np.zeros((4, 32, 32), np.uint8), name="stack", **SIZES)
    assert form.image is stack
    assert marked() == ["general-unet-sharp"]
    assert box.checkpoint == "nuclei-unet-sharp"
    assert "a nucleus is about 1,600 pixels wide" in button.toolTip()
    viewer.layers.selection.active = cells
    assert marked() == ["nuclei-unet-sharp"]
    follow.measured(cells, None)
    assert marked() == ["general-unet-sharp"]
    viewer.add_image(np.broadcast_to(nuclei[:1, :1], (4096, 4096)), name="slide")
    assert marked() == ["nuclei-unet-sharp-tiny"]
    assert button.isHidden()
    form.show_devices(["cuda", "cpu"], "")
    assert marked() == ["nuclei-unet-sharp"]
    # What was trained on an image of this name goes first.
    viewer.layers.selection.active = cells
    learnt = {"frames": ["cells, slice 3"]}
    store.save(replace(untrained, id="mine", settings=learnt), untrained.build().state_dict())
    dock.segment_panel.refresh_checkpoints()
    assert marked() == ["mine"]
    assert box.checkpoint == "nuclei-unet-sharp"
    assert "You trained it on this image." in button.toolTip()
    # Nothing is suggested without an image.
    viewer.layers.clear()
    assert marked() == []
    assert button.isHidden()
