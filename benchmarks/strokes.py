"""What a stroke of the brush costs the window, and what it writes.

    python benchmarks/strokes.py

Paints into real Labels layers of several sizes. Measured on the GUI thread: napari's own work for a
stroke without the plugin, and with it; and how many bytes the stroke added to the project.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

scratch = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"] = str(Path(scratch) / "settings.yaml")
os.environ["SEGLITE_DATA"] = scratch

from common import table  # noqa: E402

STROKES = 40


def milliseconds(layer: object, rng: np.random.Generator, strokes: int = STROKES) -> list[float]:
    """Paint short strokes at random places; returns how long each stopped the thread."""
    from qtpy.QtWidgets import QApplication

    times, side = [], layer.data.shape[0]  # type: ignore[attr-defined]
    for number in range(strokes):
        y, x = (int(n) for n in rng.integers(20, side - 20, 2))
        begun = time.perf_counter()
        with layer.block_history():  # type: ignore[attr-defined]
            for step in range(10):
                layer.paint((y, x + step), number % 7 + 1)  # type: ignore[attr-defined]
        times.append(1000 * (time.perf_counter() - begun))
        QApplication.processEvents()
    return times


def main() -> None:
    import napari

    rows: list[tuple[str, ...]] = [
        ("image", "napari alone, ms", "with SegLite, ms", "first stroke, ms", "bytes a stroke")
    ]
    for side in (512, 2048, 8192):
        viewer = napari.Viewer(show=True)
        image = viewer.add_image(np.zeros((side, side), np.uint8), contrast_limits=(0, 255))
        labels = viewer.add_labels(np.zeros((side, side), np.uint8))
        labels.brush_size = 15
        rng = np.random.default_rng(0)
        alone = milliseconds(labels, rng)
        _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
        dock.correct_panel.take(image, labels, "")
        (first,) = milliseconds(labels, rng, 1)
        dock.tracker.flush()  # which writes all labels, once
        journal = dock.tracker.project.journal
        before = journal.size
        later = milliseconds(labels, rng)
        dock.tracker.flush()
        written = (journal.size - before) / STROKES
        rows.append(
            (
                f"{side} x {side}",
                f"{median(alone):.1f}",
                f"{median(later):.1f}",
                f"{first:.1f}",
                f"{written:,.0f}",
            )
        )
        viewer.close()
    table(rows)


if __name__ == "__main__":
    main()
