"""How long fine-tuning takes to end after a click on Stop, at several moments.

python benchmarks/stopping.py [--starts NAME ...]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from common import table

import src_models
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest
from napari_seglite.errors import Cancelled
from napari_seglite.images import TrainingImage
from napari_seglite.runtime import process
from napari_seglite.training import StepDone

FRAMES, SIDE = 6, 512
# A click comes so many seconds after an event: the start is being scored, or a step was made.
MOMENTS: dict[str, tuple[int, float]] = {
    "scoring the start": (0, 0.3),
    "in step 4": (3, 0.2),
    "in step 23": (22, 0.2),
}


def images(channels: int) -> list[TrainingImage]:
    """Return frames of bright squares with noise."""
    rng = np.random.default_rng(0)
    frames = []
    for number in range(FRAMES):
        labels = (rng.random((SIDE // 16, SIDE // 16)) > 0.5).astype(np.uint8)
        labels = labels.repeat(16, 0).repeat(16, 1)
        frame = (labels * 0.5 + rng.normal(0, 0.1, labels.shape)).astype(np.float32)
        frames.append(TrainingImage(f"frame {number}", np.stack([frame] * channels), labels))
    return frames


def latency(start: str, folds: int, steps: int, delay: float, store: CheckpointStore) -> float:
    """Return the seconds from the click to the end of the run.

    Parameters
    ----------
    start : str
        Checkpoint, or network to train from scratch.
    folds : int
        Above 1, cross-validation.
    steps : int
        Steps made before; 0 while the start is scored.
    delay : float
        Seconds between that and the click.
    store : CheckpointStore
        Gets the new checkpoint.
    """
    network = start if start in src_models.names() else store.info(start).network
    request = FineTuneRequest(start, f"stopped-{len(store.list())}", device="cpu").adjusted(
        steps=1000, batch=4, patch=128, validate_every=20, folds=folds
    )
    clicked: list[float] = []
    timer = threading.Timer(delay, lambda: clicked.append(time.perf_counter()))
    made = 0
    try:
        frames = images(src_models.card(network).context_slices)
        for event in FineTuner(request, frames, store).run(lambda: bool(clicked)):
            made += isinstance(event, StepDone)
            begun = made == steps if steps else "Scoring" in event.text
            if begun and not timer.is_alive() and not clicked:
                timer.start()
    except Cancelled:
        pass  # nothing was learnt yet
    return time.perf_counter() - clicked[0]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", nargs="+", default=["nuclei-s-net", "celnet"])
    arguments = parser.parse_args()
    process.load_training()
    rows = [("start", "folds", *MOMENTS)]
    with tempfile.TemporaryDirectory() as folder, process.keep_freed_memory():
        store = CheckpointStore(Path(folder) / "checkpoints")
        for start in arguments.starts:
            for folds in (1, 2):
                seconds = [latency(start, folds, *moment, store) for moment in MOMENTS.values()]
                rows.append((start, str(folds), *(f"{value:.2f} s" for value in seconds)))
                print(*rows[-1], flush=True)
    print()
    table(rows)


if __name__ == "__main__":
    main()
