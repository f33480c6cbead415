"""UNet#'s two losses where few slices are corrected, wholly or in part.

    python benchmarks/unet_sharp_losses.py DATA [--seconds 45] [--results FILE]

A scripted user corrects four images of ``train/``, or a tenth of their pixels in squares, and
``general-unet-sharp`` learns them for some seconds of processor time on one thread. Shown is the
mean Dice on four other images of ``train/``. Each number is written to a file as soon as it is
there, and an interrupted comparison goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from common import kept, table
from correction_loop import Slice, asked, chosen, network_dice, processor_seconds, read

from napari_seglite import CheckpointStore, FineTuner
from napari_seglite.images import TrainingImage
from napari_seglite.runtime import process
from napari_seglite.training import RunCallbacks, image_examples, suggest_settings
from src_models import losses

START, IMAGES, SQUARE, SHARE = "general-unet-sharp", 4, 64, 0.1
SETS = "em-membranes", "retina-vessels", "hela-dic"
LOSSES = {
    "ours": losses.deep_supervision,
    "the authors'": partial(losses.deep_supervision, term=losses.half_bce_image_dice),
}


def squares(image: TrainingImage, seed: int) -> TrainingImage:
    """Return an image of which only some squares are annotated."""
    height, width = image.labels.shape
    counts = -(-height // SQUARE), -(-width // SQUARE)
    drawn = np.random.default_rng(seed).random(counts) < SHARE
    weight = np.kron(drawn, np.ones((SQUARE, SQUARE)))[:height, :width]
    return replace(image, weight=weight.astype(np.float32))


def dice(data: Path, name: str, whole: bool, loss: str, seconds: float) -> float:
    """Fine-tune with a loss; return the mean Dice on other images."""
    images = read(data / name, "train")
    corrected = chosen(images, IMAGES)
    others: list[Slice] = [s for s in images if all(s is not c for c in corrected)]
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder) / "checkpoints")
        request, info = asked(START, "tuned", corrected, store, seconds)
        examples = [
            image
            for s in corrected
            for image in image_examples(s.name, s.pixels, s.truth, s.axes, info)
        ]
        if not whole:
            examples = [squares(image, k) for k, image in enumerate(examples)]
        request = suggest_settings(request, examples, info).adjusted(keep_unimproved=True)
        changed = mock.patch.object(losses, "deep_supervision", LOSSES[loss])
        with changed, process.keep_freed_memory():
            tuner = FineTuner(request, examples, store)
            for event in tuner.run(callbacks=RunCallbacks(clock=processor_seconds)):
                print(f"{name}, {loss}: {event.text}", flush=True)
        return network_dice("tuned", chosen(others, IMAGES), store)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--results", type=Path, default=Path("unet_sharp_losses.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[tuple[str, ...]] = [("set", "annotated", *LOSSES)]
    for name in SETS:
        for whole in (True, False):
            scores = []
            for loss in LOSSES:
                key = {"set": name, "whole": whole, "loss": loss, "seconds": arguments.seconds}
                compute = partial(dice, arguments.data, name, whole, loss, arguments.seconds)
                scores.append(f"{kept(arguments.results, key, compute):.3f}")
            rows.append((name, "all" if whole else f"{SHARE:.0%}", *scores))
    table(rows)


if __name__ == "__main__":
    main()
