"""What five corrected images are worth: Dice on other images before and after fine-tuning.

    python benchmarks/fine_tune.py DATA/retina-vessels

Retinal vessels are nothing that a checkpoint for nuclei was made for. It learns from five of
the training images and is scored on the ten test images, which it never sees.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from common import table

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.engine.dataset import frames_of
from napari_seglite.engine.metrics import overlap
from napari_seglite.store.images import list_images, read_image, read_labels

START = "nuclei-s-net"


def score(folder: Path, checkpoint: str, store: CheckpointStore) -> float:
    """Return mean Dice over the images of a folder."""
    segmenter, dice = Segmenter(store), []
    for path, truth in zip(
        list_images(folder / "images"), list_images(folder / "labels"), strict=True
    ):
        image = read_image(path)
        result = segmenter.segment(image.array, SegmentRequest(checkpoint, image.axes.order))
        dice.append(overlap(result.labels, read_labels(truth)).dice)
    return float(np.mean(dice))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        store = CheckpointStore(Path(scratch))
        train = arguments.data / "train"
        frames = []
        for path, truth in list(
            zip(list_images(train / "images"), list_images(train / "labels"), strict=True)
        )[: arguments.images]:
            image = read_image(path)
            frames += frames_of(
                path.name, image.array, read_labels(truth), image.axes, store.info(START)
            )
        request = FineTuneRequest(
            START, "tuned", steps=10_000, minutes=arguments.minutes, patience=100
        )
        for _ in FineTuner(request, frames, store).run():
            pass
        before, after = (score(arguments.data / "test", c, store) for c in (START, "tuned"))
        took = store.info("tuned").settings
        table(
            [
                ("corrected images", "minutes", "steps", "Dice before", "Dice after"),
                (
                    str(arguments.images),
                    f"{took['seconds'] / 60:.1f}",
                    str(took["steps_done"]),
                    f"{before:.3f}",
                    f"{after:.3f}",
                ),
            ]
        )


if __name__ == "__main__":
    main()
