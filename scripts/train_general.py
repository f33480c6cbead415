"""Train the shipped checkpoint ``general-unet-sharp`` and put it into the package.

    python scripts/train_general.py DATA/nuclei OUTPUT [--minutes 24] [--ship]

It learns from the CC0 nuclei and from equally many patches of synthetic lines, as a start for other
images that needs few corrections. DATA/nuclei has the layout that ``train_nuclei.py`` describes.
With ``--ship`` the weights go into the package in half precision, and their scores on the test
images of nuclei go onto the card.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import line_images
import train_nuclei
from ship_checkpoint import score

from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.checkpoints.replay import FILE
from napari_seglite.checkpoints.store import BUILT_IN
from napari_seglite.images import Normalisation
from napari_seglite.runtime import process
from napari_seglite.training import (
    Augmentation,
    FineTuner,
    FineTuneRequest,
    Schedule,
    StepDone,
    Validation,
)

NAME = "general-unet-sharp"
LINES = 400


def train(data: Path, store: CheckpointStore, minutes: float) -> None:
    """Train on nuclei and on lines, with half of the patches from each."""
    normalisation = Normalisation()
    nuclei = train_nuclei.read(data, normalisation)
    share = sum(image.share for image in nuclei) / LINES
    lines = [replace(i, share=share) for i in line_images.images(LINES, 7, normalisation)]
    request = FineTuneRequest(
        "unet-sharp",
        NAME,
        schedule=Schedule(steps=1_000_000, minutes=minutes, learning_rate=5e-3, weight_decay=1e-2),
        validation=Validation(
            held_out=0.04, validate_every=500, patience=1000, keep_best=False, split_seed=3
        ),
        augmentation=Augmentation(scale=1.5, invert=0.1, intensity=0.7),
        precision="bfloat16",
        seed=3,
    )
    template = CheckpointInfo(
        NAME,
        "unet-sharp",
        options={"preset": "tiny"},
        class_names=("background", "object or line"),
        normalisation=normalisation,
        description="A start for anything that is not nuclei: objects, and thin lines as of "
        "vessels and membranes. Correct a few slices and fine-tune.",
    )
    with process.keep_freed_memory():
        for event in FineTuner(request, nuclei + lines, store, template).run():
            if not isinstance(event, StepDone) or event.status.step % 100 == 0:
                loss = f"loss {event.loss:.4f}" if isinstance(event, StepDone) else ""
                print(event.text, loss, flush=True)


def ship(data: Path, store: CheckpointStore) -> None:
    """Put half-precision weights, scores and the replay buffer into the package."""
    info, network = store.load(NAME)
    with tempfile.TemporaryDirectory() as nowhere:
        nothing = Path(nowhere) / "none"
        half = CheckpointStore(Path(nowhere) / "half", nothing)
        half.save(info, network.state_dict(), half=True)
        info = replace(info, scores=score(data, half, NAME))
        print(info.scores)
        shipped = CheckpointStore(BUILT_IN, nothing)
        shipped.save(info, network.state_dict(), half=True, overwrite=True)
    (shipped.path(NAME) / FILE).write_bytes((store.path(NAME) / FILE).read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=24)
    parser.add_argument("--ship", action="store_true")
    arguments = parser.parse_args()
    # Without the shipped checkpoint, which has the same name.
    store = CheckpointStore(arguments.output, built_in=arguments.output / "none")
    if (store.folder / NAME).exists():
        print(f"{NAME} exists already")
    else:
        train(arguments.data, store, arguments.minutes)
    if arguments.ship:
        ship(arguments.data, store)


if __name__ == "__main__":
    main()
