"""Train the shipped checkpoint ``nuclei-s-net`` from scratch on the CC0 nuclei.

    python scripts/train_nuclei.py DATA/nuclei OUTPUT
    python scripts/ship_checkpoint.py DATA/nuclei OUTPUT

DATA/nuclei holds ``train/images``, ``train/labels`` and ``train.csv`` with the modality of each
image. The 2018 Data Science Bowl's stage-1 images with corrected masks are CC0.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import tifffile
from skimage.io import imread

from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.images import Normalisation, TrainingImage
from napari_seglite.runtime import process
from napari_seglite.training import (
    Augmentation,
    FineTuner,
    FineTuneRequest,
    Schedule,
    StepDone,
    Validation,
)

NAME = "nuclei-s-net"
# Histology and bright field are a fifth of the images, and harder: they are drawn more often.
SHARES = {"fluorescence": 1.0, "histology": 1.5, "brightfield": 2.0}


def read(folder: Path, normalisation: Normalisation) -> list[TrainingImage]:
    """Read the training images as normalised grey frames ``(1, H, W)``."""
    images = []
    with (folder / "train.csv").open() as rows:
        for row in csv.DictReader(rows):
            pixels = imread(folder / "train" / "images" / f"{row['name']}.png")
            grey = pixels[..., :3].mean(-1) if pixels.ndim == 3 else pixels
            labels = tifffile.imread(folder / "train" / "labels" / f"{row['name']}.tif")
            frame = normalisation.apply(grey, normalisation.limits(grey))
            images.append(
                TrainingImage(
                    row["name"], frame[None], (labels > 0).astype(np.uint8), SHARES[row["modality"]]
                )
            )
    return images


def phases(arguments: argparse.Namespace) -> list[FineTuneRequest]:
    """Return the runs: milder augmentation in each, and frozen batch norms in the last."""
    first = FineTuneRequest(
        schedule=Schedule(
            steps=1_000_000,
            minutes=arguments.minutes[0],
            batch=4,
            patch=128,
            learning_rate=1.5e-3,
            weight_decay=1e-2,
        ),
        validation=Validation(
            held_out=0.06,
            validate_every=400,
            patience=1000,
            keep_unimproved=True,  # the next phase starts from it
            split_seed=arguments.seed,
        ),
        augmentation=Augmentation(scale=1.5, invert=0.25),
        checkpoint="s-net",
        name=f"{NAME}-first",
        seed=arguments.seed,
        device=arguments.device,
    )
    second = first.adjusted(
        minutes=arguments.minutes[1],
        learning_rate=8e-4,
        scale=1.15,
        invert=0.1,
        checkpoint=first.name,
        name=f"{NAME}-second",
        seed=arguments.seed + 1,
    )
    third = second.adjusted(
        minutes=arguments.minutes[2],
        learning_rate=1.2e-3,
        scale=1.25,
        intensity=0.5,
        checkpoint=second.name,
        name=f"{NAME}-third",
        seed=arguments.seed + 2,
    )
    # The last run has larger patches and, as in inference, fixed statistics of batch norms.
    fourth = third.adjusted(
        minutes=arguments.minutes[3],
        batch=3,
        patch=160,
        learning_rate=6e-4,
        scale=1.15,
        invert=0.05,
        intensity=0.3,
        checkpoint=third.name,
        name=NAME,
        frozen_norm=True,
        seed=arguments.seed + 3,
    )
    return [first, second, third, fourth]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, nargs=4, default=(80, 22, 45, 40))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=45)
    arguments = parser.parse_args()

    normalisation = Normalisation()
    images = read(arguments.data, normalisation)
    template = CheckpointInfo(
        NAME,
        "s-net",
        class_names=("background", "nucleus"),
        normalisation=normalisation,
        description="Nuclei in fluorescence, histology and bright field, grey or RGB.",
    )
    # Without the shipped checkpoint, which has the same name.
    store = CheckpointStore(arguments.output, built_in=arguments.output / "none")
    started = time.monotonic()
    for request in phases(arguments):
        if (store.folder / request.name).exists():
            print(f"{request.name} exists already")
            continue
        with process.keep_freed_memory():
            for event in FineTuner(request, images, store, template).run():
                if not isinstance(event, StepDone) or event.status.step % 20 == 0:
                    loss = f"loss {event.loss:.4f}" if isinstance(event, StepDone) else ""
                    print(f"{time.monotonic() - started:7.0f} s  {event.text}  {loss}", flush=True)


if __name__ == "__main__":
    main()
