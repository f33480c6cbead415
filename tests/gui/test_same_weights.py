"""Fine-tuning in the panel and in a shell, from the same corrections, gives the same weights."""

import numpy as np
import pytest
import torch

import src_models
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.cli import main
from napari_seglite.training import defaults

PATIENCE = 300_000  # milliseconds: tests do not measure time, and machines are busy


@pytest.fixture
def tiny(store):
    """Return the id of a light checkpoint with fresh weights."""
    torch.manual_seed(0)
    network = src_models.create("unet-sharp", preset="tiny")
    info = CheckpointInfo("tiny", "unet-sharp", options={"preset": "tiny"})
    return store.save(info, network.state_dict()).id


def test_panel_and_shell_learn_the_same(
    viewer, store, tiny, dock, click, qtbot, nuclei, monkeypatch
):
    """Slice 0 is corrected twice: in whole, and then with scribbles."""
    for name, value in (("LARGEST_PATCH", 32), ("MOST_STEPS", 20)):  # the same, in less time
        monkeypatch.setattr(defaults, name, value)
    stack = np.stack([nuclei[k : k + 80, :96] for k in range(3)])
    image = viewer.add_image(
        stack, name="cells", axis_labels=("z", "y", "x"), scale=(2, 0.5, 0.25), units="um"
    )
    masks = (stack > np.percentile(stack, 85)).astype(np.uint8)
    labels = viewer.add_labels(masks, name="mask", scale=image.scale, units="um")
    correct, tune = dock.correct_panel, dock.fine_tune_panel
    dock.show_panel(correct)
    correct.image_box.value, correct.labels_box.value = image, labels
    assert correct.tracked() is not None
    for counts in ("whole", "scribble"):
        correct.mode_box.setCurrentIndex(correct.mode_box.findData(counts))
    scribbles = viewer.layers["cells scribbles"]
    for number in (0, 2):
        viewer.dims.set_current_step(0, number)
        labels.paint((number, 5, 5), 1)
    for label, bright in ((1, False), (2, True)):
        y, x = np.argwhere((masks[0] > 0) == bright)[40]
        scribbles.brush_size = 5
        scribbles.paint((0, int(y), int(x)), label)

    dock.show_panel(tune)
    tune.reset_choices()
    tune.form.image_box.value, tune.form.labels_box.value = image, labels
    tune.select_checkpoint(tiny)
    tune.form.name.setText("panel")
    click(tune.start_button)
    qtbot.waitUntil(lambda: not tune.busy, timeout=PATIENCE)
    assert store.info("panel").settings["frames"] == ["cells, slice 2", "cells-2, slice 0"]

    folder = dock.tracker.project.folder
    dock.tracker.close()
    words = f"fine-tune --project {folder} --checkpoint {tiny} --name shell --minutes 5"
    assert main(words.split()) == 0
    panel, shell = store.info("panel"), store.info("shell")
    assert shell.settings["frames"] == panel.settings["frames"]
    assert shell.data_digest == panel.data_digest
    assert shell.spacing == panel.spacing == (0.5, 0.25)
    a, b = (store.load(name)[1].state_dict() for name in ("panel", "shell"))
    assert all(torch.equal(a[key], b[key]) for key in a)
