"""Dice after a few corrected slices and a minute of fine-tuning, beside other methods.

    python benchmarks/correction_loop.py DATA [--sets NAME ...] [--slices 1 2 4 8] [--seconds 60]

A scripted user replaces the labels of some slices by the data set's reference and fine-tunes for a
minute of computing time, from a shipped checkpoint or a fresh network, with the settings that the
plugin suggests. On the same slices learn a random forest on multi-scale features, as pixel
classifiers use it, and, for the same time, MONAI's BasicUNet from scratch. The score is Dice on
slices that nobody corrected; with two classes, their mean. The number of strokes is the number of
separate errors in the first prediction. Time is processor time divided by the number of threads,
so other programs do not count. Freed memory stays with the process while a network runs, as in the
command and the dock.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from common import table

import src_models
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.formats import list_images, read_image, read_labels
from napari_seglite.images import ImageAxes
from napari_seglite.labels import overlap_per_class
from napari_seglite.runtime import process
from napari_seglite.training import (
    RunCallbacks,
    Schedule,
    Validated,
    image_examples,
    read_colour,
    start_info,
    suggest_settings,
)

# Starting checkpoint per data set: the one for nuclei, or the one for anything else.
STARTS = {
    "nuclei": "nuclei-s-net",
    "em-membranes": "general-unet-sharp",
    "em-organelles": "general-unet-sharp",
    "retina-vessels": "general-unet-sharp",
}
# Data sets that are new to every shipped start.
SETS = (
    "em-membranes",
    "em-organelles",
    "retina-vessels",
    "hela-dic",
    "blood-cells",
    "polyps",
)
# Folders of single images whose labels are classes rather than objects.
CLASSES = ("blood-cells", "breast-ultrasound")
TREES = 50


@dataclass(frozen=True)
class Slice:
    """A frame and its reference labels.

    Attributes
    ----------
    name : str
        For messages.
    pixels : ndarray
        ``(H, W)`` or ``(H, W, 3)``.
    truth : ndarray
        ``(H, W)`` integer; 0 is background.
    """

    name: str
    pixels: np.ndarray
    truth: np.ndarray

    @property
    def axes(self) -> ImageAxes:
        """Axes of the pixels."""
        return ImageAxes("YX" if self.pixels.ndim == 2 else "YXC")


def read(folder: Path, part: str) -> list[Slice]:
    """Return the slices of a data set; of ``nuclei`` only those of histology.

    Parameters
    ----------
    folder : Path
        Of the data set.
    part : str
        ``"train"`` or ``"test"``.
    """
    if (folder / part / "image.tif").is_file():
        stack = np.asarray(read_image(folder / part / "image.tif").array)
        truth = read_labels(folder / part / "labels.tif")
        return [Slice(f"slice {k}", stack[k], truth[k]) for k in range(len(stack))]
    labels = {path.stem: path for path in list_images(folder / part / "labels")}
    names = {path.stem for path in list_images(folder / part / "images")}
    if folder.name == "nuclei":
        import csv

        with (folder / f"{part}.csv").open() as file:
            names = {r["name"] for r in csv.DictReader(file) if r["modality"] == "histology"}
    slices = []
    for path in list_images(folder / part / "images"):
        if path.stem in names:
            truth = read_labels(labels[path.stem])
            truth = truth if folder.name in CLASSES else truth > 0
            pixels = np.asarray(read_image(path).array)
            pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
            slices.append(Slice(path.stem, pixels, truth.astype(np.uint8)))
    return slices


def chosen(slices: list[Slice], count: int) -> list[Slice]:
    """Return `count` slices spread evenly over a set."""
    return [slices[int(k)] for k in np.linspace(0, len(slices) - 1, count + 2)[1:-1].round()]


def processor_seconds() -> float:
    """Return the processor time of this process in seconds, divided by the number of threads."""
    return time.process_time() / torch.get_num_threads()


def asked(
    start: str,
    name: str,
    slices: list[Slice],
    store: CheckpointStore,
    seconds: float,
    template: CheckpointInfo | None = None,
) -> tuple[FineTuneRequest, CheckpointInfo]:
    """Return the request that the plugin would make, and the card of the new checkpoint.

    Parameters
    ----------
    start, name : str
        Starting checkpoint or network, and the new checkpoint.
    slices : list of Slice
        Slices to learn from; they decide channels and classes.
    store : CheckpointStore
        Where the start is.
    seconds : float
        Time limit.
    template : CheckpointInfo, optional
        Options of a network from scratch.
    """
    classes = int(max(s.truth.max() for s in slices)) + 1
    names = ("background", *(f"class {k}" for k in range(1, classes)))
    request = FineTuneRequest(
        start,
        name,
        Schedule(minutes=seconds / 60),
        device="cpu",
        class_names=names if classes > 2 else None,
    )
    seen = [(s.axes, s.pixels.shape) for s in slices]
    request = read_colour(request, start_info(request, store, template), seen)
    return request, start_info(request, store, template)


def trained(
    start: str,
    corrected: list[Slice],
    store: CheckpointStore,
    seconds: float,
    template: CheckpointInfo | None = None,
) -> tuple[str, float, int]:
    """Fine-tune as the plugin does.

    Parameters
    ----------
    start : str
        Starting checkpoint or network.
    corrected : list of Slice
        Slices to learn from.
    store : CheckpointStore
        Where checkpoints are read and written.
    seconds : float
        Time limit, of `processor_seconds`.
    template : CheckpointInfo, optional
        Options of a network from scratch.

    Returns
    -------
    checkpoint : str
        Id of the new one.
    seconds : float
        Time taken.
    steps : int
        Number of weight updates.
    """
    name = f"run-{len(store.list())}"
    request, info = asked(start, name, corrected, store, seconds, template)
    images = [
        image
        for s in corrected
        for image in image_examples(s.name, s.pixels, s.truth, s.axes, info)
    ]
    request = suggest_settings(request, images, info).adjusted(keep_unimproved=True)
    begun = processor_seconds()
    callbacks = RunCallbacks(clock=processor_seconds)
    with process.keep_freed_memory():
        for event in FineTuner(request, images, store, template).run(callbacks=callbacks):
            if isinstance(event, Validated):
                print(f"  {start}: {event.text}", file=sys.stderr)
    steps = store.info(name).settings["steps_done"]
    return name, processor_seconds() - begun, steps


def dice_of(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return Dice; with several classes, their mean."""
    return overlap_per_class(predicted, truth).dice


def network_dice(checkpoint: str, slices: list[Slice], store: CheckpointStore) -> float:
    """Return a checkpoint's mean Dice over slices."""
    labels = predicted(checkpoint, slices, store)
    return float(np.mean([dice_of(p, s.truth) for p, s in zip(labels, slices, strict=True)]))


def predicted(checkpoint: str, slices: list[Slice], store: CheckpointStore) -> list[np.ndarray]:
    """Return a checkpoint's labels for slices; for a network without weights, background."""
    if checkpoint in src_models.names():
        return [np.zeros_like(s.truth) for s in slices]
    segmenter = Segmenter(store)
    requests = [SegmentRequest(checkpoint, s.axes.order, device="cpu") for s in slices]
    pairs = zip(slices, requests, strict=True)
    with process.keep_freed_memory():
        return [np.asarray(segmenter.segment(s.pixels, request).labels) for s, request in pairs]


def errors(proposed: np.ndarray, truth: np.ndarray) -> int:
    """Return the number of separate errors of more than 8 pixels, each worth one stroke."""
    from skimage.measure import label, regionprops

    return sum(int(region.area > 8) for region in regionprops(label(proposed != truth)))


def strokes(checkpoint: str, slices: list[Slice], store: CheckpointStore) -> int:
    """Return the number of strokes that correct a checkpoint's labels of slices."""
    labels = predicted(checkpoint, slices, store)
    return sum(errors(p, s.truth) for p, s in zip(labels, slices, strict=True))


def forest_dice(corrected: list[Slice], test: list[Slice]) -> tuple[float, float]:
    """Train a pixel classifier; return its Dice and the training time in seconds."""
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    def features(s: Slice) -> np.ndarray:
        axis = -1 if s.pixels.ndim == 3 else None
        values = multiscale_basic_features(s.pixels, sigma_min=1, sigma_max=16, channel_axis=axis)
        return np.asarray(values.reshape(-1, values.shape[-1]))

    begun = processor_seconds()
    forest = RandomForestClassifier(
        TREES, n_jobs=-1, max_samples=0.05, min_samples_leaf=5, random_state=0
    )
    forest.fit(
        np.concatenate([features(s) for s in corrected]),
        np.concatenate([s.truth.ravel() for s in corrected]),
    )
    seconds = processor_seconds() - begun
    dice = [dice_of(forest.predict(features(s)).reshape(s.truth.shape), s.truth) for s in test]
    return float(np.mean(dice)), seconds


def run(
    data: Path, name: str, counts: list[int], seconds: float, start: str
) -> list[dict[str, Any]]:
    """Measure one data set; return one row per number of corrected slices.

    Parameters
    ----------
    data : Path
        Folder of all data sets.
    name : str
        Of the set.
    counts : list of int
        Numbers of slices to correct.
    seconds : float
        Time limit of every training.
    start : str
        Starting checkpoint.
    """
    train, test = read(data / name, "train"), read(data / name, "test")
    rows = []
    for count in counts:
        corrected = chosen(train, count)
        with tempfile.TemporaryDirectory() as scratch:
            store = CheckpointStore(Path(scratch) / "checkpoints")
            needed = strokes(start, corrected, store)
            ours, took, steps = trained(start, corrected, store, seconds)
            row: dict[str, Any] = {
                "set": name,
                "slices": count,
                "strokes": needed,
                "start": start,
                "SegLite": network_dice(ours, test, store),
                "seconds": took,
                "steps": steps,
            }
            row["random forest"], row["forest seconds"] = forest_dice(corrected, test)
            scratch_net, *_ = trained("basic-unet", corrected, store, seconds)
            row["BasicUNet"] = network_dice(scratch_net, test, store)
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(STARTS))
    parser.add_argument("--slices", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--start", help="starting checkpoint for all sets")
    arguments = parser.parse_args()
    peers.register_all()
    shown: list[tuple[str, ...]] = [
        ("set", "slices", "strokes", "start", "SegLite", "random forest", "BasicUNet", "s")
    ]
    for name in arguments.sets:
        start = arguments.start or STARTS[name]
        for row in run(arguments.data, name, arguments.slices, arguments.seconds, start):
            scores = [f"{row[key]:.3f}" for key in ("SegLite", "random forest", "BasicUNet")]
            shown.append(
                (
                    name,
                    str(row["slices"]),
                    str(row["strokes"]),
                    start,
                    *scores,
                    f"{row['seconds']:.0f}",
                )
            )
    table(shown)


if __name__ == "__main__":
    main()
