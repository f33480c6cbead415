"""The sample image, segmented in napari: ``python -m napari_seglite.widgets.demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..cli import reported
from ..errors import SegliteError
from . import sample_data

if TYPE_CHECKING:
    import napari

    from .dock import SegliteDock


def build() -> tuple[napari.Viewer, SegliteDock]:
    """Open napari with the sample image and the plugin, set to label every nucleus."""
    import napari

    viewer = napari.Viewer(title="SegLite")
    _, path = sample_data.load("fluorescence")
    viewer.open(path, plugin="napari", name="nuclei")
    _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
    viewer.layers["nuclei"].reset_contrast_limits()
    dock.segment_panel.select_checkpoint("nuclei-unet-sharp")
    dock.segment_panel.select_output("instances")
    return viewer, dock


def show() -> int:
    """Segment the sample image and show the window until it is closed."""
    import napari

    _, dock = build()
    dock.segment_panel.segment()
    napari.run()
    return 0


def save(folder: Path, size: str) -> int:
    """Segment the sample image, save a screenshot and the labels, and close the window.

    Parameters
    ----------
    folder : Path
        Folder for ``screenshot.png`` and ``labels.tif``.
    size : str
        Of the window in pixels, such as ``1600x1000``.

    Raises
    ------
    SegliteError
        If there is no result.
    """
    from ..formats import write_labels

    width, height = (int(n) for n in size.split("x"))
    viewer, dock = build()
    viewer.window.resize(width, height)
    dock.segment_panel.segment()
    wait(lambda: not dock.segment_panel.busy)
    last = dock.segment_panel.last
    if last is None:
        raise SegliteError(f"The demo failed: {dock.segment_panel.status.text()}")
    folder.mkdir(parents=True, exist_ok=True)
    labels = folder / "labels.tif"
    write_labels(labels, last.result.labels, recipe=last.result.recipe())
    picture = folder / "screenshot.png"
    screenshot(viewer, picture)
    count = int(last.result.labels.max())
    viewer.close()
    print(f"{labels.resolve()}\n{picture.resolve()}\n{count} nuclei found")
    return 0


def wait(done: Callable[[], bool], seconds: float = 600) -> None:
    """Process events until ``done()`` is true.

    Parameters
    ----------
    done : callable
        Asked repeatedly.
    seconds : float
        Time limit.

    Raises
    ------
    SegliteError
        If the time limit is over.
    """
    import time

    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not done():
        QApplication.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            raise SegliteError(f"The window did not finish within {seconds:.0f} s.")


def screenshot(viewer: napari.Viewer, path: Path) -> None:
    """Save a screenshot of the whole window, once everything is drawn, at a path."""
    import time

    from qtpy.QtWidgets import QApplication
    from skimage.io import imsave

    viewer.fit_to_view()
    for _ in range(30):
        QApplication.processEvents()
        time.sleep(0.02)
    imsave(path, viewer.window.screenshot(canvas_only=False, flash=False)[..., :3])


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the demo, or save it if ``--output`` is given.

    Returns
    -------
    int
        0 on success, 1 if the demo failed.
    """
    parser = argparse.ArgumentParser(description="Segment a sample image in napari.")
    parser.add_argument("--output", type=Path, help="folder for a screenshot and the labels")
    parser.add_argument("--size", default="1600x1000", help="of the window in pixels")
    parsed = parser.parse_args(arguments)
    output = parsed.output
    return reported(lambda: show() if output is None else save(output, parsed.size))


if __name__ == "__main__":
    sys.exit(main())
