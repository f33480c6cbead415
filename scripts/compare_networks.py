"""Train every network from scratch on the same data for the same time, and score it.

    python scripts/compare_networks.py DATA --minutes 10

DATA holds ``nuclei`` and ``em-membranes``. All networks train on the 2-D images in ``nuclei/train``
and are scored on ``nuclei/test``. CeLNet and UNet# also train on the first slices of the stack of
membranes and are scored on its last ones. MONAI's BasicUNet is trained in the same way. The time is
short on purpose: it shows how fast a network learns on this computer, not its final quality.
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
from napari_seglite.runtime import process
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
    """Read all frames of a folder, normalised for a network."""
    examples = []
    for path, truth in pairs(folder):
        image = read_image(path)
        labels = (read_labels(truth) > 0).astype(np.uint8)
        examples += image_examples(path.name, image.array, labels, image.axes, info)
    return examples


def score(folder: Path, checkpoint: str, store: CheckpointStore) -> float:
    """Return the mean Dice over a folder's images; a stack counts as one image."""
    segmenter, dice = Segmenter(store), []
    for path, truth in pairs(folder):
        image = read_image(path)
        result = segmenter.segment(image.array, SegmentRequest(checkpoint, image.axes.order))
        dice.append(overlap(result.labels, read_labels(truth)).dice)
    return float(np.mean(dice))


def processor_seconds() -> float:
    """Return the processor time of this process in seconds, divided by the number of threads."""
    return time.process_time() / torch.get_num_threads()


def train(name: str, data: Path, minutes: float, store: CheckpointStore) -> tuple[str, int]:
    """Train a network on a data set; return the checkpoint's id and the number of steps.

    Parameters
    ----------
    name : str
        A network, or a key of `OPTIONS`.
    data : Path
        Folder of the data set.
    minutes : float
        Time limit, of `processor_seconds`.
    store : CheckpointStore
        Where the checkpoint is written.
    """
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
    callbacks = RunCallbacks(clock=processor_seconds)
    for event in FineTuner(request, images, store, template).run(callbacks=callbacks):
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
    with tempfile.TemporaryDirectory() as scratch, process.keep_freed_memory():
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
