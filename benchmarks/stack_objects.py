"""Objects of stacks: split in 3-D, joined slice by slice, or of each slice by itself.

    python benchmarks/stack_objects.py DATA [--minutes 8]

Every way starts from the same mask. "As before" is the split in 3-D that takes a slice for a pixel.
Three kinds of masks are measured:

- touching spheroids, whose truth is known because they are generated, with slices as far apart as
  several pixels, also with every slice shifted at random, as sections on a microscope are;
- the nuclei of ``nuclei-volume``, and the same with every second or third slice alone;
- mitochondria in the 13 training slices of ``em-organelles``, of which the components in 3-D of
  the truth are the objects: of the true mask, and of what a network finds after some minutes of
  fine-tuning on the three test slices.

"Joined, true slices" joins the true objects of every slice: the most that joining can reach.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import table
from skimage.measure import label

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, SegmentRequest, segment
from napari_seglite.formats import read_image, read_labels
from napari_seglite.images import ImageAxes, LabelFrames
from napari_seglite.inference.stacks import StackPlan
from napari_seglite.labels import (
    Counts,
    Foreground,
    StackObjects,
    instance_scores,
    label_frames,
    overlap,
)
from napari_seglite.training import (
    Schedule,
    Validated,
    image_examples,
    start_info,
    suggest_settings,
)

# Distance between slices in pixels of a slice. That of the nuclei is not stated; theirs are as high
# as wide with it.
NUCLEI, SECTIONS = 2.0, 50 / 4.6


def touching_spheroids(
    shape: tuple[int, int, int],
    spacing: float,
    count: int,
    radii: tuple[float, float] = (6.0, 12.0),
    seed: int = 0,
) -> np.ndarray:
    """Return a stack of spheroids that touch and press into each other, uint32.

    Parameters
    ----------
    shape : tuple of int
        Of the stack.
    spacing : float
        Distance between slices, in pixels of a slice.
    count : int
        Most spheroids; fewer if there is no room.
    radii : tuple of float
        The smallest and the largest, in pixels of a slice.
    seed : int
        Of the random numbers.
    """
    random = np.random.default_rng(seed)
    steps = np.array([spacing, 1, 1])
    centres, sizes = np.zeros((0, 3)), np.zeros(0)
    for _ in range(200 * count):
        radius, centre = random.uniform(*radii), random.uniform(0, np.array(shape) * steps)
        distances = np.linalg.norm(centres - centre, axis=1)
        if len(sizes) < count and (distances > 0.85 * (sizes + radius)).all():
            centres, sizes = np.vstack([centres, centre]), np.append(sizes, radius)
    objects, nearest = np.zeros(shape, np.uint32), np.ones(shape)
    places = np.moveaxis(np.indices(shape), 0, -1) * steps
    for number, (centre, radius) in enumerate(zip(centres, sizes, strict=True), start=1):
        distance = np.linalg.norm(places - centre, axis=-1) / radius
        objects[distance < nearest] = number
        nearest = np.minimum(nearest, distance)
    return objects


def shifted(stack: np.ndarray, most: int) -> np.ndarray:
    """Return a stack with every slice moved by up to some pixels at random."""
    random = np.random.default_rng(1)
    return np.stack([np.roll(s, random.integers(-most, most + 1, 2), (0, 1)) for s in stack])


def objects_of(mask: np.ndarray, way: StackObjects, spacing: float, min_size: int) -> np.ndarray:
    """Return the objects of a mask ``(Z, H, W)``."""
    labels = np.zeros(mask.shape, np.uint32)
    target = LabelFrames(labels, ImageAxes("ZYX"), mask.shape)
    plan = StackPlan.of(request_for(way, min_size), mask.shape)
    smallest = min_size if plan.min_size is None else plan.min_size
    foreground = Foreground(mask[:, None].astype(np.float16), 0.5)
    counts = label_frames(foreground, plan.groups, target, smallest, "instances", step=spacing)
    plan.joined(target, (mask.shape[1], mask.shape[2]), counts)
    return labels


def joined_truth(truth: np.ndarray, min_size: int) -> np.ndarray:
    """Return the true objects of every slice, joined."""
    labels = np.zeros(truth.shape, np.uint32)
    top = 0
    for plane, objects in zip(labels, truth, strict=True):
        parts = label(objects)
        plane[...] = np.where(parts, parts + top, 0)
        top += int(parts.max())
    target = LabelFrames(labels, ImageAxes("ZYX"), truth.shape)
    plan = StackPlan.of(request_for("joined", min_size), truth.shape)
    plan.joined(target, (truth.shape[1], truth.shape[2]), Counts(0, top))
    return labels


def request_for(way: StackObjects, min_size: int) -> SegmentRequest:
    """Return the settings of labelling."""
    return SegmentRequest("none", "ZYX", output="instances", min_size=min_size, stack_objects=way)


def rows_of(
    name: str, truth: np.ndarray, spacing: float, min_size: int, mask: np.ndarray | None = None
) -> list[tuple[str, ...]]:
    """Return the scores of all ways for a mask, by default the true one."""
    found = truth > 0 if mask is None else mask
    ways = {
        "each slice": objects_of(found, "slices", spacing, min_size),
        "in 3-D, as before": objects_of(found, "volume", 1.0, min_size),
        "in 3-D": objects_of(found, "volume", spacing, min_size),
        "joined": objects_of(found, "joined", spacing, min_size),
    }
    if mask is None:
        ways["joined, true slices"] = joined_truth(truth, min_size)
    rows: list[tuple[str, ...]] = []
    for way, labels in ways.items():
        scores = instance_scores(labels, truth)
        count = f"{scores.predicted} of {scores.reference}"
        values = scores.ap50, scores.f1[0.5], scores.f1[0.8], scores.aji
        rows.append((name, f"{spacing:.3g}", way, count, *(f"{v:.3f}" for v in values)))
    return rows


def mitochondria(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack and the mask of its mitochondria."""
    mask = read_labels(folder / "labels.tif") == 1
    return np.asarray(read_image(folder / "image.tif").array), mask


def predicted(data: Path, minutes: float) -> np.ndarray:
    """Return the mitochondria that a network finds in the longer stack, learnt from the other."""
    pixels, mask = mitochondria(data / "test")
    with tempfile.TemporaryDirectory() as scratch:
        store = CheckpointStore(Path(scratch))
        tuning = FineTuneRequest(
            "general-unet-sharp", "tuned", schedule=Schedule(minutes=minutes), device="cpu"
        )
        info = start_info(tuning, store)
        images = image_examples("slices", pixels, mask.astype(np.uint8), ImageAxes("ZYX"), info)
        tuning = suggest_settings(tuning, images, info).adjusted(keep_unimproved=True)
        for event in FineTuner(tuning, images, store).run():
            if isinstance(event, Validated):
                print(event.text, file=sys.stderr)
        pixels, _ = mitochondria(data / "train")
        request = SegmentRequest("tuned", "ZYX", "cpu", output="semantic")
        return np.asarray(segment(pixels, request, store).labels[:]) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=8, help="of fine-tuning; 0 leaves it out")
    arguments = parser.parse_args()
    rows: list[tuple[str, ...]] = [
        ("stack", "spacing", "objects", "number", "AP50", "F1 at 0.5", "F1 at 0.8", "AJI")
    ]
    for spacing in (2, 4, 6, 8, 10):
        stack = touching_spheroids((120 // spacing, 160, 160), spacing, 150)
        rows += rows_of("spheroids", stack, spacing, 10)
    stack = touching_spheroids((30, 160, 160), 4, 150)
    for most in (2, 4):
        rows += rows_of(f"spheroids, shifted by up to {most}", shifted(stack, most), 4, 10)
    nuclei = read_labels(arguments.data / "nuclei-volume" / "labels.tif").astype(np.uint32)
    for every in (1, 2, 3):
        rows += rows_of(f"nuclei, every {every}. slice", nuclei[::every], NUCLEI * every, 10)
    _, mask = mitochondria(arguments.data / "em-organelles" / "train")
    truth = label(mask, connectivity=1).astype(np.uint32)
    rows += rows_of("mitochondria, true mask", truth, SECTIONS, 100)
    if arguments.minutes:
        found = predicted(arguments.data / "em-organelles", arguments.minutes)
        name = f"mitochondria, Dice {overlap(found, mask).dice:.2f}"
        rows += rows_of(name, truth, SECTIONS, 2000, found)
    table(rows)


if __name__ == "__main__":
    main()
