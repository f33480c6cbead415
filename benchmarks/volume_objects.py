"""Objects of stacks: UNet# in 3-D with an object head against one without, in the same time.

    python benchmarks/volume_objects.py [--minutes 2] [--seeds 1] [--heads none distance]

Each learns from scratch for the same processor time all slices of a stack of touching spheroids,
which are generated, and segments another one. Spheroids differ in brightness, and so do their
slices; there is noise. Without a head, the shape of the mask separates the objects in 3-D. "True
mask" is the most that this can reach.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import table
from scipy import ndimage
from stack_objects import objects_of, touching_spheroids

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, SegmentRequest, segment
from napari_seglite.images import Box, Corrections, ImageAxes
from napari_seglite.labels import instance_scores, overlap
from napari_seglite.training import (
    AnnotatedImage,
    RunCallbacks,
    Schedule,
    StepDone,
    prepare_training,
)

# Distance of slices in pixels, shape, number and radii of the spheroids, and the noise.
SPACING, SHAPE, COUNT, RADII, NOISE = 4.0, (12, 96, 96), 150, (5.0, 9.0), 0.15
PATCH, SMALLEST = 32, 10


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack of touching spheroids, and an id for each."""
    rng = np.random.default_rng(seed)
    truth = touching_spheroids(SHAPE, SPACING, COUNT, RADII, seed)
    brightness = rng.uniform(0.6, 1.0, int(truth.max()) + 1)
    brightness[0] = 0
    blurred = ndimage.gaussian_filter(brightness[truth], (0, 1, 1))
    return (blurred + rng.normal(0, NOISE, SHAPE)).astype(np.float32), truth


def learnt(head: str, minutes: float, seed: int) -> tuple[np.ndarray, int]:
    """Return the objects in the test stack, and the number of steps."""
    stack, truth = drawn(1)
    corrections = Corrections(stack.shape)
    for frame in range(len(stack)):
        corrections = corrections.complete(frame, Box.whole(stack.shape[1:]))
    axes = ImageAxes("ZYX")
    image = AnnotatedImage("stack", stack, truth, axes, corrections, slice_spacing=SPACING)
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder) / "checkpoints")
        request = FineTuneRequest(
            "unet-sharp",
            "new",
            Schedule(minutes=minutes),
            options={"dims": 3, "preset": "tiny"},
            head=head,
            seed=seed,
            device="cpu",
        )
        request, examples = prepare_training(request, [image], store)
        # In float32, as a head in 3-D needs it on a CPU.
        request = request.adjusted(
            steps=100_000,
            patience=100_000,
            validate_every=100,
            folds=1,
            patch=PATCH,
            precision="float32",
        )
        steps = 0
        callbacks = RunCallbacks(clock=time.process_time)  # other programs do not count
        for event in FineTuner(request, examples, store).run(callbacks=callbacks):
            steps += isinstance(event, StepDone)
        segmentation = SegmentRequest(
            "new",
            "ZYX",
            "cpu",
            output="instances",
            min_size=SMALLEST,
            stack_objects="volume",
            slice_spacing=SPACING,
        )
        return np.asarray(segment(drawn(2)[0], segmentation, store).labels), steps


def row(name: str, labels: np.ndarray, truth: np.ndarray, steps: str) -> tuple[str, ...]:
    """Return the scores of objects."""
    scores = instance_scores(labels, truth)
    values = overlap(labels > 0, truth > 0).dice, scores.ap50, scores.f1[0.5], scores.aji
    count = f"{scores.predicted} of {scores.reference}"
    return name, count, *(f"{value:.3f}" for value in values), steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--heads", nargs="*", default=["none", "distance"])
    arguments = parser.parse_args()
    _, truth = drawn(2)
    rows: list[tuple[str, ...]] = [
        ("head", "number", "Dice", "AP50", "F1 at 0.5", "AJI", "steps"),
        row("true mask", objects_of(truth > 0, "volume", SPACING, SMALLEST), truth, ""),
    ]
    print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    for head in arguments.heads:
        for seed in range(arguments.seeds):
            labels, steps = learnt("" if head == "none" else head, arguments.minutes, seed)
            rows.append(row(head, labels, truth, str(steps)))
            print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    table(rows)


if __name__ == "__main__":
    main()
