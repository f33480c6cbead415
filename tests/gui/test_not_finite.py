"""The Segment tab says that a checkpoint gives no numbers; labels that were there stay."""

import numpy as np

from napari_seglite.checkpoints import CheckpointInfo


def test_labels_stay_where_a_checkpoint_gives_no_numbers(viewer, dock, store, segment, nuclei):
    info = CheckpointInfo("spoilt", "unet-sharp", options={"preset": "tiny"})
    weights = info.build().state_dict()
    weights["nodes.0_0.0.0.weight"][:] = float("nan")
    store.save(info, weights)
    panel = dock.segment_panel
    panel.select_output("instances")
    viewer.add_image(nuclei, name="cells")
    panel.select_checkpoint("nuclei-unet-sharp-tiny")
    layer = segment()
    before = layer.data.copy()
    assert before.any()
    panel.select_checkpoint("spoilt")
    panel.select_output("instances")
    assert segment() is layer
    text = panel.status.text()
    assert text.startswith("cells: Checkpoint spoilt gives probabilities that are NaN or infinite")
    assert "another precision" in text
    np.testing.assert_array_equal(layer.data, before)
    assert [each.name for each in viewer.layers if each.visible] == ["cells", layer.name]
    assert panel.segment_button.isEnabled()
