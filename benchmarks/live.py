"""Time from a stroke to the updated prediction in live training, 512 x 512 pixels.

    python benchmarks/live.py [--starts nuclei-s-net u2net-msac] [--strokes 8]

Each stroke changes the labels. The time ends when the prediction of the whole view, trained on that
stroke, is back. The first stroke comes as soon as the session is ready, and is listed separately.
Freed memory stays with the process while a network runs, as in the dock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from threading import Event

import numpy as np
from common import table

from napari_seglite import CheckpointStore, FineTuneRequest
from napari_seglite.checkpoints import intensity_limits
from napari_seglite.checkpoints.inputs import prepare_frame
from napari_seglite.images import Box, Corrections, ImageAxes, TrainingImage
from napari_seglite.runtime import devices, process
from napari_seglite.training import (
    AnnotatedImage,
    LiveInput,
    LiveSession,
    Previewed,
    Schedule,
    corrected_examples,
)
from napari_seglite.training.live import READY
from napari_seglite.widgets import sample_data

SIDE = 512


def seconds_per_stroke(start: str, strokes: int, store: CheckpointStore) -> list[float]:
    """Scribble on a real image; return the seconds from each stroke to its prediction.

    Parameters
    ----------
    start : str
        Starting checkpoint or network.
    strokes : int
        Number of strokes.
    store : CheckpointStore
        Where checkpoints are read and written.
    """
    image = sample_data.load("fluorescence")[0]
    image = np.pad(image, [(0, max(0, SIDE - n)) for n in image.shape], mode="reflect")
    image = image[:SIDE, :SIDE]
    bright = image > np.percentile(image, 90)
    labels = np.zeros(image.shape, np.uint8)
    corrections = Corrections((1, SIDE, SIDE), "scribble")
    axes, rng = ImageAxes("YX"), np.random.default_rng(0)
    fast = devices.fast_bfloat16("cpu")
    request = FineTuneRequest(
        start,
        f"live-{start}",
        Schedule(batch=2),
        device="cpu",
        precision="bfloat16" if fast else "float32",
    )
    session = LiveSession(request, store)
    limits = intensity_limits(image, axes, session.info)
    frame = prepare_frame(image[None], session.info, limits)
    times: list[float] = []

    def examples() -> list[TrainingImage]:
        annotated = AnnotatedImage("a", image, labels, axes, corrections)
        return corrected_examples(annotated, session.info, limits)

    begun, images = 0.0, examples()

    def stroke() -> None:
        nonlocal begun, corrections, images
        for value, mask in ((1, ~bright), (2, bright)):
            y, x = rng.permutation(np.argwhere(mask))[0]
            near = np.s_[max(0, y - 4) : y + 4, max(0, x - 4) : x + 4]
            labels[near] = np.where(mask[near], value, labels[near])
        corrections = corrections.touch(0, Box(0, 0, 1, 1))
        begun = time.perf_counter()
        images = examples()

    ready = Event()
    for event in session.run(
        lambda: LiveInput(images, frame, len(times)) if ready.is_set() else None,
        lambda: len(times) >= strokes,
    ):
        if event.text == READY:
            stroke()
            ready.set()
        if isinstance(event, Previewed):
            times.append(time.perf_counter() - begun)
            stroke()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", nargs="+", default=["nuclei-s-net", "u2net-msac"])
    parser.add_argument("--strokes", type=int, default=8)
    arguments = parser.parse_args()
    rows: list[tuple[str, ...]] = [("start", "first stroke, s", "median, s", "longest, s")]
    for start in arguments.starts:
        with tempfile.TemporaryDirectory() as scratch:
            store = CheckpointStore(Path(scratch) / "checkpoints")
            with process.keep_freed_memory():
                first, *later = seconds_per_stroke(start, arguments.strokes, store)
            rows.append((start, f"{first:.1f}", f"{median(later):.1f}", f"{max(later):.1f}"))
    table(rows)


if __name__ == "__main__":
    main()
