"""How long the window freezes: opening the dock, segmenting, fine-tuning.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui.py

A timer in the GUI thread should fire every 5 ms. Its delay is the time for which the window did not
react.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable

scratch = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"] = os.path.join(scratch, "settings.yaml")
os.environ["SEGLITE_DATA"] = scratch

import napari  # noqa: E402
import numpy as np  # noqa: E402
from common import table  # noqa: E402
from qtpy.QtCore import QTimer  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_seglite.widgets import sample_data  # noqa: E402
from napari_seglite.widgets.demo import wait  # noqa: E402

BEAT = 0.005


def stalls(run: Callable[[], None]) -> tuple[float, list[float]]:
    """Return the duration of a call and the stalls of the GUI thread, longest first; seconds."""
    waits, last = [], time.perf_counter()

    def beat() -> None:
        nonlocal last
        now = time.perf_counter()
        waits.append(now - last - BEAT)
        last = now

    timer = QTimer()
    timer.setInterval(int(BEAT * 1000))
    timer.timeout.connect(beat)
    timer.start()
    start = last = time.perf_counter()
    run()
    timer.stop()
    return time.perf_counter() - start, sorted(waits, reverse=True)


def wait_a_moment() -> None:
    """Let the window draw."""
    end = time.perf_counter() + 0.5
    wait(lambda: time.perf_counter() > end)


def add_and_remove_layers(viewer: napari.Viewer) -> None:
    """Add and remove a Labels layer twice, as the preview and the result of a job do."""
    for _ in range(2):
        layer = viewer.add_labels(np.zeros(viewer.layers[0].data.shape, np.uint8))
        wait_a_moment()
        viewer.layers.remove(layer)
        wait_a_moment()


def main() -> None:
    viewer = napari.Viewer()
    for _ in range(50):
        QApplication.processEvents()
    start = time.perf_counter()
    _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
    QApplication.processEvents()
    print(f"the dock opens in {1e3 * (time.perf_counter() - start):.0f} ms\n")
    viewer.add_image(np.tile(sample_data.load("fluorescence")[0], (2, 2)), name="cells")
    segmenting, training = dock.segment_panel, dock.fine_tune_panel
    training.form.steps.setValue(10)

    def segment() -> None:
        segmenting.segment()
        wait(lambda: not segmenting.busy)

    def fine_tune() -> None:
        training.fine_tune()
        wait(lambda: not training.busy)

    rows: list[tuple[str, ...]] = [("job", "time", "longest stall", "second", "stalls over 50 ms")]
    for name, run in (
        (
            "napari's first two Labels layers, without SegLite",
            lambda: add_and_remove_layers(viewer),
        ),
        ("two more of them", lambda: add_and_remove_layers(viewer)),
        ("first segmentation (imports torch)", segment),
        ("segmentation again", segment),
        ("first fine-tuning (imports MONAI)", fine_tune),
        ("fine-tuning again", fine_tune),
    ):
        seconds, waits = stalls(run)
        longest = [f"{1e3 * w:.0f} ms" for w in waits[:2]]
        rows.append((name, f"{seconds:.1f} s", *longest, str(sum(w > 0.05 for w in waits))))
    table(rows)
    viewer.close()


if __name__ == "__main__":
    main()
