"""The whole walk in a real window: segment, correct, fine-tune, segment again."""

import numpy as np
import pytest

from napari_seglite import CheckpointStore, SegmentRequest
from napari_seglite import segment as segment_array

PATIENCE = 300_000  # milliseconds: tests do not measure time, and machines are busy


def test_segment_correct_fine_tune_segment(
    viewer, dock, click, segment, qtbot, nuclei, keeps_copies
):
    viewer.add_image(nuclei, name="cells", scale=(0.5, 0.25), translate=(3, 4), units="um")
    dock.segment_panel.select_output("semantic")
    layer = segment()
    assert layer.name == "cells nuclei-unet-sharp"
    assert layer.data.dtype == np.uint8
    assert 0.02 < (layer.data > 0).mean() < 0.7
    assert tuple(layer.scale) == (0.5, 0.25)
    assert tuple(layer.translate) == (3, 4)
    assert layer.units == viewer.layers["cells"].units
    assert layer.axis_labels == viewer.layers["cells"].axis_labels
    assert viewer.layers.selection.active == layer
    assert layer.mode == "paint"
    assert layer.metadata["seglite"]["checkpoint"] == "nuclei-unet-sharp"

    before = layer.data.copy()
    layer.brush_size = 12
    layer.paint((2, 140), 1)
    assert (layer.data != before).any()

    panel = dock.fine_tune_panel
    assert panel.form.labels_box.value == layer
    assert panel.form.image_box.value == viewer.layers["cells"]
    dock.show_panel(dock.fine_tune_panel)
    panel.form.steps.setValue(3)
    assert panel.form.name.text() == "nuclei-unet-sharp-tuned-1"
    click(panel.start_button)
    assert panel.busy
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert "nuclei-unet-sharp-tuned-1" in panel.status.text()
    assert CheckpointStore().info("nuclei-unet-sharp-tuned-1").parent == "nuclei-unet-sharp"
    assert len(panel.curve.loss) == 3
    assert len(panel.curve.dice) == 2
    assert panel.form.name.text() == "nuclei-unet-sharp-tuned-2"

    # Three steps may not be enough to get better; from the history it can be used all the same.
    dock.show_panel(dock.models_panel)
    assert dock.models_panel.selected == "nuclei-unet-sharp-tuned-1"
    click(dock.models_panel.buttons["use"])
    assert dock.segment_panel.form.checkpoint_box.checkpoint == "nuclei-unet-sharp-tuned-1"
    assert dock.tabs.currentIndex() == 0
    second = segment()
    assert second == layer
    names = [each.name for each in viewer.layers if "corrected area" not in each.name]
    assert names == ["cells", "cells nuclei-unet-sharp-tuned-1"]


@pytest.mark.parametrize("tab", [0, 1])
def test_window_closes_during_a_job(viewer, dock, click, segment, qtbot, nuclei, tab):
    from superqt.utils import WorkerBase

    viewer.add_image(np.tile(nuclei, (6, 6)) if tab == 0 else nuclei)
    if tab == 0:
        panel = dock.segment_panel
        click(panel.segment_button)
        qtbot.waitUntil(lambda: "Tile" in panel.status.text(), timeout=PATIENCE)
    else:
        segment()
        panel = dock.fine_tune_panel
        dock.show_panel(dock.fine_tune_panel)
        click(panel.start_button)
        qtbot.waitUntil(lambda: len(panel.curve.loss) > 0, timeout=PATIENCE)
    assert panel.busy
    viewer.close()
    WorkerBase.await_workers(20_000)  # raises if a thread is left
    assert not [c for c in CheckpointStore().list() if c.parent]


def test_cancel_leaves_everything_as_it_was(viewer, dock, click, qtbot, nuclei):
    viewer.add_image(np.tile(nuclei, (6, 6)))
    panel = dock.segment_panel
    click(panel.segment_button)
    click(panel.cancel_button)  # before the first tile
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert "Cancelled" in panel.status.text()
    assert len(viewer.layers) == 1
    assert panel.segment_button.isEnabled()
    assert not panel.cancel_button.isEnabled()


def test_cancel_keeps_the_slices_that_are_finished(viewer, dock, segment, click, qtbot, nuclei):
    stack = np.stack([nuclei[:96, :96]] * 4)
    viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 0)
    panel = dock.segment_panel
    click(panel.segment_button)
    panel.runner.progressed.connect(lambda progress: progress.done == 2 and panel.cancel())
    qtbot.waitUntil(lambda: not panel.busy, timeout=300_000)
    assert "Stopped: " in panel.status.text()
    labels = panel.last.layer
    assert labels.data[0].any()
    assert not labels.data[3].any()
    assert segment() == labels
    assert panel.last.result.complete
    expected = segment_array(stack, SegmentRequest("nuclei-unet-sharp", "ZYX")).labels
    np.testing.assert_array_equal(labels.data, expected)


def test_stop_keeps_the_best_so_far(viewer, dock, click, segment, qtbot, nuclei, keeps_copies):
    viewer.add_image(nuclei)
    segment()
    panel = dock.fine_tune_panel
    dock.show_panel(dock.fine_tune_panel)
    panel.form.steps.setValue(10_000)
    click(panel.start_button)
    qtbot.waitUntil(lambda: len(panel.curve.loss) >= 2, timeout=PATIENCE)
    click(panel.stop_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    info = CheckpointStore().info("nuclei-unet-sharp-tuned-1")
    assert 2 <= info.settings["steps_done"] < 20


def test_without_progress_nothing_is_saved(
    viewer, dock, click, segment, qtbot, nuclei, monkeypatch
):
    viewer.add_image(nuclei)
    segment()
    panel = dock.fine_tune_panel
    asked = panel.form.request
    monkeypatch.setattr(panel.form, "request", lambda: asked().adjusted(learning_rate=1e-12))
    dock.show_panel(panel)
    panel.form.steps.setValue(2)
    before = [info.id for info in CheckpointStore().list()]
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert len(panel.curve.loss) == 2
    assert "nuclei-unet-sharp stays selected" in panel.status.text()
    assert "saved" not in panel.status.text().lower()
    assert [info.id for info in CheckpointStore().list()] == before
    assert panel.start_button.text() == "Fine-tune"
    assert panel.form.checkpoint_box.checkpoint == "nuclei-unet-sharp"
    assert panel.form.name.text() == "nuclei-unet-sharp-tuned-1"


def test_fine_tuning_works_while_segmenting(
    viewer, dock, click, segment, qtbot, nuclei, keeps_copies
):
    viewer.add_image(nuclei)
    segment()
    training = dock.fine_tune_panel
    training.form.steps.setValue(6)
    dock.show_panel(dock.fine_tune_panel)
    click(training.start_button)
    dock.show_panel(dock.segment_panel)
    assert segment() is not None
    qtbot.waitUntil(lambda: not training.busy, timeout=PATIENCE)
    assert CheckpointStore().info("nuclei-unet-sharp-tuned-1").settings["steps_done"] == 6


TRAIN_UNDER_GL = """
import sys, napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer()
for _ in range(20):
    QApplication.processEvents()
from napari_seglite.runtime.process import keep_triton_out
keep_triton_out()
import torch
weight = torch.nn.Parameter(torch.zeros(3))
optimiser = torch.optim.AdamW([weight])
weight.sum().backward()
optimiser.step()
from src_models.selective_scan import choose_backend
print("torch._dynamo" in sys.modules, choose_backend("cuda"))
viewer.close()
"""


def test_training_survives_triton_beside_a_software_opengl():
    """Torch imports Triton if it is there, whose LLVM crashes when Mesa's was loaded before."""
    import os
    import subprocess
    import sys
    from pathlib import Path

    folder = Path(sys.prefix) / "triton"
    if not folder.is_dir():
        pytest.skip(f"Triton is not here ({folder}), 'make setup' puts it there on Linux")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    printed = subprocess.check_output(
        [sys.executable, "-c", TRAIN_UNDER_GL], env=environment, text=True
    )
    if "libLLVM" in Path("/proc/self/maps").read_text():
        assert printed.split()[-2:] == ["True", "reference"]
