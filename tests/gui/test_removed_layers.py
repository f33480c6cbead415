"""Removing layers in paint mode does not end the process (docs/upstream.md)."""

import os
import subprocess
import sys

import pytest

# In a process of its own, because a failure is a segmentation fault.
WALK = """
import gc, os
import napari, numpy as np
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtTest import QTest
from napari_seglite.widgets.dock import SegliteDock

viewer = napari.Viewer()
viewer.window.add_dock_widget(SegliteDock(viewer))
viewer.window.resize(900, 600)
QTest.qWait(300)
gc.freeze()  # napari collects garbage with every layer that is removed

# Qt mostly leaves the window's context current, and the crash comes with that; to be sure of one
# that is not the canvas's:
own = viewer.window._qt_viewer.canvas.native.context()
surface, other = QOffscreenSurface(), QOpenGLContext()
surface.create()
other.setShareContext(own)
assert other.create()

for number in range(12):
    image = np.random.default_rng(number).integers(0, 255, (4, 64, 64)[number % 2 == 0 :], np.uint8)
    viewer.add_image(image)
    viewer.add_labels((image > 128).astype(np.uint8)).mode = "paint"
    QTest.qWait(20)
    viewer.dims.ndisplay = 3
    QTest.qWait(60)
    assert other.makeCurrent(surface)
    viewer.layers.clear()
    QTest.qWait(30)
    viewer.dims.ndisplay = 2
    QTest.qWait(30)
print("all rounds done", flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Mesa's software renderer crashes, no other")
def test_rounds_of_segment_clear_open_3d_and_back(tmp_path):
    settings = {"NAPARI_CONFIG": str(tmp_path / "settings.yaml"), "LIBGL_ALWAYS_SOFTWARE": "1"}
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", WALK],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "all rounds done" in run.stdout
