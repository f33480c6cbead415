"""Train the shipped starts, one a network, and ``vessels-u2net-msac``; put them into the package.

    python scripts/train_starts.py DATA OUTPUT [NAME ...] [--steps 4000] [--again] [--ship]
    python scripts/train_starts.py DATA OUTPUT general-m2snet-full --release FOLDER [--url URL]

DATA holds ``nuclei`` (CC0) and ``vessels-chase`` (CC BY 4.0). A start learns from both and from
images that `drawn_images` draws; CeLNet from stacks made of them. All have the same recipe and
seed. A run that was interrupted goes on when it is started again; with ``--again`` training begins
with the packaged weights. With ``--ship`` weights go into the package in 16 or 8 bits, with their
scores on the test images of nuclei and vessels; the threshold of ``vessels-u2net-msac`` is moved to
suit cameras that show vessels more faintly, see `threshold_for_faint`.
``general-m2snet-full`` is too large for the package, so it is trained only where it is named. With
``--release`` it goes into a zip file in FOLDER, and into the catalogue there with size and SHA-256;
URL is where FOLDER's files are uploaded. Once they are, the catalogue replaces
``napari_seglite/catalogue/catalogue.json``.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_images import drawn, slices
from skimage.filters import gaussian
from skimage.io import imread
from skimage.measure import block_reduce

import src_models
from napari_seglite import CheckpointInfo, CheckpointStore, Segmenter, SegmentRequest
from napari_seglite.catalogue import release
from napari_seglite.checkpoints.replay import FILE
from napari_seglite.checkpoints.store import BUILT_IN
from napari_seglite.images import Normalisation, TrainingImage, guess_axes
from napari_seglite.labels import overlap
from napari_seglite.runtime import process
from napari_seglite.training import (
    Augmentation,
    FineTuner,
    FineTuneRequest,
    Schedule,
    StepDone,
    Validation,
)

SEED = 5
DRAWN = 300  # images of each kind
LICENCE = "BSD-3-Clause"
# What is left of the vessels' contrast in photographs of other cameras, more or less.
FAINT = (1.0, 0.6, 0.4, 0.25)
CHASE = "CHASE_DB1 (Fraz et al., 2012; CC BY 4.0)"
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Start:
    """A checkpoint to train.

    Attributes
    ----------
    network : str
        Its network.
    bits : int
        Of each weight in the package.
    shares : dict
        How often patches of each kind of image are drawn.
    in_channels : int
        1 for grey, 3 for colours.
    options : dict
        Of the network, in place of those that its card says to begin with.
    packaged : bool
        Whether it is small enough for the package.
    """

    network: str
    bits: Any = 16
    shares: dict[str, float] = field(
        default_factory=lambda: {
            "nuclei": 0.3,
            "chase": 0.12,
            "vessels": 0.13,
            "membranes": 0.2,
            "objects": 0.25,
        }
    )
    in_channels: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    packaged: bool = True


STARTS = {
    "general-unet-sharp": Start("unet-sharp"),
    "general-u2net-msac": Start("u2net-msac"),
    "general-s-net": Start("s-net", bits=8),
    "general-m2snet": Start("m2snet", bits=8),
    "general-m2snet-full": Start("m2snet", options={"preset": "base"}, packaged=False),
    "general-celnet": Start("celnet", bits=8),
    "vessels-u2net-msac": Start(
        "u2net-msac",
        shares={"chase": 0.7, "vessels": 0.3},
        in_channels=3,
    ),
}


# ---------------------------------------------------------------------- what they learn from
def nuclei(folder: Path) -> list[Pair]:
    """Return the training images of nuclei and their masks."""
    pairs = []
    with (folder / "nuclei" / "train.csv").open() as rows:
        for row in csv.DictReader(rows):
            image = imread(folder / "nuclei" / "train" / "images" / f"{row['name']}.png")
            labels = imread(folder / "nuclei" / "train" / "labels" / f"{row['name']}.tif")
            pairs.append((image[..., :3] if image.ndim == 3 else image, labels > 0))
    return pairs


def chase(folder: Path) -> list[Pair]:
    """Return the training photographs of vessels, whole and at half the resolution."""
    pairs = []
    for file in sorted((folder / "vessels-chase" / "train" / "images").glob("*.png")):
        labels = imread(folder / "vessels-chase" / "train" / "labels" / file.name) > 0
        image = imread(file)
        half = block_reduce(image, (2, 2, 1), np.mean), block_reduce(labels, (2, 2), np.mean) >= 0.5
        pairs += [(image, labels), half]
    return pairs


def drawing(kind: str, number: int) -> Pair:
    """Return a drawn image of a kind and its mask."""
    return drawn(np.random.default_rng([SEED, sum(map(ord, kind)), number]), kind)


def pairs_of(kind: str, folder: Path, pool: ProcessPoolExecutor) -> list[Pair]:
    """Return all images of a kind and their masks."""
    if kind in ("nuclei", "chase"):
        return nuclei(folder) if kind == "nuclei" else chase(folder)
    return list(pool.map(partial(drawing, kind), range(DRAWN), chunksize=10))


def frames(folder: Path, start: Start, info: CheckpointInfo, workers: int) -> list[TrainingImage]:
    """Return everything that a start learns from, normalised as its card says."""
    found: list[TrainingImage] = []
    with ProcessPoolExecutor(workers) as pool:
        for kind, share in start.shares.items():
            pairs = pairs_of(kind, folder, pool)
            make = partial(example, kind, share / len(pairs), start.in_channels, info)
            found += pool.map(make, range(len(pairs)), *zip(*pairs, strict=True), chunksize=10)
    return found


def example(
    kind: str,
    share: float,
    channels: int,
    info: CheckpointInfo,
    number: int,
    pixels: np.ndarray,
    mask: np.ndarray,
) -> TrainingImage:
    """Return an image as a network with one or three channels, or of three slices, learns it."""
    rng = np.random.default_rng([SEED, sum(map(ord, kind)), number, 1])
    normalisation = info.normalisation
    pixels = normalisation.apply(pixels, normalisation.limits(_grey(pixels)))
    if channels > 1:
        frame = _coloured(rng, pixels)
    else:
        frame = _grey(pixels)
        frame = slices(rng, frame) if info.context_slices > 1 else frame[None]
    labels = mask.astype(np.uint8)
    return TrainingImage(f"{kind} {number}", frame.astype(np.float32), labels, share)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return pixels.mean(-1) if pixels.ndim == 3 else pixels


def _coloured(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return colours ``(3, H, W)``; a drawing gets those of a retina, more or less."""
    if pixels.ndim == 3:
        return np.moveaxis(pixels, -1, 0)
    gains = np.array([1.0, 0.7, 0.3]) * rng.uniform(0.5, 1.3, 3)
    contrasts = np.array([0.4, 1.0, 0.5]) * rng.uniform(0.5, 1.2, 3)
    middle = pixels.mean()
    return np.stack(
        [g * (middle + c * (pixels - middle)) for g, c in zip(gains, contrasts, strict=True)]
    )


# ---------------------------------------------------------------------- training
def card_of(name: str, start: Start) -> CheckpointInfo:
    """Return the card that a start begins with."""
    vessels = name.startswith("vessels")
    text = (
        f"Vessels of the retina in colour photographs. Learnt from {CHASE} and drawings."
        if vessels
        else "A start for objects, vessels and membranes: correct a few slices and fine-tune. "
        f"Learnt from nuclei (CC0), {CHASE} and drawings."
    )
    return CheckpointInfo(
        name,
        start.network,
        in_channels=start.in_channels,
        options={**src_models.card(start.network).first_options, **start.options},
        class_names=("background", "vessel" if vessels else "object or line"),
        normalisation=Normalisation(),
        description=text,
    )


def request_for(name: str, start: Start, steps: int, minutes: float) -> FineTuneRequest:
    """Return the recipe, the same for all but for the learning rate of the network's card."""
    return FineTuneRequest(
        start.network,
        name,
        schedule=Schedule(
            steps=steps,
            minutes=minutes,
            batch=6,
            patch=128,
            learning_rate=src_models.card(start.network).learning_rate,
            weight_decay=1e-2,
        ),
        validation=Validation(
            held_out=0.04,
            validate_every=max(1, steps // 4),
            patience=1000,
            keep_best=False,
            split_seed=SEED,
        ),
        augmentation=Augmentation(scale=1.6, invert=0.1, intensity=0.8),
        precision="bfloat16",
        seed=SEED,
    )


def train(store: CheckpointStore, name: str, arguments: argparse.Namespace) -> None:
    """Train a start, or go on with it."""
    start = STARTS[name]
    info = card_of(name, start)
    examples = frames(arguments.data, start, info, arguments.workers)
    request = request_for(name, start, arguments.steps, arguments.minutes)
    if arguments.again:
        request = replace(request, checkpoint=str(BUILT_IN / name))
        request = request.adjusted(anchor=0.0, replay=0.0, interpolation=1.0)
    with process.keep_freed_memory():
        for event in FineTuner(request, examples, store, info).run():
            if not isinstance(event, StepDone) or event.status.step % 100 == 0:
                loss = f"loss {event.loss:.4f}" if isinstance(event, StepDone) else ""
                print(name, event.text, loss, flush=True)


# ---------------------------------------------------------------------- shipping
def score(folder: Path, store: CheckpointStore, name: str) -> dict[str, float]:
    """Return the mean Dice on test images: of nuclei, unless it is for vessels, and of vessels."""
    segmenter, scores = Segmenter(store), {}
    places = {"vessels-chase": ("png", 1)}
    if not name.startswith("vessels"):
        places["nuclei"] = ("tif", 4)  # every fourth
    for place, (ending, every) in places.items():
        dice = []
        for file in sorted((folder / place / "test" / "images").glob("*.png"))[::every]:
            image = imread(file)
            truth = imread(folder / place / "test" / "labels" / f"{file.stem}.{ending}") > 0
            request = SegmentRequest(name, guess_axes(image.shape).order)
            dice.append(overlap(segmenter.segment(image, request).labels > 0, truth).dice)
        scores[f"test_dice_{place.split('-')[0]}"] = round(float(np.mean(dice)), 4)
    return scores


def threshold_for_faint(folder: Path, store: CheckpointStore, name: str) -> float:
    """Return the threshold with the best mean F1 on training photographs made fainter.

    A camera that shows vessels with less contrast lowers their probabilities, while their order
    stays right.
    """
    segmenter, thresholds = Segmenter(store), np.arange(0.05, 0.55, 0.05)
    found = []
    for image, truth in chase(folder)[3::6]:  # every third, at half the resolution
        around = gaussian(image, 15, channel_axis=-1)
        for left in FAINT:
            fainter = (around + left * (image - around)).clip(0, 255).astype(np.uint8)
            result = segmenter.segment(fainter, SegmentRequest(name, "YXC", min_size=0))
            p = np.asarray(result.probabilities, np.float32).reshape(truth.shape)
            found.append([overlap(p > t, truth).dice for t in thresholds])
    return float(thresholds[np.mean(found, axis=0).argmax()])


def ship(folder: Path, store: CheckpointStore, name: str, target: CheckpointStore) -> None:
    """Put weights, scores and the replay buffer of a start into a store."""
    network: Any
    info, network = store.load(name)
    if name.startswith("vessels"):
        threshold = threshold_for_faint(folder, store, name)
        print(name, f"threshold {threshold:.2f} becomes 0.5")
        with torch.no_grad():
            network.fusion.bias -= math.log(threshold / (1 - threshold))
    with tempfile.TemporaryDirectory() as nowhere:
        nothing, bits = Path(nowhere) / "none", STARTS[name].bits
        for each in sorted({32, bits}, reverse=True):
            rounded = CheckpointStore(Path(nowhere) / str(each), nothing)
            rounded.save(info, network.state_dict(), bits=each)
            scores = score(folder, rounded, name)
            print(name, f"{each} bits a weight:", scores)
        replay = (store.path(name) / FILE).read_bytes()
        description = card_of(name, STARTS[name]).description
        info = replace(info, scores=scores, description=description, parent=None)
        target.save(info, network.state_dict(), bits=bits, overwrite=True, replay=replay)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(STARTS))
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=100_000, help="at most")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw images")
    parser.add_argument("--again", action="store_true", help="go on from the packaged weights")
    parser.add_argument("--ship", action="store_true", help="put them into the package")
    parser.add_argument("--release", type=Path, metavar="FOLDER", help="write zips and a catalogue")
    parser.add_argument("--url", default="", help="where the files of FOLDER are uploaded")
    arguments = parser.parse_args()
    names = arguments.names or [name for name, start in STARTS.items() if start.packaged]
    if arguments.ship and (large := [name for name in names if not STARTS[name].packaged]):
        parser.error(f"too large for the package, so use --release: {', '.join(large)}")
    # Without the shipped checkpoints, which have the same names.
    nothing = arguments.output / "none"
    store = CheckpointStore(arguments.output, nothing)
    for name in names:
        if (store.folder / name).exists():
            print(f"{name} exists already")
        else:
            train(store, name, arguments)
        if arguments.ship:
            ship(arguments.data, store, name, CheckpointStore(BUILT_IN, nothing))
        if arguments.release:
            with tempfile.TemporaryDirectory() as rounded:
                released = CheckpointStore(Path(rounded), nothing)
                ship(arguments.data, store, name, released)
                folder, url = arguments.release, arguments.url
                entry = release(released, name, folder, licence=LICENCE, url=url)
            print(f"{folder / name}.zip: {entry.size:,} bytes, SHA-256 {entry.sha256}")


if __name__ == "__main__":
    main()
