"""Stacks: a network in three dimensions against one that sees slices, in the same time.

    python benchmarks/volumes.py DATA [--minutes 2] [--seeds 1] [--stacks ...] [--networks ...]

UNet# tiny in 2-D and in 3-D and CeLNet, each from scratch, learn for the same processor time from
the same slices and segment another stack:

- mitochondria in ``em-organelles``: all 13 training slices, scored on the three test slices;
- tubes and spheroids that are drawn, with slices four pixels apart and noise in which a single
  slice shows little: every third of 24 slices is learnt, another stack is scored.

Dice is that of all voxels. Consistency is the mean Dice of neighbouring predicted slices, to be
read beside that of the truth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from common import table
from scipy import ndimage

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, SegmentRequest, segment
from napari_seglite.formats import read_image, read_labels
from napari_seglite.images import Box, Corrections, ImageAxes
from napari_seglite.labels import overlap
from napari_seglite.training import (
    AnnotatedImage,
    RunCallbacks,
    Schedule,
    StepDone,
    prepare_training,
)

NETWORKS: dict[str, tuple[str, dict[str, object] | None]] = {
    "UNet# tiny, 2-D": ("unet-sharp", {"preset": "tiny"}),
    "UNet# tiny, 3-D": ("unet-sharp", {"preset": "tiny", "dims": 3}),
    "CeLNet": ("celnet", None),
}
SPACING, NOISE = 4.0, 1.2


@dataclass(frozen=True)
class Task:
    """A stack to learn from, the slices that are learnt, and one to score on."""

    name: str
    stack: np.ndarray
    labels: np.ndarray
    frames: tuple[int, ...]
    spacing: float
    test: np.ndarray
    truth: np.ndarray


def drawn(seed: int, shape: tuple[int, int, int] = (24, 128, 128)) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack with tubes and spheroids in noise, and their mask."""
    rng = np.random.default_rng(seed)
    z, y, x = (grid.astype(np.float32) for grid in np.mgrid[tuple(map(slice, shape))])
    z, depth = z * SPACING, shape[0] * SPACING
    mask = np.zeros(shape, np.uint8)
    for _ in range(12):  # spheroids
        centre = rng.random(3) * (depth, *shape[1:])
        radii = rng.uniform(7, 14, 3)
        distance = sum(
            ((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)
        )
        mask[distance < 1] = 1
    for _ in range(6):  # tubes, rather along Z
        start, slope = rng.random(2) * shape[1:], rng.uniform(-0.8, 0.8, 2)
        away = (y - start[0] - slope[0] * z) ** 2 + (x - start[1] - slope[1] * z) ** 2
        mask[away < rng.uniform(4, 7) ** 2] = 1
    noise = ndimage.gaussian_filter(rng.normal(0, 1, shape), (0, 1, 1))
    return (mask + NOISE * noise / noise.std()).astype(np.float32), mask


def tasks(data: Path) -> list[Task]:
    """Return what is learnt."""
    stack, labels = drawn(1)
    test, truth = drawn(2)
    found = [Task("drawn", stack, labels, tuple(range(0, 24, 3)), SPACING, test, truth)]
    folder = data / "em-organelles"
    if not folder.is_dir():
        print(f"{folder} is not there: left out", file=sys.stderr)
        return found
    (stack, labels), (test, truth) = (
        (
            np.asarray(read_image(folder / part / "image.tif").array),
            (np.asarray(read_labels(folder / part / "labels.tif")) == 1).astype(np.uint8),
        )
        for part in ("train", "test")
    )
    every = tuple(range(len(stack)))
    return [*found, Task("em-organelles", stack, labels, every, 50 / 4.6, test, truth)]


def learnt(
    task: Task, start: str, options: dict[str, object] | None, minutes: float, seed: int
) -> tuple[np.ndarray, int]:
    """Return the predicted mask of the test stack, and the number of steps."""
    corrections = Corrections(task.stack.shape)
    for frame in task.frames:
        corrections = corrections.complete(frame, Box.whole(task.stack.shape[1:]))
    image = AnnotatedImage(
        task.name,
        task.stack,
        task.labels,
        ImageAxes("ZYX"),
        corrections,
        slice_spacing=task.spacing,
    )
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder) / "checkpoints")
        request = FineTuneRequest(
            start, "new", Schedule(minutes=minutes), options=options, seed=seed, device="cpu"
        )
        request, examples = prepare_training(request, [image], store)
        request = request.adjusted(steps=100_000, patience=100_000, folds=1)
        steps = 0
        callbacks = RunCallbacks(clock=time.process_time)  # other programs do not count
        for event in FineTuner(request, examples, store).run(callbacks=callbacks):
            steps += isinstance(event, StepDone)
        result = segment(task.test, SegmentRequest("new", "ZYX", "cpu"), store=store)
        return np.asarray(result.labels) > 0, steps


def consistency(mask: np.ndarray) -> float:
    """Return the mean Dice of neighbouring slices."""
    return float(np.mean([overlap(a, b).dice for a, b in pairwise(mask)]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--stacks", nargs="*", default=["drawn", "em-organelles"])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    arguments = parser.parse_args()
    rows = [("stack", "network", "Dice", "consistency", "of the truth", "steps")]
    for task in tasks(arguments.data):
        if task.name not in arguments.stacks:
            continue
        for name in arguments.networks:
            for seed in range(arguments.seeds):
                mask, steps = learnt(task, *NETWORKS[name], arguments.minutes, seed)
                dice = overlap(mask, task.truth).dice
                numbers = dice, consistency(mask), consistency(task.truth)
                rows.append((task.name, name, *(f"{n:.3f}" for n in numbers), str(steps)))
                print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    table(rows)


if __name__ == "__main__":
    main()
