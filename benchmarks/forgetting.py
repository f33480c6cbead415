"""How much the checkpoint for nuclei forgets in fine-tuning, with and without replay.

    python benchmarks/forgetting.py DATA [--set retina-vessels] [--images 5] [--seconds 90]

Fine-tunes ``nuclei-s-net`` on images of another set, as the same class, with the settings that the
plugin suggests, and scores it on test images of both: with replay and anchor always kept, and with
neither. Freed memory stays with the process while a network runs, as in the command and the dock.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import table
from correction_loop import Slice, chosen, network_dice, processor_seconds, read

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest
from napari_seglite.formats import read_image, read_labels
from napari_seglite.runtime import process
from napari_seglite.training import (
    Retention,
    RunCallbacks,
    Schedule,
    Validated,
    image_examples,
    read_colour,
    start_info,
    suggest_settings,
)

START = "nuclei-s-net"


def nuclei(folder: Path, every: int) -> list[Slice]:
    """Return every n-th test image of the nuclei, of all modalities."""
    with (folder / "test.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file)][::every]
    return [
        Slice(
            name,
            np.asarray(read_image(folder / "test" / "images" / f"{name}.png").array),
            (read_labels(folder / "test" / "labels" / f"{name}.tif") > 0).astype(np.uint8),
        )
        for name in names
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", default="retina-vessels")
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument(
        "--every", type=int, default=4, help="use every n-th test image of the nuclei"
    )
    arguments = parser.parse_args()
    old = nuclei(arguments.data / "nuclei", arguments.every)
    train = read(arguments.data / arguments.set, "train")
    new = read(arguments.data / arguments.set, "test")
    corrected = [
        replace(s, truth=(s.truth == 1).astype(np.uint8)) for s in chosen(train, arguments.images)
    ]
    new = [replace(s, truth=(s.truth == 1).astype(np.uint8)) for s in new]
    with tempfile.TemporaryDirectory() as scratch:
        store = CheckpointStore(Path(scratch) / "checkpoints")
        before = network_dice(START, old, store)
        rows: list[tuple[str, ...]] = [
            ("", "nuclei", "retained", arguments.set, "steps"),
            ("before", f"{before:.3f}", "", f"{network_dice(START, new, store):.3f}", ""),
        ]
        for name in ("with", "without"):
            request = FineTuneRequest(
                START,
                name,
                schedule=Schedule(minutes=arguments.seconds / 60),
                retention=Retention(keep_always=name == "with"),
                device="cpu",
            )
            seen = [(s.axes, s.pixels.shape) for s in corrected]
            request = read_colour(request, start_info(request, store), seen)
            info = start_info(request, store)
            images = [
                image
                for s in corrected
                for image in image_examples(s.name, s.pixels, s.truth, s.axes, info)
            ]
            request = suggest_settings(request, images, info).adjusted(keep_unimproved=True)
            if name == "without":
                request = request.adjusted(replay=0.0, anchor=0.0, keep_always=False)
            callbacks = RunCallbacks(clock=processor_seconds)
            with process.keep_freed_memory():
                for event in FineTuner(request, images, store).run(callbacks=callbacks):
                    if isinstance(event, Validated):
                        print(f"{name}: {event.text}", file=sys.stderr)
            after = network_dice(name, old, store)
            steps = str(store.info(name).settings["steps_done"])
            scores = (
                f"{after:.3f}",
                f"{after / before:.0%}",
                f"{network_dice(name, new, store):.3f}",
            )
            rows.append((f"{name} replay and anchor", *scores, steps))
            print(rows[-1], file=sys.stderr)
    table(rows)


if __name__ == "__main__":
    main()
