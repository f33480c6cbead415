"""Dice of the first answer to a new task, beside a random forest and twenty steps without it.

    python benchmarks/first_answer.py DATA [--sets NAME ...] [--part train] [--start NAME]

A scripted user corrects four images of a set's ``train`` part. Scored are other images of that
part, or with ``--part test`` those of ``test``: the random forest of `correction_loop`, the
checkpoint with the first answer and a step that changes nothing, and those of twenty steps with it
and without. The largest images are cut to their middle. Seconds are processor time of one thread;
those of the first answer are its own, scoring left out.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import correction_loop
import numpy as np
import torch
from common import table
from correction_loop import SETS, Slice, asked, chosen, forest_dice, network_dice

from napari_seglite import CheckpointStore, FineTuner
from napari_seglite.training import FullTraining, RunCallbacks, image_examples, suggest_settings

CORRECTED, SCORED, SIDE, STEPS = 4, 4, 512, 20
NO_RATE = 1e-12


def read(folder: Path, part: str) -> list[Slice]:
    """Return the images of a part with the classes of their pixels, cut to their middle."""
    whole = correction_loop.read(folder, part)
    return [Slice(s.name, middle(s.pixels), middle(s.truth)) for s in whole]


def middle(pixels: np.ndarray) -> np.ndarray:
    """Return the middle of an image, `SIDE` pixels high and wide at most."""
    top, left = (max(0, (length - SIDE) // 2) for length in pixels.shape[:2])
    return np.asarray(pixels[top : top + SIDE, left : left + SIDE])


def tuned(
    start: str, corrected: list[Slice], scored: list[Slice], steps: int, first: bool
) -> tuple[float, float]:
    """Return Dice on other images after some steps, and the seconds of the first answer.

    No steps are one that changes nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder) / "checkpoints")
        request, info = asked(start, "tuned", corrected, store, 3600)
        images = [
            image
            for s in corrected
            for image in image_examples(s.name, s.pixels, s.truth, s.axes, info)
        ]
        request = suggest_settings(request, images, info)
        full = request.full_training or FullTraining(request.schedule.learning_rate)
        rate = full.learning_rate if steps else NO_RATE
        full = replace(full, steps=max(1, steps), learning_rate=rate)
        request = replace(request, full_training=full, first_answer=first)
        request = request.adjusted(steps=full.steps, keep_unimproved=True)
        took = 0.0
        for event in FineTuner(request, images, store).run(
            callbacks=RunCallbacks(clock=time.process_time)
        ):
            if found := re.match(r"First answer after ([\d.]+) s", event.text):
                took = float(found[1])
        return network_dice("tuned", scored, store), took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--part", choices=["train", "test"], default="train")
    parser.add_argument("--start", default="general-unet-sharp")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[tuple[str, ...]] = [
        ("set", "forest", "first answer", "s", f"{STEPS} steps with it", "without it")
    ]
    for name in arguments.sets:
        train = read(arguments.data / name, "train")
        corrected = chosen(train, CORRECTED)
        names = {s.name for s in corrected}
        others = [s for s in train if s.name not in names]
        if arguments.part == "test":
            others = read(arguments.data / name, "test")
        scored = chosen(others, min(SCORED, len(others)))
        forest, _ = forest_dice(corrected, scored)
        first, took = tuned(arguments.start, corrected, scored, 0, True)
        later, _ = tuned(arguments.start, corrected, scored, STEPS, True)
        without, _ = tuned(arguments.start, corrected, scored, STEPS, False)
        scores = (f"{value:.3f}" for value in (forest, first))
        rows.append((name, *scores, f"{took:.1f}", f"{later:.3f}", f"{without:.3f}"))
        print(rows[-1], flush=True)
    table(rows)


if __name__ == "__main__":
    main()
