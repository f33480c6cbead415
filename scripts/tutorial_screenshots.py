"""Go through the tutorials in real windows and save the pictures of their pages.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/tutorial_screenshots.py DATA [NAME ...]

NAME is ``nuclei``, ``membranes`` or ``touching``; all of them if none is given. DATA holds
``nuclei`` with the reference labels of the samples. Writes into ``docs/images/tutorials`` and
prints what the pages state: counts, scores and messages.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_seglite.widgets.dock import SegliteDock

FOLDER = Path(__file__).parent.parent / "docs" / "images" / "tutorials"
# The samples' names in the data set.
FLUORESCENCE, TOUCHING = "53ad09e43487", "777f7c426927"
WIDTH, HEIGHT = 1280, 880
CORRECTED = (1, 5, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*TUTORIALS, []])
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or TUTORIALS:
        # The developer's own settings and checkpoints must neither be visible nor change.
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["NAPARI_CONFIG"] = str(Path(scratch) / "settings.yaml")
            os.environ["SEGLITE_DATA"] = scratch
            print(f"--- {name}", flush=True)
            TUTORIALS[name](arguments.data)


def window(sample: str) -> tuple[napari.Viewer, SegliteDock]:
    """Open a window with a sample, by its key in the manifest, and the plugin."""
    import napari

    viewer = napari.Viewer(title="SegLite")
    viewer.window.resize(WIDTH, HEIGHT)
    viewer.open_sample("napari-seglite", sample)
    _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
    for layer in viewer.layers:
        layer.contrast_limits = np.percentile(layer.data, (0.1, 99.7))
    settle()
    return viewer, dock


def settle(seconds: float = 0.8) -> None:
    """Let the window draw for some seconds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def save(viewer: napari.Viewer, name: str) -> None:
    """Save the window as it is."""
    from skimage.io import imsave

    settle()
    imsave(
        FOLDER / f"{name}.png", viewer.window.screenshot(canvas_only=False, flash=False)[..., :3]
    )
    print(f"{name}.png", flush=True)


def segmented(dock: SegliteDock) -> Labels:
    """Click Segment and return the labels."""
    from napari_seglite.widgets import demo

    panel = dock.segment_panel
    panel.segment_button.click()
    demo.wait(lambda: not panel.busy)
    settle()
    print("Segment says:", panel.status.text())
    assert panel.last is not None
    return panel.last.layer


def show_dice(layer: Labels, truth: np.ndarray, leave_out: tuple[int, ...] = ()) -> None:
    """Print the Dice of foreground, over the slices that are not left out."""
    from napari_seglite.labels import overlap

    found, true = np.asarray(layer.data) > 0, truth > 0
    if found.ndim == 3:
        kept = [k for k in range(len(found)) if k not in leave_out]
        each = [2 * (f & t).sum() / (f.sum() + t.sum()) for f, t in zip(found, true, strict=True)]
        print(
            "Dice",
            np.round(each, 3),
            "mean of the others",
            np.round(np.mean(np.array(each)[kept]), 3),
        )
        return
    print("Dice", overlap(found, true))


def show_objects(layer: Labels, truth: np.ndarray) -> None:
    """Print how many objects there are, and the scores of objects."""
    from napari_seglite.labels import instance_scores

    labels = np.asarray(layer.data)
    scores = instance_scores(labels, truth)
    print("objects", len(np.unique(labels)) - 1, "of", len(np.unique(truth)) - 1, scores)


def truth_of(data: Path, name: str) -> np.ndarray:
    """Return the reference labels of a sample."""
    from napari_seglite.formats import read_labels

    return np.asarray(read_labels(data / "nuclei" / "test" / "labels" / f"{name}.tif"))


def nuclei(data: Path) -> None:
    """Segment, try the settings, measure and save."""
    from napari_seglite.widgets import demo

    viewer, dock = window("nuclei-fluorescence")
    panel = dock.segment_panel
    viewer.reset_view()
    save(viewer, "nuclei-opened")
    panel.select_checkpoint("nuclei-unet-sharp")
    panel.select_output("instances")
    labels = segmented(dock)
    truth = truth_of(data, FLUORESCENCE)
    show_objects(labels, truth)
    show_dice(labels, truth)
    save(viewer, "nuclei-segmented")

    labels.contour = 1
    viewer.camera.zoom *= 3
    save(viewer, "nuclei-closer")
    labels.contour = 0
    viewer.reset_view()

    measure = dock.measure_panel
    dock.show_panel(measure)
    measure.measure()
    demo.wait(lambda: not measure.busy)
    print("Measure says:", measure.status.text())
    save(viewer, "nuclei-measured")
    viewer.close()


def membranes(_: Path) -> None:
    """Correct three slices of a stack, fine-tune, and segment all of it."""
    from napari_seglite.widgets import demo, drawn_stack
    from napari_seglite.widgets.correct.mask_tools import write_frames

    truth = drawn_stack.draw()[1]
    viewer, dock = window("membranes")
    panel = dock.segment_panel
    panel.select_checkpoint("general-unet-sharp")
    panel.select_output("semantic")
    viewer.dims.set_current_step(0, CORRECTED[0])
    viewer.reset_view()
    labels = segmented(dock)
    show_dice(labels, truth, CORRECTED)
    labels.opacity = 0.5
    save(viewer, "membranes-first")

    correct = dock.correct_panel
    dock.show_panel(correct)
    settle()
    correct.classes.rename("membrane")
    tracked = correct.tracked()
    assert tracked is not None
    for frame in CORRECTED:
        viewer.dims.set_current_step(0, frame)
        write_frames(tracked, [(frame, truth[frame])])
        settle(0.3)
        correct.slices.accept()
        demo.wait(lambda: not correct.slices.busy)  # it goes to the next slice
        settle(0.3)
    dock.tracker.flush()
    viewer.dims.set_current_step(0, CORRECTED[0])
    save(viewer, "membranes-corrected")

    tune = dock.fine_tune_panel
    dock.show_panel(tune)
    tune.form.minutes.setValue(10)
    viewer.dims.set_current_step(0, 3)
    tune.fine_tune()
    demo.wait(lambda: len(tune.curve.dice) > 3 or not tune.busy)
    save(viewer, "membranes-learning")
    demo.wait(lambda: not tune.busy)
    settle()
    print("Fine-tune says:", tune.status.text())
    save(viewer, "membranes-learnt")

    dock.show_panel(panel)
    labels = segmented(dock)
    show_dice(labels, truth, CORRECTED)
    save(viewer, "membranes-again")
    viewer.close()


def touching(data: Path) -> None:
    """Separate nuclei that touch: with the settings, by questions, and with a line."""
    from napari_seglite.widgets import demo

    truth = truth_of(data, TOUCHING)
    viewer, dock = window("nuclei-touching")
    panel = dock.segment_panel
    panel.select_checkpoint("nuclei-unet-sharp")
    panel.select_output("instances")
    viewer.reset_view()
    labels = segmented(dock)
    labels.contour = 2
    show_objects(labels, truth)
    save(viewer, "touching-first")

    slider = panel.form.labelling_rows.split_depth
    own = slider.value()
    for depth in (0.02, 0.25, own):
        slider.setValue(depth)
        settle(1.5)
        print("split depth", depth)
        show_objects(labels, truth)
        if depth == 0.02:
            save(viewer, "touching-split-depth")

    dock.show_panel(dock.correct_panel)
    queue, tools = dock.correct_panel.queue, dock.correct_panel.objects
    queue.ask_button.click()
    demo.wait(lambda: not queue.busy)
    settle()
    print("Correct says:", dock.correct_panel.status.text())
    answer(queue, labels, truth)
    show_objects(labels, truth)

    first = True
    for _ in range(3):  # an object of three needs two lines
        for line in cuts(np.asarray(labels.data), truth):
            closer(viewer, line)
            tools.use("split")
            drag(viewer, labels, line, release=not first)
            if first:
                save(viewer, "touching-line")
                drag(viewer, labels, line[-1:], pressed=True)
                save(viewer, "touching-split")
            tools.put_down()
            settle(0.3)
            print("cut", line.round())
            first = False
    for line in joins(np.asarray(labels.data), truth):
        closer(viewer, line)
        tools.use("merge")
        drag(viewer, labels, line)
        tools.put_down()
        settle(0.3)
        print("joined", line.round())
    show_objects(labels, truth)
    viewer.reset_view()
    save(viewer, "touching-done")
    viewer.close()


def closer(viewer: napari.Viewer, line: np.ndarray) -> None:
    """Zoom to the surroundings of a line, as a user does with the wheel."""
    viewer.reset_view()
    viewer.camera.center = (0, *line.mean(axis=0))
    viewer.camera.zoom *= 2
    settle(0.3)


def answer(queue: Any, labels: Labels, truth: np.ndarray) -> None:
    """Answer every question as somebody would who knows the truth."""
    from napari_seglite.labels import instance_scores

    given = []
    while queue._pending:
        now = np.asarray(labels.data)
        then = queue._pending[0].applied(now, int(now.max()) + 1)
        better = instance_scores(then, truth).aji > instance_scores(now, truth).aji
        given.append((queue._pending[0].kind, "yes" if better else "no"))
        (queue.yes_button if better else queue.no_button).click()
        settle(0.3)
    print("answers", given)


def cuts(labels: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Return lines, ``(2, 2)`` rows and columns, that part objects which are several in truth.

    The largest object comes first.
    """
    from scipy import ndimage

    lines: list[tuple[int, np.ndarray]] = []
    for value in np.unique(labels)[1:]:
        inside = labels == value
        numbers, counts = np.unique(truth[inside & (truth > 0)], return_counts=True)
        covered = [n for n, c in zip(numbers, counts, strict=True) if c > 0.5 * (truth == n).sum()]
        if len(covered) < 2 or inside.sum() < 300:
            continue
        first = ndimage.distance_transform_edt(truth != covered[0])
        others = ndimage.distance_transform_edt(~np.isin(truth, covered[1:]))
        places = np.argwhere(inside & (np.abs(first - others) < 1.5))
        centre = places.mean(axis=0)
        along = np.linalg.svd(places - centre)[2][0]
        reach = np.abs((places - centre) @ along).max() + 7
        line = np.stack([centre - reach * along, centre + reach * along])
        lines.append((int(inside.sum()), line))
    return [line for _, line in sorted(lines, key=lambda each: -each[0])]


def joins(labels: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Return lines from one object to another, where both are the same in truth."""
    lines = []
    for value in np.unique(truth)[1:]:
        inside = truth == value
        numbers, counts = np.unique(labels[inside & (labels > 0)], return_counts=True)
        parts = [
            n
            for n, c in zip(numbers, counts, strict=True)
            if c > 0.2 * inside.sum() and c > 0.7 * (labels == n).sum()
        ]
        if len(parts) == 2:
            lines.append(np.stack([np.argwhere(labels == n).mean(axis=0) for n in parts]))
    return lines


def drag(
    viewer: napari.Viewer,
    layer: Labels,
    pixels: np.ndarray,
    *,
    pressed: bool = False,
    release: bool = True,
) -> None:
    """Drag the mouse over pixels of a 2-D layer; `pressed` goes on with a drag."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    canvas = viewer.window._qt_viewer.canvas.native
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

    def send(kind: Any, pixel: np.ndarray, button: Any, buttons: Any) -> None:
        world = np.array(layer.data_to_world(pixel))[-2:]
        middle = np.array([canvas.height(), canvas.width()]) / 2
        y, x = (world - np.array(viewer.camera.center)[-2:]) * viewer.camera.zoom + middle
        place = QPointF(float(x), float(y))
        spot = QPointF(canvas.mapToGlobal(place.toPoint()))
        plain = Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(canvas, QMouseEvent(kind, place, spot, button, buttons, plain))
        settle(0.03)  # vispy leaves out moves that follow each other faster

    if not pressed:
        send(QEvent.Type.MouseMove, pixels[0], none, none)
        send(QEvent.Type.MouseButtonPress, pixels[0], left, left)
    if len(pixels) > 1:
        for part in np.linspace(0, 1, 12)[1:]:
            where = pixels[0] + part * (pixels[-1] - pixels[0])
            send(QEvent.Type.MouseMove, where, none, left)
    if release:
        send(QEvent.Type.MouseButtonRelease, pixels[-1], left, none)


TUTORIALS: dict[str, Any] = {"nuclei": nuclei, "membranes": membranes, "touching": touching}

if __name__ == "__main__":
    main()
