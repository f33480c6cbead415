"""How long the window freezes: opening the dock, segmenting, fine-tuning.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui.py
    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui.py --first [--beside PATH] [--new]

The second measures the first masks of a user who has never run the plugin: napari shows the sample
image, the dock is opened, and Segment is clicked at once or after ten seconds; then another
checkpoint is chosen and Segment is clicked again. Every row is a process of its own with a new
user folder. ``--beside`` takes another checkout of this repository, whose runs take turns. With
``--new``, nothing is compiled yet, as after an installation.

A timer in the GUI thread should fire every 5 ms. Its delay is the time for which the window did not
react.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
# Checkpoints of the first and of the second click, and seconds that the user looks at the dock.
FIRST, SECOND = "nuclei-s-net", "nuclei-unet-sharp"
PAUSES = (0.0, 10.0)
USER_FOLDERS = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


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


def click_first(pause: float) -> None:
    """Print the seconds until the dock is open and until the first masks, and the stalls."""
    viewer = napari.Viewer()
    viewer.add_image(sample_data.load("fluorescence")[0], name="cells")
    wait_a_moment()
    start = time.perf_counter()
    _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
    QApplication.processEvents()
    opened, panel = time.perf_counter() - start, dock.segment_panel
    panel.select_checkpoint(FIRST)

    def look() -> None:
        end = time.perf_counter() + pause
        wait(lambda: time.perf_counter() > end)

    def segment() -> None:
        panel.segment()
        wait(lambda: not panel.busy)
        assert len(viewer.layers) > 1, panel.status.text()

    _, idle = stalls(look)
    first, waits = stalls(segment)
    panel.select_checkpoint(SECOND)
    second, later = stalls(segment)
    longest = max([0.0, *idle, *waits, *later])
    over = sum(w > 0.05 for w in (*idle, *waits, *later))
    viewer.close()
    print("CLICKS", json.dumps([opened, first, second, longest, over]))


def first_clicks(beside: Path | None, new: bool) -> None:
    """Print the table of the first clicks; `new` if nothing is compiled yet."""
    here = Path(__file__).parents[1]
    checkouts = {"before": beside, "now": here} if beside else {"this": here}
    rows: list[tuple[str, ...]] = [
        (
            "checkout",
            "click after",
            "dock opens",
            "first mask",
            "second checkpoint's",
            "longest stall",
            "stalls over 50 ms",
        )
    ]
    for pause in PAUSES:
        for name, checkout in checkouts.items():
            with tempfile.TemporaryDirectory() as home:
                folders = dict.fromkeys(USER_FOLDERS, home)
                if new:
                    folders["NUMBA_CACHE_DIR"] = home
                call = [sys.executable, __file__, "--one", str(pause)]
                environment = {**os.environ, **folders, "PYTHONPATH": str(checkout)}
                printed = subprocess.check_output(call, env=environment, text=True)
            values = json.loads(printed.split("CLICKS")[1])
            opened, first, second, longest, over = values
            times = (f"{pause:.0f} s", f"{opened:.1f} s", f"{first:.1f} s", f"{second:.1f} s")
            rows.append((name, *times, f"{1e3 * longest:.0f} ms", str(over)))
    table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--first", action="store_true", help="measure the first clicks")
    parser.add_argument("--beside", type=Path, metavar="PATH", help="another checkout")
    parser.add_argument("--new", action="store_true", help="nothing is compiled yet")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        click_first(arguments.one)
    elif arguments.first:
        first_clicks(arguments.beside, arguments.new)
    else:
        jobs()


def jobs() -> None:
    """Print the stalls of the jobs."""
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
