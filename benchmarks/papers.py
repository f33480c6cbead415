"""Each network on its paper's kind of data, beside BasicUNet with the same steps.

    python benchmarks/papers.py DATA OUTPUT [--networks NAME ...] [--seeds 3] [--steps 1500]

Each network learns all images of ``train/`` from its general start, from the checkpoint that is
shipped for such images if there is one, and from scratch, MONAI's BasicUNet from scratch; scored on
``test/`` with the metrics that the papers report. Few images are what there is, so that the figures
are not those of the papers' larger sets. Checkpoints stay in OUTPUT, and a run that was interrupted
goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paper_metrics
import peers
from common import table
from correction_loop import read
from skimage.io import imread

import src_models
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.checkpoints.store import BUILT_IN
from napari_seglite.formats import read_image, read_labels
from napari_seglite.images import ImageAxes
from napari_seglite.labels import overlap
from napari_seglite.runtime import process
from napari_seglite.training import Schedule, StepDone, Validation, image_examples

PEER = "basic-unet"
METHODS = ("start", "shipped", "scratch", PEER)
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Image:
    """An image or a stack, its axes, and its reference labels."""

    name: str
    pixels: np.ndarray
    axes: str
    truth: np.ndarray


@dataclass(frozen=True)
class Paper:
    """What a network is shown at.

    Attributes
    ----------
    data : str
        Folder of the data set.
    score : callable
        From the folder, an image, its probabilities ``(N, [classes,] H, W)`` and its labels
        ``(N, H, W)`` to scores.
    shipped : str or None
        Checkpoint that is shipped for such images.
    """

    data: str
    score: Callable[[Path, Image, np.ndarray, np.ndarray], list[Scores]]
    shipped: str | None = None


@dataclass(frozen=True)
class Amount:
    """How much is learnt: steps of a batch of patches, whose sides count in pixels."""

    steps: int
    batch: int
    patch: int


def images(folder: Path, part: str) -> list[Image]:
    """Return the images of a data set; a stack as one."""
    if (folder / part / "image.tif").is_file():
        stack = np.asarray(read_image(folder / part / "image.tif").array)
        return [Image("stack", stack, "ZYX", np.asarray(read_labels(folder / part / "labels.tif")))]
    return [Image(s.name, s.pixels, s.axes.order, s.truth) for s in read(folder, part)]


def _vessels(folder: Path, image: Image, p: np.ndarray, _: np.ndarray) -> list[Scores]:
    (view,) = (folder / "test" / "fov").glob(f"{image.name}*")
    seen = imread(view).reshape(*image.truth.shape, -1)[..., 0] > 0
    return [paper_metrics.vessels(p[0], image.truth > 0, seen)]


def _membranes(_: Path, image: Image, p: np.ndarray, __: np.ndarray) -> list[Scores]:
    return [paper_metrics.membranes(a, b > 0) for a, b in zip(p, image.truth, strict=True)]


def _organelles(_: Path, image: Image, __: np.ndarray, found: np.ndarray) -> list[Scores]:
    each = {
        name: overlap(found == k, image.truth == k).dice
        for k, name in ((1, "mitochondria"), (2, "membranes"))
    }
    return [{"mean Dice": float(np.mean(list(each.values()))), **each}]


def _lesions(_: Path, image: Image, p: np.ndarray, __: np.ndarray) -> list[Scores]:
    return [paper_metrics.lesions(p[0].astype(np.float32), image.truth > 0)]


def _tumours(_: Path, image: Image, __: np.ndarray, found: np.ndarray) -> list[Scores]:
    # The training images show benign tumours alone, so that the kinds are not told apart.
    area = overlap(found[0] > 0, image.truth > 0)
    return [{"Dice": area.dice, "IoU": area.iou}]


PAPERS = {
    "u2net-msac": Paper("retina-vessels", _vessels, "vessels-u2net-msac"),
    "unet-sharp": Paper("em-membranes", _membranes),
    "celnet": Paper("em-organelles", _organelles),
    "m2snet": Paper("polyps", _lesions),
    "s-net": Paper("breast-ultrasound", _tumours),
}


def train(
    folder: Path, network: str, method: str, seed: int, store: CheckpointStore, amount: Amount
) -> None:
    """Train a network, or the peer, on the images of its paper."""
    paper, name = PAPERS[network], f"{network}-{method}-{seed}"
    known = images(folder / paper.data, "train")
    channels = 3 if known[0].axes.endswith("C") else 1
    classes = int(max(image.truth.max() for image in known))
    names = ("background", *(f"class {k}" for k in range(1, classes + 1)))
    made: dict[str, Any] = {
        "in_channels": channels,
        "classes": len(names) if classes > 1 else 1,
        "class_names": names,
    }
    known_start = {"start": f"general-{network}", "shipped": paper.shipped}.get(method)
    if known_start:
        begun = known_start
        info = replace(store.info(begun), **made)
    else:
        begun = network if method == "scratch" else PEER
        info = CheckpointInfo(name, begun, options=src_models.card(begun).first_options, **made)
    examples = [
        example
        for image in known
        for example in image_examples(
            image.name, image.pixels, image.truth, ImageAxes(image.axes), info
        )
    ]
    rate = src_models.card(info.network).learning_rate
    request = FineTuneRequest(
        begun,
        name,
        Schedule(
            amount.steps,
            100_000,
            amount.batch,
            amount.patch,
            rate / 2 if known_start else rate,
            1e-2,
        ),
        validation=Validation(
            held_out=0.01, validate_every=amount.steps, patience=10**6, keep_best=False
        ),
        in_channels=channels,
        class_names=names,
        precision="bfloat16",
        seed=seed,
    )
    template = None if known_start else info
    with process.keep_freed_memory():
        for event in FineTuner(request, examples, store, template).run():
            if not isinstance(event, StepDone):
                print(name, event.text, flush=True)


def scores(folder: Path, network: str, name: str, store: CheckpointStore) -> Scores:
    """Return the mean scores of a checkpoint on the test images."""
    paper, segmenter, found = PAPERS[network], Segmenter(store), []
    for image in images(folder / paper.data, "test"):
        result = segmenter.segment(image.pixels, SegmentRequest(name, image.axes, min_size=0))
        shape = (-1, *image.truth.shape[-2:])
        p = np.asarray(result.probabilities, np.float32)
        labels = np.asarray(result.labels).reshape(shape)
        p = p.reshape(shape) if p.size == labels.size else p
        found += paper.score(folder / paper.data, image, p, labels)
    return {key: float(np.mean([each[key] for each in found])) for key in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--networks", nargs="+", default=list(PAPERS), choices=PAPERS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=192)
    parser.add_argument("--starts", type=Path, default=BUILT_IN, help="folder of the starts")
    arguments = parser.parse_args()
    peers.register_all()
    amount = Amount(arguments.steps, arguments.batch, arguments.patch)
    store = CheckpointStore(arguments.output, built_in=arguments.starts)
    for network in arguments.networks:
        rows: list[tuple[str, ...]] = []
        for method in arguments.methods:
            if method == "shipped" and PAPERS[network].shipped is None:
                continue
            each = []
            for seed in range(arguments.seeds):
                name = f"{network}-{method}-{seed}"
                if not (arguments.output / name).exists():
                    train(arguments.data, network, method, seed, store, amount)
                each.append(scores(arguments.data, network, name, store))
            rows = rows or [("", *each[0])]
            values = [[s[key] for s in each] for key in each[0]]
            rows.append((method, *(f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in values)))
        print(f"\n{network} on {PAPERS[network].data}, {arguments.seeds} seeds\n")
        table(rows)


if __name__ == "__main__":
    main()
