"""Choose the replay buffer of the shipped checkpoint for nuclei.

    python scripts/ship_replay.py DATA

DATA holds ``nuclei``. Writes ``replay.npz`` beside the weights of ``nuclei-s-net``: patches around
nuclei of training images (CC0) of every modality. No test image is read.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from napari_seglite import CheckpointStore
from napari_seglite.checkpoints.replay import COUNT, FILE, choose, pack
from napari_seglite.formats import read_image, read_labels
from napari_seglite.images import TrainingImage, guess_axes
from napari_seglite.training import image_examples

NAME = "nuclei-s-net"
# Number of patches per modality.
SHARES = {"fluorescence": 10, "histology": 10, "brightfield": 4}


def kinds(folder: Path) -> dict[str, str]:
    """Return the modality of each training image by its name."""
    with (folder / "train.csv").open() as file:
        return {row["name"]: row["modality"] for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    folder = parser.parse_args().data / "nuclei"
    store = CheckpointStore()
    info, rng = store.info(NAME), np.random.default_rng(0)
    by_kind: dict[str, list[str]] = {}
    for name, kind in kinds(folder).items():
        by_kind.setdefault(kind, []).append(name)
    patches: list[TrainingImage] = []
    for kind, names in sorted(by_kind.items()):
        for stem in map(str, rng.permutation(sorted(names))[: SHARES.get(kind, 0)]):
            image = read_image(folder / "train" / "images" / f"{stem}.png")
            truth = (read_labels(folder / "train" / "labels" / f"{stem}.tif") > 0).astype(np.uint8)
            axes = guess_axes(image.array.shape)
            frames = image_examples(stem, image.array, truth, axes, info)
            patches.append(choose(frames, [], rng)[0])
    assert len(patches) == COUNT, len(patches)
    path = store.path(NAME) / FILE
    path.write_bytes(pack(patches))
    print(f"{path}: {len(patches)} frames, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
