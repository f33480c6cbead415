"""Make the screenshots of a stack and of the correction loop.

    python scripts/loop_screenshots.py DATA

DATA holds ``nuclei`` with the reference labels of the sample image, which the scripted user
paints. The four quarters of the sample make a stack. Writes ``stack.png``, ``correct.png``,
``learn.png`` and ``history.png`` into ``docs/images``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "docs" / "images"
# The sample's name in the data set.
NAME = "53ad09e43487"


def quarters(frame: np.ndarray) -> np.ndarray:
    """Cut a frame ``(H, W)`` into four slices ``(4, H // 2, W // 2)``."""
    height, width = frame.shape[0] // 2, frame.shape[1] // 2
    return np.stack([frame[y : y + height, x : x + width] for y in (0, height) for x in (0, width)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SEGLITE_DATA"] = scratch
        pictures(data)


def pictures(data: Path) -> None:
    """Go through the correction loop and save screenshots."""
    import napari

    from napari_seglite.formats import read_labels
    from napari_seglite.widgets import demo, sample_data
    from napari_seglite.widgets.correct.mask_tools import write_frames

    truth = read_labels(data / "nuclei" / "test" / "labels" / f"{NAME}.tif") > 0
    stack, masks = quarters(sample_data.load("fluorescence")[0]), quarters(truth).astype(np.uint8)
    viewer = napari.Viewer(title="SegLite")
    viewer.window.resize(1600, 1000)
    viewer.add_image(stack, name="nuclei", axis_labels=("z", "y", "x"), contrast_limits=(0, 120))
    _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
    form = dock.segment_panel.form
    form.uncertainty.setCurrentIndex(form.uncertainty.findData("entropy"))
    form.output_box.setCurrentIndex(form.output_box.findData("semantic"))
    dock.segment_panel.segment()
    demo.wait(lambda: not dock.segment_panel.busy and len(viewer.layers) == 3)
    shown = dock.segment_panel.last
    assert shown is not None
    labels = shown.layer

    reference = viewer.add_labels(masks, name="truth", visible=False)
    panel = dock.evaluate_panel
    dock.show_panel(panel)
    panel.reset_choices()
    panel.labels_box.value, panel.truth_box.value = labels, reference
    panel.evaluate()
    demo.wait(lambda: not panel.busy)
    viewer.layers.remove(reference)
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.shape = (2, 2)
    demo.screenshot(viewer, FOLDER / "stack.png")

    viewer.canvas.grid.enabled = False
    for layer in list(viewer.layers)[2:]:
        viewer.layers.remove(layer)
    viewer.layers.selection.active = labels
    labels.opacity = 0.5
    dock.show_panel(dock.correct_panel)
    viewer.dims.set_current_step(0, 0)
    dock.correct_panel.classes.rename("nucleus")
    tracked = dock.correct_panel.tracked()
    for frame in (0, 1):
        viewer.dims.set_current_step(0, frame)
        write_frames(tracked, [(frame, masks[frame])])
    dock.tracker.flush()
    dock.correct_panel.slices.next()
    demo.wait(lambda: "left" in dock.correct_panel.status.text())
    demo.screenshot(viewer, FOLDER / "correct.png")

    panel = dock.fine_tune_panel
    dock.show_panel(panel)
    panel.form.steps.setValue(60)
    panel.fine_tune()
    demo.wait(lambda: len(panel.curve.dice) > 1 and "nuclei learning" in viewer.layers)
    demo.screenshot(viewer, FOLDER / "learn.png")
    demo.wait(lambda: not panel.busy)
    dock.show_panel(dock.models_panel)
    demo.screenshot(viewer, FOLDER / "history.png")
    print(panel.status.text())
    viewer.close()


if __name__ == "__main__":
    main()
