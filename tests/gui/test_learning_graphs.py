"""The panels fine-tune models of other programs, and say of others why they cannot."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from napari_seglite.exchange import import_model

sys.path.insert(0, str(Path(__file__).parents[1] / "exchange"))
from foreign import onnx_graph

pytest.importorskip("onnxruntime")

PATIENCE = 300_000


@pytest.fixture
def panel(viewer, dock, nuclei, tmp_path, monkeypatch):
    """Return the Fine-tune tab with two imported models, of which one learns."""
    store = dock.fine_tune_panel.store
    model = onnx.load_from_string(onnx_graph())
    (tmp_path / "spots.onnx").write_bytes(model.SerializeToString())
    model.graph.node[-1].output[0] = "nearly"
    model.graph.node.append(onnx.helper.make_node("Round", ["nearly"], ["output"]))
    (tmp_path / "rounded.onnx").write_bytes(model.SerializeToString())
    for name in ("spots", "rounded"):
        import_model(store, tmp_path / f"{name}.onnx")
    viewer.add_image(nuclei, name="cells")
    labels = viewer.add_labels((nuclei > np.percentile(nuclei, 80)).astype(np.uint8), name="truth")
    panel = dock.fine_tune_panel
    asked = panel.form.request
    settings = {"folds": 1, "patch": 32, "keep_unimproved": True, "full_training": None}
    monkeypatch.setattr(panel.form, "request", lambda: asked().adjusted(**settings))
    panel.refresh_checkpoints()
    panel.offer(viewer.layers["cells"], labels, "spots")
    dock.show_panel(panel)
    panel.form.steps.setValue(3)
    return panel


def test_an_imported_model_is_fine_tuned_and_segments(panel, dock, click, qtbot, segment):
    assert panel.form.checkpoint_box.checkpoint == "spots"
    assert "BCE + Dice" in panel.form.network_rows.loss.text()
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert "spots-tuned-1" in panel.status.text()
    assert panel.store.info("spots-tuned-1").parent == "spots"
    dock.models_panel.refresh("spots-tuned-1")
    assert dock.models_panel.selected == "spots-tuned-1"
    assert "From the file: spots.onnx" in dock.models_panel.status.text()
    dock.segment_panel.form.checkpoint_box.refresh("spots-tuned-1")
    dock.show_panel(dock.segment_panel)
    assert segment().data.max() > 0


def test_a_model_that_cannot_learn_says_why(panel, dock, click, qtbot):
    box, reason = panel.form.checkpoint_box, "does not change smoothly"
    box.select("rounded")
    assert f"Cannot be fine-tuned: its output {reason}" in box.toolTip()
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert "cannot be fine-tuned" in panel.status.text()
    assert reason in panel.status.text()
    dock.models_panel.refresh("rounded")
    assert reason in dock.models_panel.status.text()
