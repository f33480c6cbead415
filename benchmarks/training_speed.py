"""Steps a minute of fine-tuning on the CPU, of this version beside another one in the same run.

    python benchmarks/training_speed.py DATA --beside FOLDER [--starts NAME ...] [--steps 40]

Both versions fine-tune a start on the same four corrected images, with the settings that the
plugin suggests, each in a process of its own on one thread. They take turns step by step, so that
a computer that slows down slows both. A step is everything between two steps of the run: drawing
and changing the patches, forward and backward pass, update, average, and, where one is due, the
score of the held-out image. *Before* is what comes before the first step: reading, the score of the
start and the first answer. Time is processor time. ``FOLDER`` holds the other version, such as a
worktree of an earlier commit; without it, this version is measured alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import table

HERE = Path(__file__).resolve().parent
STARTS = ("general-unet-sharp", "general-u2net-msac")
IMAGES = 4


class Side:
    """A version of the program, fine-tuning in a process of its own.

    Parameters
    ----------
    folder : Path
        With the version's packages.
    data : Path
        Of the data set.
    start : str
        Checkpoint to fine-tune.
    """

    def __init__(self, folder: Path, data: Path, start: str) -> None:
        threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        paths = os.pathsep.join((str(folder), str(HERE)))
        environment = {**os.environ, **threads, "PYTHONPATH": paths}
        command = [sys.executable, __file__, str(data), "--work", start]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.before = self.step()
        self.seconds: list[float] = []

    def step(self) -> float:
        """Make a step and return the processor seconds that it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith("seconds "):
                return float(line.split()[1])
        raise SystemExit("A version of the program ended early.")

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def work(data: Path, start: str) -> None:
    """Fine-tune, one step for each line of standard input."""
    from correction_loop import asked, chosen, processor_seconds, read

    from napari_seglite import CheckpointStore, FineTuner
    from napari_seglite.runtime import process
    from napari_seglite.training import RunCallbacks, StepDone, image_examples, suggest_settings

    with tempfile.TemporaryDirectory() as scratch, process.keep_freed_memory():
        store = CheckpointStore(Path(scratch) / "checkpoints")
        corrected = chosen(read(data, "train"), IMAGES)
        request, info = asked(start, "tuned", corrected, store, seconds=1e6)
        images = [
            image
            for s in corrected
            for image in image_examples(s.name, s.pixels, s.truth, s.axes, info)
        ]
        request = suggest_settings(request, images, info).adjusted(patience=10**6)
        callbacks = RunCallbacks(clock=processor_seconds)
        sys.stdin.readline()
        begun = time.process_time()
        for event in FineTuner(request, images, store).run(callbacks=callbacks):
            if isinstance(event, StepDone):
                print("seconds", time.process_time() - begun, flush=True)
                sys.stdin.readline()
                begun = time.process_time()


def measured(folders: list[Path], data: Path, start: str, steps: int) -> list[Side]:
    """Return the versions with the times of their steps, which they make in turn."""
    sides: list[Side] = []
    try:
        sides += [Side(folder, data, start) for folder in folders]
        for _ in range(steps):
            for side in sides:
                side.seconds.append(side.step())
    finally:
        for side in sides:
            side.end()
    return sides


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--beside", type=Path, help="folder of another version")
    parser.add_argument("--starts", nargs="+", default=list(STARTS))
    parser.add_argument("--set", default="em-membranes")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.data, arguments.work)
        return
    others = [arguments.beside.resolve()] if arguments.beside else []
    rows: list[tuple[str, ...]] = [
        ("start", "version", "before, s", "step, ms", "steps a minute", "times as many")
    ]
    for start in arguments.starts:
        sides = measured(
            [*others, HERE.parent], arguments.data / arguments.set, start, arguments.steps
        )
        first = sum(sides[0].seconds)
        for side, name in zip(sides, ("beside", "this") if others else ("this",), strict=True):
            total = sum(side.seconds)
            middle = 1000 * statistics.median(side.seconds)
            pace = f"{60 * len(side.seconds) / total:.0f}"
            rows.append(
                (start, name, f"{side.before:.1f}", f"{middle:.0f}", pace, f"{first / total:.2f}")
            )
            print(rows[-1], file=sys.stderr, flush=True)
    table(rows)


if __name__ == "__main__":
    main()
