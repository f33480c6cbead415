"""Time that a brush stroke takes in the GUI thread, and bytes that it writes.

    python benchmarks/strokes.py

Paints into real Labels layers of several sizes, with and without the plugin. Bytes are those that a
stroke adds to the project.
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
    """Paint short strokes at random places; return the time of each in milliseconds.

    Parameters
    ----------
    layer : napari.layers.Labels
        Layer to paint into.
    rng : numpy.random.Generator
        Chooses the places.
    strokes : int
        Number of strokes, of ten steps each.
    """
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
        ("image", "napari alone, ms", "with SegLite, ms", "first stroke, ms", "bytes per stroke")
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
        dock.tracker.flush()  # the first stroke writes all labels
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
