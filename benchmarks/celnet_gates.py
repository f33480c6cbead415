"""CeLNet's gate, open where nothing differs, beside one that halves even an identical neighbour.

    python benchmarks/celnet_gates.py DATA [--steps 400] [--seeds 0] [--results FILE]

Trains from scratch on the first slices of ``em-organelles/train`` and scores on its last three,
which neither training nor the choice of the gate has seen elsewhere: the mean Dice of mitochondria
and membranes. Each number is written to a file as soon as it is there, and an interrupted
comparison goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from common import kept, table

import src_models.celnet
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.formats import read_image, read_labels
from napari_seglite.images import ImageAxes
from napari_seglite.labels import overlap_per_class
from napari_seglite.runtime import process
from napari_seglite.training import RunCallbacks, Schedule, StepDone, Validation, image_examples

HELD_OUT = 3
CLASSES = ("background", "mitochondrion", "membrane")
# The gates, of a difference of at least 0.
GATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "exp(-d)": lambda d: torch.exp(-d),
    "2 (1 - sigmoid(d))": lambda d: 2 * (1 - d.sigmoid()),
    "1 - sigmoid(d)": lambda d: 1 - d.sigmoid(),
}


def gated(gate: str) -> mock._patch[object]:
    """Return a context in which CeLNet's relation modules have a gate."""

    def correlate(
        self: src_models.celnet.Relation, centre: torch.Tensor, neighbour: torch.Tensor
    ) -> torch.Tensor:
        attended, difference = self._difference(centre, neighbour)
        return attended * GATES[gate](difference)

    return mock.patch.object(src_models.celnet.Relation, "_correlate", correlate)


def dice(data: Path, gate: str, steps: int, seed: int) -> float:
    """Train CeLNet with a gate; return the mean Dice of both classes on the held-out slices."""
    stack = np.asarray(read_image(data / "em-organelles" / "train" / "image.tif").array)
    truth = read_labels(data / "em-organelles" / "train" / "labels.tif")
    info = CheckpointInfo("gate", "celnet", classes=len(CLASSES), class_names=CLASSES)
    axes = ImageAxes("ZYX")
    images = image_examples(
        "organelles", stack[:-HELD_OUT], truth[:-HELD_OUT].astype(np.uint8), axes, info
    )
    schedule = Schedule(steps=steps, minutes=10_000, batch=4, patch=96, learning_rate=1.5e-3)
    never = Validation(held_out=0.06, validate_every=10 * steps, keep_best=False)
    request = FineTuneRequest("celnet", "gate", schedule, validation=never, device="cpu", seed=seed)
    with tempfile.TemporaryDirectory() as scratch, gated(gate), process.keep_freed_memory():
        store = CheckpointStore(Path(scratch))
        for event in FineTuner(request, images, store, info).run(callbacks=RunCallbacks()):
            if isinstance(event, StepDone) and event.status.step % 20 == 0:
                print(f"{gate}, seed {seed}: {event.text}", flush=True)
        segment = SegmentRequest("gate", axes.order, device="cpu")
        # With the slice before as context.
        found = Segmenter(store).segment(stack[-HELD_OUT - 1 :], segment).labels[1:]
    return float(overlap_per_class(np.asarray(found), truth[-HELD_OUT:]).dice)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--gates", nargs="+", default=list(GATES), choices=GATES)
    parser.add_argument("--results", type=Path, default=Path("celnet_gates.jsonl"))
    arguments = parser.parse_args()
    shown: list[tuple[str, ...]] = [("gate", *(f"seed {s}" for s in arguments.seeds))]
    for gate in arguments.gates:
        scores = []
        for seed in arguments.seeds:
            compute = partial(dice, arguments.data, gate, arguments.steps, seed)
            key = {"gate": gate, "steps": arguments.steps, "seed": seed}
            scores.append(kept(arguments.results, key, compute))
        shown.append((gate, *(f"{score:.3f}" for score in scores)))
    table(shown)


if __name__ == "__main__":
    main()
