"""What it costs that saved corrections are on disk: fsync, and the comparison at closing.

    python benchmarks/durability.py

Saves the same strokes, indexes and checkpoints with fsync and, for comparison, without it, and
compares a layer with what is on disk, as closing a project does.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from common import table

from napari_seglite.annotation import AnnotationProject, Autosave, ProjectImage
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.images import Corrections, ImageAxes

REPEATS = 40


def milliseconds(act: Callable[[int], object]) -> tuple[float, float]:
    """Return the median time of something with fsync and without it, taken in turns."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * REPEATS):
        synced = number % 2 == 0
        with patch.object(os, "fsync", os.fsync if synced else lambda _: None):
            start = time.perf_counter()
            act(number)
            times[synced].append((time.perf_counter() - start) * 1000)
    return median(times[True]), median(times[False])


def saving(folder: Path) -> None:
    """Print what saving costs with fsync and without."""
    project = AnnotationProject.open(folder / "project", create=True)
    labels = np.zeros((2048, 2048), np.uint8)
    image = ProjectImage("a", "a", "", ImageAxes("YX"), Corrections((1, 2048, 2048)), labels.shape)
    project.add(image, labels)
    saver = Autosave(project, delay=1e6)
    saver.stop()
    saver.watch(image, lambda: labels)
    store = CheckpointStore(folder / "checkpoints", folder / "none")
    card = CheckpointInfo("tiny", "unet-sharp", options={"preset": "tiny"})
    weights = card.build().state_dict()

    def stroke(number: int) -> None:
        row = 20 * number
        labels[row : row + 20, 300:340] = 1
        saver.labels_changed(image, (row, 300), (row + 20, 340))
        saver.flush()

    acts: dict[str, Callable[[int], object]] = {
        "a stroke": stroke,
        "the index": lambda _: project.save_index(),
        "a checkpoint of 1.4 MB": lambda _: store.save(card, weights, overwrite=True),
    }
    rows: list[tuple[str, ...]] = [("saving", "with fsync, ms", "without, ms", "ratio")]
    for name, act in acts.items():
        with_it, without = milliseconds(act)
        rows.append((name, f"{with_it:.1f}", f"{without:.1f}", f"{with_it / without:.1f}"))
    table(rows)
    saver.close()
    project.close()


def closing(folder: Path) -> None:
    """Print how long the comparison at closing takes for labels of several sizes."""
    rows: list[tuple[str, ...]] = [("labels", "MB", "comparison, s")]
    for shape in ((2048, 2048), (20, 1024, 1024), (200, 1024, 1024)):
        project = AnnotationProject.open(folder / "x".join(map(str, shape)), create=True)
        labels = np.zeros(shape, np.uint8)
        labels[..., ::7, :] = 3
        axes = "ZYX"[-len(shape) :]
        size = (shape[0] if len(shape) > 2 else 1, *shape[-2:])
        image = ProjectImage("a", "a", "", ImageAxes(axes), Corrections(size), shape)
        project.add(image, labels)
        saver = Autosave(project, delay=1e6)
        saver.watch(image, partial(np.asarray, labels))
        saver.flush()
        start = time.perf_counter()
        assert saver.close() == ""
        seconds = time.perf_counter() - start
        project.close()
        rows.append(("x".join(map(str, shape)), f"{labels.nbytes / 1e6:.0f}", f"{seconds:.2f}"))
    table(rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        saving(Path(scratch))
        closing(Path(scratch))
