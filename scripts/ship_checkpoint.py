"""Score a trained nuclei checkpoint on the test images and put it into the package.

    python scripts/ship_checkpoint.py DATA/nuclei TRAINED_FOLDER

TRAINED_FOLDER is what ``train_nuclei.py`` wrote. Weights are stored in half precision; the
scores are those of the stored weights, and go onto the card.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage.io import imread

from napari_seglite import CheckpointStore, Segmenter, SegmentRequest
from napari_seglite.engine.axes import guess_axes
from napari_seglite.engine.metrics import overlap
from napari_seglite.store.checkpoints import BUILT_IN

NAME = "nuclei-s-net"


def score(folder: Path, store: CheckpointStore) -> dict[str, float]:
    """Return mean Dice over the test images, in all and by modality."""
    found: dict[str, list[float]] = {}
    segmenter = Segmenter(store)
    with (folder / "test.csv").open() as rows:
        for row in csv.DictReader(rows):
            image = imread(folder / "test" / "images" / f"{row['name']}.png")
            truth = imread(folder / "test" / "labels" / f"{row['name']}.tif")
            request = SegmentRequest(NAME, guess_axes(image.shape).order)
            dice = overlap(segmenter.segment(image, request).labels, truth).dice
            for group in ("test_dice", f"test_dice_{row['modality']}"):
                found.setdefault(group, []).append(dice)
    return {group: round(float(np.mean(values)), 4) for group, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="score only")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as nowhere:
        trained = CheckpointStore(arguments.trained, Path(nowhere) / "none")
        info, network = trained.load(NAME)
        half = CheckpointStore(Path(nowhere) / "half", Path(nowhere) / "none")
        half.save(info, network.state_dict(), half=True)
        scores = score(arguments.data, half)
        for group, dice in scores.items():
            print(f"{group:26} {dice:.4f}")
        if arguments.dry_run:
            sys.exit()
        # Whoever reads the card shall find all phases of the training.
        phases = [trained.info(f"{NAME}-{phase}") for phase in ("first", "second")]
        info = replace(
            info,
            parent=None,
            description=phases[0].description,
            settings={"phases": [*(phase.settings for phase in phases), info.settings]},
            # Not the validation scores: every phase splits anew, so a later phase validates on
            # frames that an earlier one learnt from.
            scores=scores,
        )
        shipped = CheckpointStore(BUILT_IN, Path(nowhere) / "none")
        shipped.save(info, network.state_dict(), half=True, overwrite=True)


if __name__ == "__main__":
    main()
