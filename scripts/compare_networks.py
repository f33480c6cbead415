"""Train every network from scratch for the same time on the same data, and score it.

    python scripts/compare_networks.py DATA --minutes 10

DATA holds ``nuclei`` and ``em-membranes``. All networks train on ``nuclei/train`` as 2-D images and
are scored on ``nuclei/test``; CeLNet and UNet# also learn the first slices of the membranes' stack
and are scored on its last ones. MONAI's BasicUNet trains beside them. The budget is small on
purpose: it says how fast a network learns on this computer, not how good it gets.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import src_models
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.formats import list_images, read_image, read_labels
from napari_seglite.images import TrainingImage
from napari_seglite.labels import overlap
from napari_seglite.training import (
    RunCallbacks,
    Schedule,
    StepDone,
    Validation,
    image_examples,
    start_info,
)

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import peers
from common import table

OPTIONS = {"unet-sharp-small": ("unet-sharp", {"preset": "small"})}


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return images and labels of a folder, matched by name."""
    if (folder / "image.tif").is_file():
        return [(folder / "image.tif", folder / "labels.tif")]
    labels = {path.stem: path for path in list_images(folder / "labels")}
    return [(path, labels[path.stem]) for path in list_images(folder / "images")]


def frames(folder: Path, info: CheckpointInfo) -> list[TrainingImage]:
    """Read all frames of a folder for a network."""
    found = []
    for path, truth in pairs(folder):
        image = read_image(path)
        labels = (read_labels(truth) > 0).astype(np.uint8)
        found += image_examples(path.name, image.array, labels, image.axes, info)
    return found


def score(folder: Path, checkpoint: str, store: CheckpointStore) -> float:
    """Return mean Dice over a folder's images; a stack counts as one."""
    segmenter, dice = Segmenter(store), []
    for path, truth in pairs(folder):
        image = read_image(path)
        result = segmenter.segment(image.array, SegmentRequest(checkpoint, image.axes.order))
        dice.append(overlap(result.labels, read_labels(truth)).dice)
    return float(np.mean(dice))


def processor_seconds() -> float:
    """Return seconds of computing, as if all cores had worked all the time.

    What other programs take of this computer does not count.
    """
    return time.process_time() / torch.get_num_threads()


def train(name: str, data: Path, minutes: float, store: CheckpointStore) -> tuple[str, int]:
    """Train a network on a data set; returns the checkpoint and its number of steps."""
    network, options = OPTIONS.get(name, (name, {}))
    checkpoint = f"{name}-{data.name}"
    request = FineTuneRequest(
        network,
        checkpoint,
        schedule=Schedule(
            steps=1_000_000,
            minutes=minutes,
            learning_rate=src_models.card(network).learning_rate,
            weight_decay=1e-2,
        ),
        validation=Validation(held_out=0.06, validate_every=1_000_000),
        seed=1,
    )
    template = CheckpointInfo(checkpoint, network, options=options)
    images = frames(data / "train", start_info(request, store, template))
    watch = RunCallbacks(clock=processor_seconds)
    for event in FineTuner(request, images, store, template).run(callbacks=watch):
        if isinstance(event, StepDone) and event.status.step % 50 == 0:
            print(f"{checkpoint}: {event.text}, loss {event.loss:.3f}", file=sys.stderr)
    return checkpoint, store.info(checkpoint).settings["steps_done"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--networks", nargs="+")
    parser.add_argument("--sets", nargs="+", default=["nuclei", "em-membranes"])
    arguments = parser.parse_args()
    names = arguments.networks or ["basic-unet", *src_models.names(), *OPTIONS]
    peers.register_all()
    rows: list[tuple[str, ...]] = [("network", "data", "steps", "Dice on test images")]
    with tempfile.TemporaryDirectory() as scratch:
        store = CheckpointStore(Path(scratch))
        for data in arguments.sets:
            for name in names:
                if data != "nuclei" and not name.startswith(("celnet", "unet-sharp", "basic")):
                    continue
                folder = arguments.data / data
                checkpoint, steps = train(name, folder, arguments.minutes, store)
                dice = score(folder / "test", checkpoint, store)
                rows.append((name, data, str(steps), f"{dice:.3f}"))
                print(rows[-1], file=sys.stderr)
    table(rows)


if __name__ == "__main__":
    main()
