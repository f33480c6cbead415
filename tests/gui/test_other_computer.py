"""Segment and fine-tune in the window while the network runs in another process."""

import numpy as np
import pytest
from dask_cluster import Cluster

pytest.importorskip("distributed")

from napari_seglite import SegmentRequest
from napari_seglite import segment as segment_array
from napari_seglite.widgets.common import preferences

PATIENCE = 300_000
TINY = "nuclei-unet-sharp-tiny"


@pytest.fixture
def cluster(tmp_path):
    one = Cluster(tmp_path)
    one.worker()
    yield one
    one.close()


@pytest.mark.usefixtures("keeps_copies")
def test_the_network_runs_on_another_computer(
    viewer, dock, segment, click, qtbot, nuclei, store, cluster
):
    panel = dock.segment_panel
    row = panel.form.computer_row
    assert row.box.currentText() == "This computer"
    assert row.label.text() == ""
    # Nothing is chosen without an address.
    row.box.setCurrentIndex(1)
    row.box.activated.emit(1)
    assert row.box.currentText() == "This computer"
    dialog = row.dialog
    click(dialog.use_button)
    assert "no address" in dialog.status.text()
    dialog.address.setText("tcp://gpu-room")
    click(dialog.use_button)
    assert "not encrypted" in dialog.status.text()
    dialog.address.setText(cluster.url)

    def connected():
        if not dialog.runner.busy and "Connected to" not in dialog.status.text():
            click(dialog.test_button)  # until the worker is there
        return "Connected to" in dialog.status.text()

    qtbot.waitUntil(connected, timeout=PATIENCE)
    click(dialog.use_button)
    assert not dialog.isVisible()
    assert row.box.currentText() == "127.0.0.1"
    assert "Connected to" in row.label.text()
    assert "Connected to" in dock.fine_tune_panel.form.computer_row.label.text()
    stored = preferences.load({"computer": "here", "remote_address": ""})
    assert stored == {"computer": "there", "remote_address": cluster.url}

    viewer.add_image(nuclei, name="cells")
    panel.select_checkpoint(TINY)
    panel.select_output("semantic")
    steps = []
    panel.runner.progressed.connect(steps.append)
    layer = segment()
    expected = segment_array(nuclei, SegmentRequest(TINY, "YX", output="semantic")).labels
    np.testing.assert_array_equal(layer.data, expected)
    assert any("Connecting to" in step.text for step in steps)
    assert any(step.total for step in steps)
    assert panel._segmenter._loaded is None  # no network was loaded here

    tuning = dock.fine_tune_panel
    tuning.form.steps.setValue(3)
    dock.show_panel(tuning)
    click(tuning.start_button)
    qtbot.waitUntil(lambda: not tuning.busy, timeout=PATIENCE)
    info = store.info(f"{TINY}-tuned-1")
    assert info.settings["computer"]
    assert info.settings["steps_done"] == 3
    assert info.parent == TINY
    assert f"on {info.settings['computer']}" in dock.models_panel.status.text()

    for process in cluster.processes:
        process.kill()
        process.wait()
    before = layer.data.copy()
    click(panel.segment_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert "No Dask scheduler answers" in panel.status.text()
    np.testing.assert_array_equal(layer.data, before)
    row.box.setCurrentIndex(0)
    row.box.activated.emit(0)
    assert row.label.text() == ""
    segment()
    assert panel._segmenter._loaded is not None
