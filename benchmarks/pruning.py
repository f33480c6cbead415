"""A deep UNet# that is pruned, beside a shallow one that was trained alone.

    python benchmarks/pruning.py DATA OUTPUT [--steps 600] [--seeds 0]

Both learn the nuclei from scratch with `scripts/train_objects.py`, in the same number of steps: one
with all eight outputs, the other only what level 1 computes. Scored is the mean IoU over
``nuclei/test`` at each level. Weights stay in OUTPUT, and an interrupted comparison goes on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import table
from skimage.io import imread

from napari_seglite.labels import overlap
from src_models.unet_sharp import DEPTH

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import train_objects

SHALLOW = 1


def asked(arguments: argparse.Namespace, seed: int, alone: bool) -> tuple[argparse.Namespace, Path]:
    """Return what `train_objects.train` is asked for, and the file that it writes."""
    name = f"{'alone' if alone else 'deep'}-{arguments.steps}-{seed}"
    given = ["--name", name, "--head", "", "--preset", arguments.preset, "--seed", str(seed)]
    given += ["--steps", str(arguments.steps), "--minutes", "100000"]
    given += ["--batch", "8", "--patch", "128", "--workers", "2"]
    given += ["--level", str(SHALLOW)] if alone else []
    request = train_objects.parser().parse_args(
        [str(arguments.data / "nuclei"), str(arguments.output), *given]
    )
    return request, arguments.output / f"{name}.npz"


def scores(request: argparse.Namespace, weights: Path, levels: list[int]) -> list[float]:
    """Return the mean IoU over the test images at each level."""
    request.start = weights
    network: Any = train_objects.created(request).eval()
    found: dict[int, list[float]] = {level: [] for level in levels}
    test = request.data / "test"
    with (request.data / "test.csv").open() as rows, torch.inference_mode():
        for row in csv.DictReader(rows):
            pixels = train_objects.normalised(imread(test / "images" / f"{row['name']}.png"))
            frame = torch.from_numpy(pixels.astype(np.float32))[None]
            truth = imread(test / "labels" / f"{row['name']}.tif") > 0
            for level in levels:
                network.level = level
                mask = network(frame)[0, 0].numpy() > 0
                found[level].append(overlap(mask, truth).iou)
    return [float(np.mean(found[level])) for level in levels]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default="tiny")
    arguments = parser.parse_args()
    deepest_first = list(range(DEPTH, 0, -1))
    shown: list[tuple[str, ...]] = [
        ("seed", *(f"level {k}, pruned" for k in deepest_first), "level 1, alone")
    ]
    for seed in arguments.seeds:
        values: list[float] = []
        for alone, levels in ((False, deepest_first), (True, [SHALLOW])):
            request, file = asked(arguments, seed, alone)
            if not file.exists():
                train_objects.train(request)
            values += scores(request, file, levels)
        shown.append((str(seed), *(f"{value:.3f}" for value in values)))
    table(shown)


if __name__ == "__main__":
    main()
