"""Segment an image of a given shape in a process of its own, and print what memory that took.

    python tests/inference/large_image.py 20000x20000
    python tests/inference/large_image.py 512x2048x2048

A small stand-in for a network keeps this short: the memory is the engine's, not the network's.
"""

import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr

import src_models
from napari_seglite import CheckpointStore, Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.images import Normalisation
from src_models.cards import NetworkCard

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from common import peak_memory

PATTERN = 1024


class Blur(torch.nn.Module):
    """One convolution whose foreground is what is brighter than half."""

    def __init__(self, in_channels: int = 1, classes: int = 1) -> None:
        super().__init__()
        self.mean = torch.nn.Conv2d(in_channels, classes, 3, padding=1)
        torch.nn.init.constant_(self.mean.weight, 20 / 9)
        torch.nn.init.constant_(self.mean.bias, -10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.mean(x)


def image(path: Path, shape: tuple[int, ...]) -> zarr.Array:
    """Write pairs of touching discs, one in every 256 pixels, into an image uint8.

    In a stack they are in eight slices of sixteen.
    """
    y, x = np.mgrid[:PATTERN, :PATTERN] % 256
    discs = np.minimum(np.hypot(y - 90, x - 60), np.hypot(y - 90, x - 100)) < 18
    bridges = (abs(y - 90) < 6) & (abs(x - 80) < 20)
    pattern = np.where(discs | bridges, 200, 10).astype(np.uint8)
    depth, (height, width) = math.prod(shape[:-2]), shape[-2:]
    chunks = (1,) * (len(shape) - 2) + (512, 512)
    array = zarr.create_array(path, shape=shape, dtype=np.uint8, chunks=chunks, fill_value=10)
    for k in range(depth):
        if len(shape) > 2 and k % 16 >= 8:
            continue
        for top in range(0, height, PATTERN):
            for left in range(0, width, PATTERN):
                rows, columns = min(PATTERN, height - top), min(PATTERN, width - left)
                place = (k,) * (len(shape) - 2) + np.s_[top : top + rows, left : left + columns]
                array[place] = pattern[:rows, :columns]
    return array


def main() -> None:
    """Print megabytes over what the imports took, and what was found."""
    shape = tuple(map(int, sys.argv[1].split("x")))
    src_models.register(
        NetworkCard(
            "blur", "Blur", "", "", "", 10, (1, 1), 0.0, 1, "", f"{__name__}:Blur"
        )
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder) / "checkpoints")
        info = CheckpointInfo("blur", "blur", normalisation=Normalisation(0, 100))
        store.save(info, Blur().state_dict())
        array = image(Path(folder) / "image.zarr", shape)
        axes = "ZYX"[-len(shape) :]
        request = SegmentRequest("blur", axes, device="cpu", output="instances", min_size=20)
        segmenter = Segmenter(store)
        segmenter.segment(
            array[..., :64, :64], request
        )  # what is loaded once is no memory of the image
        before = peak_memory()
        started = time.monotonic()
        result = segmenter.segment(array, request)
        after = peak_memory()
        labels = result.labels
        print(
            json.dumps(
                {
                    "megabytes": round(after - before),
                    "objects": result.counts.objects,
                    "on_disk": not isinstance(labels, np.ndarray),
                    "seconds": round(time.monotonic() - started, 1),
                }
            )
        )


if __name__ == "__main__":
    main()
