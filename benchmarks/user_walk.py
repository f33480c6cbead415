"""The whole walk of a user, in a real window with real mouse events.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/user_walk.py DATA

A stack is segmented; the user corrects three slices to the last pixel, fine-tunes, segments again,
and paints over the largest errors of the slices that are left. The stacks are a corner of five
slices of ``em-membranes`` and of five frames of ``hela-fluo``, whose nuclei were never learnt from.
Clicks on buttons, tabs and lists count, moves along the stack count, and so does every drag of the
brush; seconds are those for which the user has to wait. Runs with earlier versions of the program,
too: those put new labels into a layer of their own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

scratch = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"] = os.path.join(scratch, "settings.yaml")
os.environ["SEGLITE_DATA"] = scratch

import napari  # noqa: E402
import numpy as np  # noqa: E402
from common import table  # noqa: E402
from napari.layers import Labels  # noqa: E402
from qtpy import QtTest  # noqa: E402
from qtpy.QtCore import QEvent, QPointF, Qt  # noqa: E402
from qtpy.QtGui import QMouseEvent  # noqa: E402
from qtpy.QtWidgets import QApplication, QWidget  # noqa: E402
from skimage.io import imread  # noqa: E402
from skimage.measure import label, regionprops  # noqa: E402

from napari_seglite.labels import overlap  # noqa: E402
from napari_seglite.widgets.demo import wait  # noqa: E402

# Its overloads differ between the Qt bindings.
QTest: Any = QtTest.QTest
SIDE, SLICES = 256, 5
CORRECTED, LEFT = (0, 2, 4), (1, 3)
# vispy leaves out moves that follow each other faster than in 10 ms.
BETWEEN = 0.011
# Drags on each slice that is left after fine-tuning.
LAST_STROKES = 20
STARTS = {"em-membranes": "general-unet-sharp", "hela-fluo": "nuclei-s-net"}
Drag = list[tuple[int, int]]


def read(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a corner of the test part of a set, ``(Z, Y, X)``, and its mask.

    Parameters
    ----------
    data : Path
        Folder of all data sets.
    name : str
        Of the set.
    """
    folder = data / name / "test"
    if (folder / "image.tif").is_file():
        image, truth = imread(folder / "image.tif"), imread(folder / "labels.tif")
    else:
        names = sorted(path.name for path in (folder / "images").iterdir())[:SLICES]
        image = np.stack([imread(folder / "images" / each) for each in names])
        truth = np.stack([imread(folder / "labels" / each) for each in names])
    corner = np.s_[:SLICES, :SIDE, :SIDE]
    return image[corner], (truth[corner] > 0).astype(np.uint8)


def paths(mask: np.ndarray) -> list[Drag]:
    """Return drags of a brush of one pixel that paint exactly a mask, in pixels.

    Each goes along the rows of a connected part, and down where the next row continues it.
    """
    runs: dict[int, list[tuple[int, int]]] = {}
    for row in np.flatnonzero(mask.any(1)):
        ends = np.flatnonzero(np.diff(np.r_[0, mask[row].astype(np.int8), 0]))
        runs[int(row)] = [(int(a), int(b) - 1) for a, b in ends.reshape(-1, 2)]
    drags = []
    while runs:
        y = min(runs)
        left, right = runs[y].pop(0)
        drag = [(y, left), (y, right)]
        while True:
            x, below = drag[-1][1], runs.get(y + 1, [])
            following = next((run for run in below if run[0] <= x <= run[1]), None)
            if following is None:
                break
            below.remove(following)
            y += 1
            drag += [(y, x), (y, following[0]), (y, following[1])]
        drags.append(drag)
        runs = {row: rest for row, rest in runs.items() if rest}
    return drags


@dataclass
class User:
    """A user with a mouse, who counts what it costs.

    Attributes
    ----------
    viewer : Viewer
        The window.
    clicks, drags : int
        Clicks, and strokes of the brush.
    waited : dict
        Seconds of waiting by what for.
    """

    viewer: napari.Viewer
    clicks: int = 0
    drags: int = 0
    waited: dict[str, float] = field(default_factory=dict)

    def click(self, button: QWidget) -> None:
        """Click a button."""
        self.clicks += 1
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        QApplication.processEvents()

    def choose(self, act: Callable[[], object]) -> None:
        """Choose something in a list, a tab or the slider of the stack; one click."""
        self.clicks += 1
        act()
        QApplication.processEvents()

    def wait(self, purpose: str, done: Callable[[], bool]) -> None:
        """Wait, and note for how long."""
        begun = time.monotonic()
        wait(done)
        self.waited[purpose] = self.waited.get(purpose, 0) + time.monotonic() - begun

    def drag(self, path: Drag) -> None:
        """Drag the brush over pixels of the slice in view."""
        self.drags += 1
        first, *rest = [self._on_screen(pixel) for pixel in path]
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        self._mouse(QEvent.Type.MouseMove, first, none, none)
        self._mouse(QEvent.Type.MouseButtonPress, first, left, left)
        for point in rest:
            time.sleep(BETWEEN)
            self._mouse(QEvent.Type.MouseMove, point, none, left)
            QApplication.processEvents()  # napari takes moves together until then
        self._mouse(QEvent.Type.MouseButtonRelease, rest[-1], left, none)
        QApplication.processEvents()

    def _mouse(self, kind: Any, point: QPointF, button: Any, buttons: Any) -> None:
        canvas = self.viewer.window._qt_viewer.canvas.native
        place = QPointF(canvas.mapToGlobal(point.toPoint()))
        held = Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(canvas, QMouseEvent(kind, point, place, button, buttons, held))

    def _on_screen(self, pixel: tuple[int, int]) -> QPointF:
        canvas = self.viewer.window._qt_viewer.canvas.native
        size = np.array([canvas.height(), canvas.width()])
        centre = np.array(self.viewer.camera.center)[-2:]
        y, x = (np.array(pixel) - centre) * self.viewer.camera.zoom + size / 2
        return QPointF(float(x), float(y))

    def correct(self, layer: Labels, number: int, truth: np.ndarray, strokes: int = 0) -> None:
        """Paint over errors of a slice: all of them, or as many of the largest as `strokes`."""
        self.choose(lambda: self.viewer.dims.set_current_step(0, number))
        self.viewer.layers.selection.active = layer
        layer.mode, layer.brush_size = "paint", 1
        for value in (1, 0):
            wrong = ((layer.data[number] > 0) != truth) & (truth == value)
            drags = paths(wrong) if not strokes else largest(wrong, strokes // 2)
            layer.selected_label = int(layer.data.max()) if value else 0
            for path in drags:
                self.drag(path)


def largest(wrong: np.ndarray, count: int) -> list[Drag]:
    """Return a drag through each of the largest separate errors."""
    numbered = label(wrong)
    regions = sorted(regionprops(numbered), key=lambda region: -region.area)[:count]
    return [max(paths(numbered == region.label), key=len) for region in regions]


def walk(name: str, data: Path) -> list[str]:
    """Go the walk; return a row of the table.

    Parameters
    ----------
    name : str
        Of the data set.
    data : Path
        Folder of all data sets.
    """
    image, truth = read(data, name)
    viewer = napari.Viewer()
    viewer.window.resize(1600, 1000)
    _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
    viewer.add_image(image, name=name, axis_labels=("z", "y", "x"))
    user, segmenting, training = User(viewer), dock.segment_panel, dock.fine_tune_panel
    form = segmenting.form
    user.choose(lambda: segmenting.select_checkpoint(STARTS[name]))
    user.choose(lambda: segmenting.select_output("semantic"))
    if form.scope_box.currentData() != "all":
        user.choose(lambda: form.scope_box.setCurrentIndex(form.scope_box.findData("all")))
    user.click(segmenting.segment_button)
    user.wait("segment", lambda: not segmenting.busy)
    layer = segmenting.last.layer
    first = overlap(np.asarray(layer.data), truth).dice

    user.choose(lambda: dock.show_panel(dock.correct_panel))
    viewer.fit_to_view()
    QApplication.processEvents()
    slices = getattr(dock.correct_panel, "slices", dock.correct_panel)
    for number in CORRECTED:
        user.correct(layer, number, truth[number])
        assert (np.asarray(layer.data[number] > 0) == truth[number]).all()
        user.click(slices.accept_button)
        wait(lambda: not dock.correct_panel.busy)
    assert segmenting.last.layer is layer

    user.choose(lambda: dock.show_panel(training))
    user.click(training.start_button)
    user.wait("fine-tune", lambda: not training.busy)
    again = getattr(training, "again_button", None)
    if again is not None and not again.isHidden():
        user.click(again)
    else:
        user.choose(lambda: dock.show_panel(segmenting))
        user.click(segmenting.segment_button)
    user.wait("segment again", lambda: not segmenting.busy)
    layer = segmenting.last.layer
    kept = overlap(np.asarray(layer.data)[list(CORRECTED)], truth[list(CORRECTED)]).dice
    learnt = overlap(np.asarray(layer.data)[list(LEFT)], truth[list(LEFT)]).dice
    for number in LEFT:
        user.correct(layer, number, truth[number], LAST_STROKES)
    exported = Path(scratch) / f"{name}.tif"
    user.choose(lambda: layer.save(str(exported)))
    final = overlap(imread(exported), truth).dice
    shown = sum(isinstance(each, Labels) and each.visible for each in viewer.layers)
    viewer.close()
    waited = [
        f"{user.waited[purpose]:.0f}" for purpose in ("segment", "fine-tune", "segment again")
    ]
    scores = [f"{score:.3f}" for score in (first, kept, learnt, final)]
    return [name, str(user.clicks), str(user.drags), *waited, *scores, str(shown)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(STARTS))
    arguments = parser.parse_args()
    head = (
        "stack",
        "clicks",
        "drags",
        "s to segment",
        "to fine-tune",
        "again",
        "Dice at first",
        "corrected slices at the end",
        "other slices after fine-tuning",
        "exported",
        "visible Labels layers",
    )
    table([head, *(tuple(walk(name, arguments.data)) for name in arguments.sets)])


if __name__ == "__main__":
    main()
