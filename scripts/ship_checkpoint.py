"""Calibrate and score the trained nuclei checkpoint, and put it into the package.

    python scripts/ship_checkpoint.py DATA/nuclei TRAINED_FOLDER

TRAINED_FOLDER is the output of ``train_nuclei.py``. A shift of the last layer's bias moves the best
threshold on the training images to probability 0.5. Weights are stored in half precision, and their
scores on the test images go onto the card.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.io import imread
from train_nuclei import read

from napari_seglite import CheckpointInfo, CheckpointStore, Segmenter, SegmentRequest
from napari_seglite.checkpoints.store import BUILT_IN
from napari_seglite.images import TrainingImage, guess_axes
from napari_seglite.inference import predict_frame
from napari_seglite.labels import overlap

NAME = "nuclei-s-net"


def score(folder: Path, store: CheckpointStore, name: str = NAME) -> dict[str, float]:
    """Return a checkpoint's mean Dice over the test images, overall and by modality.

    Parameters
    ----------
    folder : Path
        Of the nuclei.
    store : CheckpointStore
        Where the checkpoint is.
    name : str
        Its id.
    """
    scores: dict[str, list[float]] = {}
    segmenter = Segmenter(store)
    with (folder / "test.csv").open() as rows:
        for row in csv.DictReader(rows):
            image = imread(folder / "test" / "images" / f"{row['name']}.png")
            truth = imread(folder / "test" / "labels" / f"{row['name']}.tif")
            request = SegmentRequest(name, guess_axes(image.shape).order)
            dice = overlap(segmenter.segment(image, request).labels, truth).dice
            for group in ("test_dice", f"test_dice_{row['modality']}"):
                scores.setdefault(group, []).append(dice)
    return {group: round(float(np.mean(values)), 4) for group, values in scores.items()}


def calibrate(network: Any, info: CheckpointInfo, images: list[TrainingImage]) -> float:
    """Shift the last bias so that 0.5 is the threshold with the highest Dice on training images.

    A Dice loss makes masks slightly too wide.

    Parameters
    ----------
    network : Module
        With a single output; changed in place.
    info : CheckpointInfo
        Its card.
    images : list of TrainingImage
        Training images.

    Returns
    -------
    float
        The best threshold before the shift, 0 to 1.
    """
    network.eval()
    thresholds = np.arange(0.3, 0.81, 0.02)
    dice = []
    for image in images:
        (foreground,) = predict_frame(network, info, image.frame, "cpu")
        dice.append([overlap(foreground > t, image.labels).dice for t in thresholds])
    best = float(thresholds[np.mean(dice, 0).argmax()])
    with torch.no_grad():
        network.head[1].bias -= math.log(best / (1 - best))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="only print the scores")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as nowhere:
        trained = CheckpointStore(arguments.trained, Path(nowhere) / "none")
        info, network = trained.load(NAME)
        # A third of the images determines the threshold to a hundredth.
        threshold = calibrate(network, info, read(arguments.data, info.normalisation)[::3])
        print(f"calibrated: {threshold:.2f} becomes 0.50")
        half = CheckpointStore(Path(nowhere) / "half", Path(nowhere) / "none")
        half.save(info, network.state_dict(), bits=16)
        scores = score(arguments.data, half)
        for group, dice in scores.items():
            print(f"{group:26} {dice:.4f}")
        if arguments.dry_run:
            sys.exit()
        # The card lists all phases of the training.
        phases = [trained.info(f"{NAME}-{phase}") for phase in ("first", "second", "third")]
        info = replace(
            info,
            parent=None,
            description=phases[0].description,
            settings={
                "phases": [*(phase.settings for phase in phases), info.settings],
                "calibrated_threshold": round(threshold, 2),
            },
            # The validation scores belong to the weights before calibration.
            scores=scores,
        )
        shipped = CheckpointStore(BUILT_IN, Path(nowhere) / "none")
        shipped.save(info, network.state_dict(), bits=16, overwrite=True)


if __name__ == "__main__":
    main()
