"""What UNet#'s guided modules spare: objects found in images that have none, at every depth.

    python benchmarks/gate.py DATA [--steps 300] [--folder FOLDER]

Fine-tunes a shipped checkpoint of UNet# tiny on images of ``nuclei/train`` and on parts of others
without any nucleus, each normalised by itself. Then the shipped checkpoint for nuclei and the new
one segment what they did not learn from ``nuclei/test``, as usual and with ``--keep-empty``: parts
without any nucleus, and whole images. Prints the objects and pixels that are falsely found in the
former and the mean Dice of the latter. The new checkpoint stays in the folder, and interrupted
training goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from common import table

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.formats import list_images, read_image, read_labels
from napari_seglite.images import TrainingImage, guess_axes
from napari_seglite.inference import Segmentation
from napari_seglite.labels import overlap
from napari_seglite.runtime import process
from napari_seglite.training import Schedule, StepDone, Validation, image_examples

SHIPPED, START, NEW = "nuclei-unet-sharp-tiny", "general-unet-sharp", "with-empty"
LEVELS = (4, 3, 2, 1)
# Side in pixels of parts without nuclei, the distance at which they are looked for, and how many
# are taken of an image.
SIDE, STEP, MOST = 128, 32, 1
# Images of a set, spread evenly, and the largest of them in pixels.
TRAINED, TESTED, LARGEST = 160, 40, 520 * 520

Pair = tuple[np.ndarray, np.ndarray]


def pairs(data: Path, part: str) -> list[Pair]:
    """Return the images of a part and their labels."""
    folder = data / "nuclei" / part
    labels = {path.stem: path for path in list_images(folder / "labels")}
    found = []
    for path in list_images(folder / "images"):
        pixels = np.asarray(read_image(path).array)
        pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
        found.append((pixels, read_labels(labels[path.stem])))
    return found


def spread(found: list[Pair], count: int) -> list[Pair]:
    """Return so many images with nuclei, spread evenly over those that are not too large."""
    usable = [each for each in found if each[1].any() and each[1].size <= LARGEST]
    places = np.linspace(0, len(usable) - 1, min(count, len(usable)))
    return [usable[int(k)] for k in places.round()]


def without_nuclei(pair: Pair) -> Iterator[Pair]:
    """Yield parts of an image that hold no nucleus, and are not all alike."""
    pixels, labels = pair
    taken = labels > 0
    for top in range(0, labels.shape[0] - SIDE + 1, STEP):
        for left in range(0, labels.shape[1] - SIDE + 1, STEP):
            box = slice(top, top + SIDE), slice(left, left + SIDE)
            if not taken[box].any() and np.ptp(pixels[box]) > 0:
                taken[box] = True
                yield pixels[box], labels[box]


def empty_parts(found: list[Pair]) -> list[Pair]:
    """Return the parts without nuclei of all images."""
    return [part for pair in found for part in islice(without_nuclei(pair), MOST)]


def train(data: Path, store: CheckpointStore, steps: int) -> None:
    """Train the checkpoint, unless the store has it."""
    if store.is_taken(NEW):
        return
    info, found = store.info(START), pairs(data, "train")
    chosen, empty = spread(found, TRAINED), empty_parts(found)
    print(f"Learns from {len(chosen)} images and {len(empty)} parts without nuclei.", flush=True)
    images: list[TrainingImage] = []
    for number, (pixels, labels) in enumerate(chosen + empty):
        axes = guess_axes(pixels.shape)
        images += image_examples(f"{number}", pixels, labels > 0, axes, info)
    request = FineTuneRequest(
        START,
        NEW,
        Schedule(steps=steps, minutes=10_000),
        validation=Validation(
            held_out=0.06, validate_every=steps, patience=100, keep_best=False, keep_unimproved=True
        ),
        first_answer=False,
        device="cpu",
    )
    for event in FineTuner(request, images, store).run():
        if not isinstance(event, StepDone):
            print(event.text, flush=True)


@dataclass(frozen=True)
class Found:
    """What a checkpoint finds: falsely in parts without nuclei, and in whole images.

    Attributes
    ----------
    objects : int
        False objects in all parts.
    parts : int
        Parts with at least one of them.
    pixels : float
        Share of the parts' pixels that are labelled.
    dice : float
        Mean Dice of the whole images.
    """

    objects: int
    parts: int
    pixels: float
    dice: float

    @classmethod
    def by(
        cls, segmenter: Segmenter, full: list[Pair], empty: list[Pair], **settings: Any
    ) -> Found:
        """Segment all images with the same settings."""
        objects, shares = [], []
        for pixels, labels in empty:
            counts = found(segmenter, pixels, **settings).counts
            objects.append(counts.objects)
            shares.append(counts.pixels / labels.size)
        dice = [
            overlap(np.asarray(found(segmenter, pixels, **settings).labels) > 0, labels > 0).dice
            for pixels, labels in full
        ]
        return cls(sum(objects), sum(n > 0 for n in objects), fmean(shares), fmean(dice))


def found(segmenter: Segmenter, pixels: np.ndarray, **settings: Any) -> Segmentation:
    """Segment an image into objects of at least ten pixels."""
    axes = guess_axes(pixels.shape).order
    request = SegmentRequest(axes=axes, device="cpu", output="instances", min_size=10, **settings)
    return segmenter.segment(pixels, request)


def compare(data: Path, store: CheckpointStore) -> None:
    """Print what both checkpoints find at every level, without and with empty images kept empty."""
    every = pairs(data, "test")
    full, empty = spread(every, TESTED), empty_parts(every)
    print(
        f"\nSegments {len(full)} images and {len(empty)} parts without nuclei; usual, kept empty:\n"
    )
    segmenter = Segmenter(store)
    rows: list[tuple[str, ...]] = [
        ("checkpoint", "level", "false objects", "parts with any", "their pixels", "Dice of nuclei")
    ]
    for name in (SHIPPED, NEW):
        for level in LEVELS:
            usual, kept = (
                Found.by(
                    segmenter, full, empty, checkpoint=name, pruning_level=level, keep_empty=keep
                )
                for keep in (False, True)
            )
            rows.append(
                (
                    name,
                    str(level),
                    f"{usual.objects}, {kept.objects}",
                    f"{usual.parts}, {kept.parts}",
                    f"{usual.pixels:.1%}, {kept.pixels:.1%}",
                    f"{usual.dice:.3f}, {kept.dice:.3f}",
                )
            )
    table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path("gate"))
    arguments = parser.parse_args()
    with process.keep_freed_memory():
        store = CheckpointStore(arguments.folder / "checkpoints")
        train(arguments.data, store, arguments.steps)
        compare(arguments.data, store)


if __name__ == "__main__":
    main()
