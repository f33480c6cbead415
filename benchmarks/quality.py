"""How good a segmentation says it is, against how good it is.

    python benchmarks/quality.py DATA [--sets NAME ...] [--files 40] [--side 256]

Images of the training parts of data sets are segmented by a shipped checkpoint. For each set, three
random files are accepted: they calibrate the expected Dice of the others, 50 times over. The error
is the mean distance of the expected Dice from the true one, without and with the calibration.
*Worst tenth* tells how many of the files under a Dice of 0.7 are in the tenth whose expected Dice
is lowest.

`nuclei-s-net` learnt from ``nuclei/train``; all other sets are new to their checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import table

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.formats import list_images, read_image, read_labels
from napari_seglite.inference import calibrate, expected_dice
from napari_seglite.labels import Calibration, worst

STARTS = {
    "nuclei": ("nuclei-s-net", "general-unet-sharp"),
    "hela-fluo": ("nuclei-s-net",),
    "hela-dic": ("nuclei-s-net",),
    "histology-nuclei": ("nuclei-s-net",),
    "em-membranes": ("general-unet-sharp",),
    "em-organelles": ("general-unet-sharp",),
    "breast-ultrasound": ("general-unet-sharp",),
}
ACCEPTED, ROUNDS, BAD = 3, 50, 0.7


def read(folder: Path, files: int, side: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images and labels of the training part of a set, cropped to a square.

    Parameters
    ----------
    folder : Path
        Of the set.
    files, side : int
        Most files or slices, and most pixels per side.
    """
    crop = np.s_[:side, :side]
    part = folder / "train"
    if (part / "image.tif").is_file():
        stack = np.asarray(read_image(part / "image.tif").array)
        labels = read_labels(part / "labels.tif")
        for image, truth in list(zip(stack, labels, strict=True))[:files]:
            # Of organelles the membranes, as in the other stack.
            yield image[crop], truth[crop] == truth.max()
        return
    paths = list_images(part / "images")
    truths = {path.stem: path for path in list_images(part / "labels")}
    for path in paths[:: max(1, len(paths) // files)][:files]:
        image = np.asarray(read_image(path).array)
        yield (
            image[..., :3][crop] if image.ndim == 3 else image[crop],
            read_labels(truths[path.stem])[crop],
        )


def measured(
    folder: Path, checkpoint: str, files: int, side: int, segmenter: Segmenter
) -> np.ndarray:
    """Return the expected and true Dice of every file of a set, ``(files, 2)``."""
    pairs = []
    for image, truth in read(folder, files, side):
        request = SegmentRequest(checkpoint, "YXC" if image.ndim == 3 else "YX", device="cpu")
        result = segmenter.segment(np.ascontiguousarray(image), request)
        (true,) = calibrate(result, [(0, truth)]).measured
        pairs.append((expected_dice(result), true))
    return np.array(pairs)


def errors(pairs: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the mean error of the expected Dice, as it is and after three accepted files."""
    rng = np.random.default_rng(seed)
    expected, true = pairs.T
    calibrated = []
    for _ in range(ROUNDS):
        order = rng.permutation(len(pairs))
        accepted, others = order[:ACCEPTED], order[ACCEPTED:]
        calibration = Calibration(tuple(expected[accepted]), tuple(true[accepted]))
        calibrated += [abs(calibration(expected[k]) - true[k]) for k in others]
    return float(np.abs(expected - true).mean()), float(np.mean(calibrated))


def main() -> None:
    """Segment, and print a row per set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(STARTS))
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()
    segmenter = Segmenter()
    rows: list[tuple[str, ...]] = [
        ("set", "checkpoint", "files", "Dice", "error", "error, 3 accepted", "worst tenth")
    ]
    every: list[tuple[int, float]] = []
    for name in arguments.sets:
        for checkpoint in STARTS[name]:
            pairs = measured(
                arguments.data / name, checkpoint, arguments.files, arguments.side, segmenter
            )
            raw, calibrated = errors(pairs)
            every.append((len(pairs), calibrated))
            bad = set(np.flatnonzero(pairs[:, 1] < BAD).tolist())
            named = bad & set(worst(dict(enumerate(pairs[:, 0]))))
            rows.append(
                (
                    name,
                    checkpoint,
                    str(len(pairs)),
                    f"{pairs[:, 1].mean():.3f}",
                    f"{raw:.3f}",
                    f"{calibrated:.3f}",
                    f"{len(named)} of {len(bad)}" if bad else "none under 0.7",
                )
            )
    table(rows)
    counts, values = np.array(every).T
    print(f"\nMean error over all files, 3 accepted: {np.average(values, weights=counts):.3f}")


if __name__ == "__main__":
    main()
