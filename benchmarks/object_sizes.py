"""AP50 of enlarged and reduced nuclei, with the estimated rescaling and without.

``python benchmarks/object_sizes.py DATA [--every N]``. DATA holds ``nuclei/train`` and
``nuclei/test``. ``--hashes`` instead checks that no image of the reported sets was learnt from.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from pathlib import Path

import numpy as np
from common import table
from skimage.io import imread
from skimage.transform import resize

from napari_seglite.inference import Segmenter, SegmentRequest, estimate_object_size
from napari_seglite.labels import instance_scores

SCALES = (0.5, 1, 2, 4)
REPORTED = ("nuclei/test", "hela-fluo/test", "histology-nuclei/test")


def scaled(pixels: np.ndarray, factor: float, order: int) -> np.ndarray:
    """Return an image, or labels with order 0, enlarged by a factor."""
    shape = tuple(round(n * factor) for n in pixels.shape[:2]) + pixels.shape[2:]
    smooth = order > 0 and factor < 1
    changed = resize(pixels, shape, order=order, preserve_range=True, anti_aliasing=smooth)
    return np.asarray(changed, pixels.dtype)


def prints(path: Path) -> tuple[str, bytes]:
    """Return the SHA-256 of an image's pixels, and a hash that resizing hardly changes."""
    pixels = imread(path)
    grey = pixels[..., :3].mean(2) if pixels.ndim == 3 else pixels.astype(float)
    small = resize(grey, (16, 17), anti_aliasing=True)
    exact = hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes())
    return exact.hexdigest(), np.packbits(small[:, 1:] > small[:, :-1]).tobytes()


def check_hashes(data: Path) -> None:
    """Print how many images of each reported set equal or resemble one of ``nuclei/train``."""
    learnt = [prints(path) for path in sorted((data / "nuclei/train/images").iterdir())]
    exact = {sha for sha, _ in learnt}
    bits = np.unpackbits(np.array([list(b) for _, b in learnt], np.uint8), axis=1)
    rows = [("set", "images", "equal", "nearest of 256 bits", "within 10 bits")]
    for name in REPORTED:
        found = [prints(path) for path in sorted((data / name / "images").iterdir())]
        equal = sum(sha in exact for sha, _ in found)
        near = [
            int((np.unpackbits(np.frombuffer(b, np.uint8)) != bits).sum(1).min()) for _, b in found
        ]
        close = sum(distance <= 10 for distance in near)
        rows.append((name, str(len(found)), str(equal), str(min(near)), str(close)))
    table(rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every N-th image")
    parser.add_argument("--checkpoint", default="nuclei-s-net")
    parser.add_argument("--hashes", action="store_true")
    arguments = parser.parse_args()
    if arguments.hashes:
        check_hashes(arguments.data)
        return
    folder, segmenter = arguments.data / "nuclei/test", Segmenter()
    paths = sorted((folder / "images").iterdir())[:: arguments.every]
    rows = [("enlarged by", "images", "without", "with", "seconds per estimate")]
    for scale in SCALES:
        without, fitted, seconds = [], [], []
        for path in paths:
            image = scaled(imread(path), scale, 1)
            truth = imread(next((folder / "labels").glob(f"{path.stem}*")))
            truth = scaled(truth, scale, 0)
            axes = "YXC" if image.ndim == 3 else "YX"
            request = SegmentRequest(arguments.checkpoint, axes, output="instances")
            start = time.perf_counter()
            size = estimate_object_size(image, request, segmenter)
            seconds.append(time.perf_counter() - start)
            without.append(instance_scores(segmenter.segment(image, request).labels, truth).ap50)
            if size is None or size.rescale == 1:
                fitted.append(without[-1])
                continue
            better = SegmentRequest(
                arguments.checkpoint, axes, output="instances", rescale=size.rescale
            )
            fitted.append(instance_scores(segmenter.segment(image, better).labels, truth).ap50)
        plain, fits = (f"{statistics.mean(values):.3f}" for values in (without, fitted))
        took = f"{statistics.median(seconds):.2f}"
        rows.append((f"{scale:g}", str(len(paths)), plain, fits, took))
        print(rows[-1], flush=True)
    table(rows)


if __name__ == "__main__":
    main()
