"""Dice on other images after the first twenty strokes and half a minute of fine-tuning.

    python benchmarks/fine_tune.py DATA [--sets NAME ...] [--strokes 20] [--seconds 30]

A scripted user spends twenty strokes on one image and fine-tunes for half a minute, with the
settings that the plugin suggests. The strokes are scribbles, equally many on the background and on
each class, at most 40 pixels long and five wide. Or they correct all errors of the starting
checkpoint inside a box, one stroke per error, and the box is then marked as complete. The score is
that of the test images, which nobody corrected. Time is wall-clock time. Freed memory stays with
the process while a network runs, as in the command and the dock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import table
from correction_loop import STARTS, Slice, asked, errors, network_dice, predicted, read
from scipy import ndimage
from skimage.morphology import disk, skeletonize

from napari_seglite import CheckpointStore, FineTuner
from napari_seglite.images import Box, Corrections
from napari_seglite.runtime import process
from napari_seglite.training import AnnotatedImage, corrected_examples, suggest_settings

LENGTH, BRUSH, TUNED = 40, disk(2), "tuned"
SIDES = (256, 192, 160, 128, 96, 64, 48, 32)

Painted = tuple[np.ndarray, Corrections]


def scribbles(image: Slice, _: np.ndarray, count: int) -> Painted:
    """Draw scribbles along the middle of objects; label 1 is background, 2 the first class."""
    truth, rng = image.truth, np.random.default_rng(0)
    labels = np.zeros(truth.shape, np.uint8)
    masks = [truth == kind for kind in range(int(truth.max()) + 1)]
    middles = [skeletonize(mask) for mask in masks]
    for number in range(count):
        kind = number % len(masks)
        inside, middle = masks[kind], middles[kind]
        y, x = rng.choice(np.argwhere(middle))
        near = np.zeros_like(middle)
        half = LENGTH // 2
        near[max(0, y - half) : y + half, max(0, x - half) : x + half] = True
        lines, _ = ndimage.label(middle & near, np.ones((3, 3)))
        stroke = ndimage.binary_dilation(lines == lines[y, x], BRUSH) & inside
        labels[stroke] = kind + 1
    corrections = Corrections((1, *truth.shape), "scribble")
    corrections = corrections.touch(0, Box(0, 0, *truth.shape))
    return labels, corrections


def box(image: Slice, proposed: np.ndarray, count: int) -> Painted:
    """Correct all errors in the largest box that has at most `count` of them."""
    truth = image.truth
    height, width = truth.shape
    for side in SIDES:
        corners = [
            (top, left)
            for top in range(0, height - side + 1, side // 2)
            for left in range(0, width - side + 1, side // 2)
        ]
        # Boxes with most foreground first.
        corners.sort(key=lambda c: -np.count_nonzero(truth[c[0] : c[0] + side, c[1] : c[1] + side]))
        for top, left in corners:
            inside = slice(top, top + side), slice(left, left + side)
            if 0 < errors(proposed[inside], truth[inside]) <= count:
                labels = np.where(proposed > 0, proposed, 0).astype(np.uint8)
                labels[inside] = truth[inside]
                corrections = Corrections((1, *truth.shape))
                corrections = corrections.complete(0, Box(top, left, top + side, left + side))
                print(f"box of {side} pixels", file=sys.stderr)
                return labels, corrections
    raise ValueError(f"No box of {SIDES[-1]} pixels can be corrected with {count} strokes.")


WAYS: dict[str, Callable[[Slice, np.ndarray, int], Painted]] = {"scribbles": scribbles, "box": box}


def learnt(
    start: str, image: Slice, painted: Painted, store: CheckpointStore, seconds: float
) -> str:
    """Fine-tune on painted labels and save the checkpoint `TUNED`; return the last message.

    Parameters
    ----------
    start : str
        Starting checkpoint.
    image : Slice
        The image that was painted on.
    painted : tuple of ndarray and Corrections
        Labels, and which of them count.
    store : CheckpointStore
        Where checkpoints are read and written.
    seconds : float
        Time limit.
    """
    request, info = asked(start, TUNED, [image], store, seconds)
    frames = corrected_examples(
        AnnotatedImage(image.name, image.pixels, painted[0], image.axes, painted[1]), info
    )
    text = ""
    request = suggest_settings(request, frames, info).adjusted(keep_unimproved=True)
    tuner = FineTuner(request, frames, store)
    with process.keep_freed_memory():
        for event in tuner.run():
            text = event.text
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(STARTS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    rows: list[tuple[str, ...]] = [
        ("set", "start", "strokes", "Dice before", "Dice after", "steps", "s")
    ]
    for name in arguments.sets:
        train, test = (read(arguments.data / name, part) for part in ("train", "test"))
        image, start = train[len(train) // 2], STARTS[name]
        for way in arguments.ways:
            with tempfile.TemporaryDirectory() as scratch:
                store = CheckpointStore(Path(scratch) / "checkpoints")
                # With two classes, a checkpoint of one class has no score and predicts nothing.
                known = image.truth.max() == 1
                proposed = predicted(start, [image], store)[0] * known
                before = f"{network_dice(start, test, store):.3f}" if known else "none"
                painted = WAYS[way](image, proposed, arguments.strokes)
                begun = time.monotonic()
                text = learnt(start, image, painted, store, arguments.seconds)
                took = time.monotonic() - begun
                print(f"{name}, {way}: {text}", file=sys.stderr)
                after = network_dice(TUNED, test, store)
                steps = str(store.info(TUNED).settings["steps_done"])
            spent = f"{arguments.strokes}, {way}"
            rows.append((name, start, spent, before, f"{after:.3f}", steps, f"{took:.0f}"))
            print(rows[-1], file=sys.stderr)
    table(rows)


if __name__ == "__main__":
    main()
