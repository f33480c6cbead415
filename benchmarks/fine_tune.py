"""What the first strokes are worth: Dice on other images before and after half a minute.

    python benchmarks/fine_tune.py DATA [--sets NAME ...] [--strokes 20] [--seconds 30]

A scripted user scribbles on one image, as many strokes of the background as of every class, each at
most 40 pixels long and five wide, and fine-tunes for half a minute with the settings the plugin
suggests. Scored are the test images, which nobody scribbled on. The time is that of a clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import table
from correction_loop import STARTS, Slice, asked, network_dice, read
from scipy import ndimage
from skimage.morphology import disk, skeletonize

from napari_seglite import CheckpointStore, FineTuner
from napari_seglite.engine.corrections import Corrections, corrected_frames
from napari_seglite.engine.suggestions import suggested

LENGTH, BRUSH, TUNED = 40, disk(2), "tuned"


def scribbles(truth: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Draw strokes along the middle of things; label 1 is background, 2 the first class."""
    rng = np.random.default_rng(seed)
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
        parts, _ = ndimage.label(middle & near, np.ones((3, 3)))
        stroke = ndimage.binary_dilation(parts == parts[y, x], BRUSH) & inside
        labels[stroke] = kind + 1
    return labels


def learnt(
    start: str, image: Slice, labels: np.ndarray, store: CheckpointStore, seconds: float
) -> str:
    """Fine-tune on scribbles, to a checkpoint `TUNED`; returns what the run said of itself."""
    corrections = Corrections((1, *labels.shape), "scribble")
    corrections.touch(0, (0, 0, *labels.shape))
    request, info = asked(start, TUNED, [image], store, seconds)
    frames = corrected_frames(image.name, image.pixels, labels, image.axes, info, corrections)
    text = ""
    for event in FineTuner(suggested(request, frames, info), frames, store).run():
        text = event.text
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(STARTS))
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    rows: list[tuple[str, ...]] = [
        ("set", "start", "strokes", "Dice before", "Dice after", "steps", "s")
    ]
    for name in arguments.sets:
        train, test = (read(arguments.data / name, part) for part in ("train", "test"))
        image, start = train[len(train) // 2], STARTS[name]
        labels = scribbles(image.truth, arguments.strokes)
        with tempfile.TemporaryDirectory() as scratch:
            store = CheckpointStore(Path(scratch) / "checkpoints")
            begun = time.monotonic()
            text = learnt(start, image, labels, store, arguments.seconds)
            took = time.monotonic() - begun
            print(f"{name}: {text}", file=sys.stderr)
            # A checkpoint of one class has no score where there are two.
            known = image.truth.max() == 1
            before = f"{network_dice(start, test, store):.3f}" if known else "none"
            after = network_dice(TUNED, test, store)
            steps = str(store.info(TUNED).settings["steps_done"])
        rows.append(
            (
                name,
                start,
                str(arguments.strokes),
                before,
                f"{after:.3f}",
                steps,
                f"{took:.0f}",
            )
        )
        print(rows[-1], file=sys.stderr)
    table(rows)


if __name__ == "__main__":
    main()
