"""Segment and fine-tune for hours, cancel, stop and fail at random, and print what piles up.

    python benchmarks/soak.py [--minutes N] [--seed N]

Every job is ended at a random moment in one of four ways: it finishes, is stopped, is cancelled, or
fails with an exception of its own. A row of the table is printed after every tenth of the time.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import psutil
from common import table

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.errors import Cancelled
from napari_seglite.images import TrainingImage, chunked
from napari_seglite.runtime import Stop, never, process

End = Literal["finished", "stopped", "cancelled", "failed"]
ENDS: tuple[End, ...] = get_args(End)
START, SIDE = "nuclei-s-net", 160
# Events of a job after which it is ended, at most.
LONGEST = 12


class Injected(Exception):
    """The failure of a job that was meant to fail."""


class Soak:
    """Jobs with random ends, and the resources of this process.

    Parameters
    ----------
    folder : Path
        Gets checkpoints and states of training.
    seed : int
        Of everything random.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.store = CheckpointStore(folder / "checkpoints")
        self.segmenter = Segmenter(self.store)
        self.chance = random.Random(seed)
        rng = np.random.default_rng(seed)
        cells = (rng.random((SIDE // 16, SIDE // 16)) > 0.5).repeat(16, 0).repeat(16, 1)
        self.frame = (cells * 0.5 + rng.normal(0, 0.1, cells.shape)).astype(np.float32)
        self.images = [
            TrainingImage(f"soak {k}", np.rot90(self.frame, k)[None], np.rot90(cells, k) * 1)
            for k in range(5)
        ]
        self.ends: Counter[str] = Counter()

    def job(self) -> None:
        """Run a job, and count how it ended."""
        kind = self.chance.choice(("segmentation", "fine-tuning"))
        end, after = self.chance.choice(ENDS), self.chance.randrange(1, LONGEST)
        run = self._segmentation if kind == "segmentation" else self._fine_tuning
        seen: list[object] = []
        try:
            for event in run(end, lambda: len(seen) >= after):
                seen.append(event)
                if end == "failed" and len(seen) >= after:
                    raise Injected
        except (Cancelled, Injected):
            pass
        self.ends[kind] += 1
        self.ends[end] += 1

    def _segmentation(self, end: End, now: Stop) -> Iterator[object]:
        request = SegmentRequest(START, "ZYX", "cpu", tile=96, overlap=16, output="instances")
        stop = now if end in ("stopped", "cancelled") else never
        yield from self.segmenter.run(np.stack([self.frame] * 3), request, stop)

    def _fine_tuning(self, end: End, now: Stop) -> Iterator[object]:
        folds = self.chance.choice((1, 2))
        request = FineTuneRequest(START, "soaked", device="cpu").adjusted(
            steps=9, batch=2, patch=64, validate_every=3, folds=folds, keep_unimproved=True
        )
        images = self.images if folds == 1 else self.images[:2]
        stop = now if end == "stopped" else never
        abort = now if end == "cancelled" else never
        yield from FineTuner(request, images, self.store).run(stop, abort)
        self.store.delete("soaked")

    def resources(self) -> tuple[float, int, int, int]:
        """Return resident memory in megabytes, threads, open files, and temporary folders."""
        gc.collect()
        this = psutil.Process()
        opened = this.num_fds() if hasattr(this, "num_fds") else this.num_handles()
        folders = list(Path(tempfile.gettempdir()).glob(f"seglite-{os.getpid()}-*"))
        return this.memory_info().rss / 1e6, threading.active_count(), opened, len(folders)


def main() -> None:
    """Run jobs for the given time, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chunked.IN_MEMORY = 10_000  # so that results lie in temporary folders
    rows = [("minutes", "jobs", *ENDS, "memory", "threads", "open files", "temporary folders")]
    with tempfile.TemporaryDirectory() as folder, process.keep_freed_memory():
        soak = Soak(Path(folder), arguments.seed)
        begun = time.monotonic()
        for tenth in range(11):
            while time.monotonic() - begun < tenth * arguments.minutes * 6:
                soak.job()
            ends, (memory, *counts) = soak.ends, soak.resources()
            jobs = ends["segmentation"] + ends["fine-tuning"]
            minutes = (time.monotonic() - begun) / 60
            numbers = (jobs, *(ends[end] for end in ENDS))
            row = (f"{minutes:.1f}", *map(str, numbers), f"{memory:.0f} MB", *map(str, counts))
            rows.append(row)
            print(*row, flush=True)
    print()
    table(rows)


if __name__ == "__main__":
    main()
