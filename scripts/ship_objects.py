"""Make a shipped checkpoint of weights that ``train_objects.py`` trained.

    python scripts/ship_objects.py DATA/nuclei WEIGHTS.npz NAME --preset small

Threshold, split depth, smallest object and least probability are those with the highest sum of AP50
and Dice on the images that were held back from training (`train_objects.rows_of`); a shift of the
last layers' bias moves the threshold to 0.5. The scores of the test images go onto the card, and
nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.io import imread
from train_objects import normalised, rows_of

from napari_seglite import CheckpointInfo, CheckpointStore, Segmenter, SegmentRequest
from napari_seglite.checkpoints import replay
from napari_seglite.checkpoints.store import BUILT_IN
from napari_seglite.images import TrainingImage, guess_axes
from napari_seglite.inference import predict_with_head
from napari_seglite.labels import instance_scores, overlap, separate
from napari_seglite.runtime import versions

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
DEPTHS = (0.06, 0.08, 0.1, 0.12, 0.15, 0.2)
SMALLEST = (15, 25, 40)
PROBABILITIES = (0.0, 0.7, 0.75, 0.8, 0.85, 0.9)
# Images whose patches the checkpoint rehearses while it learns something else.
REHEARSED = 24

Pair = tuple[np.ndarray, np.ndarray]
# Threshold, split depth, smallest object, least probability.
Settings = tuple[float, float, int, float]


def read(folder: Path, held_out: bool) -> list[Pair]:
    """Return normalised images and their labels."""
    pairs = []
    for row in rows_of(folder, held_out):
        image = imread(folder / "train" / "images" / f"{row['name']}.png")
        labels = imread(folder / "train" / "labels" / f"{row['name']}.tif")
        pairs.append((normalised(image).astype(np.float32), labels.astype(np.int32)))
    return pairs


def choose(values: list[np.ndarray], truths: list[np.ndarray], head: str) -> Settings:
    """Return threshold, split depth, smallest object and least probability.

    They are the best by the sum of mean AP50 and mean Dice: first what makes an object, then how
    objects are told apart.
    """
    best, chosen = (-1.0, 0.0), (0.5, 0.1, 25, 0.0)

    def compare(candidates: Iterable[Settings]) -> None:
        nonlocal best, chosen
        for threshold, depth, smallest, least in candidates:
            scores = []
            for each, truth in zip(values, truths, strict=True):
                moved = each.copy()
                moved[0] = shifted(each[0], threshold)
                found = separate(moved, 1, head, depth, smallest, least)
                objects = instance_scores(found, truth, (0.5,)).ap50
                scores.append((objects, overlap(found > 0, truth > 0).dice))
            ap50, dice = np.mean(scores, axis=0)
            if ap50 + dice > sum(best):
                best, chosen = (ap50, dice), (threshold, depth, smallest, least)

    compare((t, *chosen[1:3], p) for t, p in product(THRESHOLDS, PROBABILITIES))
    compare((chosen[0], d, s, chosen[3]) for d, s in product(DEPTHS, SMALLEST))
    print(f"on images held back: AP50 {best[0]:.4f}, Dice {best[1]:.4f} with {chosen}", flush=True)
    return chosen


def shifted(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return probabilities after a shift of their logits that moves a threshold to 0.5."""
    odds = probability / np.maximum(1 - probability, 1e-7) * (1 - threshold) / threshold
    return np.asarray(odds / (1 + odds))


def median_diameter(labels: list[np.ndarray]) -> float:
    """Return the median over all objects of the diameter of a disc of their area, in pixels."""
    areas = np.concatenate([np.unique(each[each > 0], return_counts=True)[1] for each in labels])
    return round(float(np.median(np.sqrt(4 * areas / np.pi))), 1)


def score(folder: Path, store: CheckpointStore, name: str) -> dict[str, float]:
    """Return the mean Dice and AP50 over the test images, overall and by modality."""
    scores = defaultdict(list)
    segmenter = Segmenter(store)
    with (folder / "test.csv").open() as rows:
        for row in csv.DictReader(rows):
            image = imread(folder / "test" / "images" / f"{row['name']}.png")
            truth = imread(folder / "test" / "labels" / f"{row['name']}.tif")
            request = SegmentRequest(name, guess_axes(image.shape).order)
            found = segmenter.segment(image, request).labels
            objects = instance_scores(found, truth, (0.5,)).ap50
            dice = overlap(found > 0, truth > 0).dice
            for group in ("", f"_{row['modality']}"):
                scores[f"test_dice{group}"].append(dice)
                scores[f"test_ap50{group}"].append(objects)
    return {group: round(float(np.mean(values)), 4) for group, values in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("name")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--head", default="distance")
    parser.add_argument("--bits", type=int, default=8, choices=(8, 16, 32))
    parser.add_argument(
        "--settings", default='{"seed": 7}', help="of the training, as JSON, for the card"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print the scores")
    arguments = parser.parse_args()
    info = CheckpointInfo(
        arguments.name,
        "unet-sharp",
        in_channels=3,
        class_names=("background", "nucleus"),
        description="Nuclei in fluorescence, histology and bright field, separated where they "
        "touch; grey or RGB.",
        options={"preset": arguments.preset},
        objects=True,
        any_channels=True,
        head=arguments.head,
        versions=versions(),
        settings={"script": "scripts/train_objects.py", **json.loads(arguments.settings)},
    )
    network: Any = info.build().eval()
    with np.load(arguments.weights) as arrays:
        weights = {
            k: torch.from_numpy(arrays[k]).to(v.dtype) for k, v in network.state_dict().items()
        }
    network.load_state_dict(weights)

    held_out = read(arguments.data, held_out=True)
    values = [predict_with_head(network, info, image, "cpu") for image, _ in held_out]
    truths = [truth for _, truth in held_out]
    threshold, depth, smallest, least = choose(values, truths, arguments.head)
    with torch.no_grad():
        for head in (*network.row_heads, *network.decoder_heads):
            head.bias[0] -= math.log(threshold / (1 - threshold))
    learnt = read(arguments.data, held_out=False)
    info = replace(
        info,
        split_depth=depth,
        smallest_object=smallest,
        least_probability=least,
        object_diameter=median_diameter([labels for _, labels in learnt]),
    )
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(learnt), REHEARSED, replace=False)
    frames = [TrainingImage(f"nuclei {k}", *learnt[k]) for k in chosen]
    kept = replay.pack([replay.cut(frame, rng) for frame in frames])
    with tempfile.TemporaryDirectory() as nowhere:
        half = CheckpointStore(Path(nowhere) / "half", Path(nowhere) / "none")
        half.save(info, network.state_dict(), bits=arguments.bits)
        scores = score(arguments.data, half, arguments.name)
        for group, value in scores.items():
            print(f"{group:26} {value:.4f}")
        if not arguments.dry_run:
            shipped = CheckpointStore(BUILT_IN, Path(nowhere) / "none")
            info = replace(info, scores=scores)
            shipped.save(
                info, network.state_dict(), bits=arguments.bits, overwrite=True, replay=kept
            )


if __name__ == "__main__":
    main()
