"""Objects that checkpoints find, and what corrected objects teach them.

    python benchmarks/objects.py DATA [--every 1] [--ensemble flips]
    python benchmarks/objects.py DATA --learn hela-dic histology-nuclei --seconds 60
    python benchmarks/objects.py DATA --speed

First: AP50, F1, mean AP over IoU 0.5 to 0.95 and panoptic quality (PQ) on ``nuclei/test``, by
modality, and on the test parts of sets that no checkpoint learnt from; a checkpoint with an object
head beside the watershed on the same mask.

``--learn``: a scripted user corrects all objects of some images of a set's ``train`` part and
fine-tunes for some time; AP50 and Dice on ``test`` after 0, 1, 2, 4 and 8 images, with the head and
without it (the same start with its head taken off). Time is processor time per thread.

``--speed``: seconds from a cached head to objects in 2,048 x 2,048 pixels.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import table
from correction_loop import processor_seconds
from skimage.io import imread

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.images import ImageAxes, guess_axes
from napari_seglite.inference.request import ENSEMBLES, Ensemble
from napari_seglite.labels import instance_scores, overlap
from napari_seglite.labels.matching import SharedPixels
from napari_seglite.runtime import process
from napari_seglite.training import (
    RunCallbacks,
    Schedule,
    StepDone,
    image_examples,
    start_info,
    suggest_settings,
)

CHECKPOINTS = ("nuclei-s-net", "nuclei-unet-sharp-tiny", "nuclei-unet-sharp")
START = "nuclei-unet-sharp-tiny"
UNSEEN = ("hela-fluo", "histology-nuclei")
IOUS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
COLUMNS = ("Dice", "AP50", "F1 0.5", "F1 0.7", "F1 0.9", "mean AP", "PQ")

Pair = tuple[np.ndarray, np.ndarray]


def scores(found: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Return what `COLUMNS` names."""
    each = instance_scores(found, truth, IOUS)
    precisions = [f1 / (2 - f1) for f1 in each.f1.values()]
    dice = overlap(found > 0, truth > 0).dice
    f1 = (each.f1[iou] for iou in (0.5, 0.7, 0.9))
    return (dice, each.ap50, *f1, float(np.mean(precisions)), panoptic_quality(found, truth))


def panoptic_quality(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the sum of matched IoU over the mean number of objects (Kirillov et al., 2019)."""
    pairs = SharedPixels.count(found, truth)
    matched = pairs.iou[pairs.iou > 0.5]
    objects = (len(pairs.areas) + len(pairs.predicted_areas)) / 2
    return float(matched.sum() / objects) if objects else 1.0


def pairs_of(folder: Path, part: str) -> list[Pair]:
    """Return the images and labels of a part of a set."""
    labels = {path.stem: path for path in (folder / part / "labels").iterdir()}
    images = sorted((folder / part / "images").iterdir())
    return [(imread(path), imread(labels[path.stem])) for path in images]


def groups(data: Path, every: int) -> dict[str, list[Pair]]:
    """Return the test images by set, and those of the nuclei by modality, too."""
    with (data / "nuclei" / "test.csv").open() as file:
        modality = {row["name"]: row["modality"] for row in csv.DictReader(file)}
    folder = data / "nuclei" / "test"
    paths = sorted((folder / "images").iterdir())[::every]
    found = defaultdict(list)
    for path in paths:
        pair = imread(path), imread(folder / "labels" / f"{path.stem}.tif")
        found["nuclei"].append(pair)
        found[f"nuclei, {modality[path.stem]}"].append(pair)
    return dict(found) | {name: pairs_of(data / name, "test") for name in UNSEEN}


def compare(data: Path, every: int, ensemble: Ensemble) -> None:
    """Print the scores of the shipped checkpoints."""
    rows: list[tuple[str, ...]] = [("images", "checkpoint", "objects by", *COLUMNS)]
    segmenter = Segmenter()
    for name in CHECKPOINTS:
        info = segmenter.store.info(name)
        known: dict[int, list[tuple[float, ...]]] = {}
        for group, pairs in groups(data, every).items():
            kept: dict[str, list[tuple[float, ...]]] = defaultdict(list)
            for image, truth in pairs:
                key = hash(image.tobytes())
                if key not in known:
                    axes = guess_axes(image.shape).order
                    result = segmenter.segment(image, SegmentRequest(name, axes, ensemble=ensemble))
                    plain = replace(result, head=None).relabel()
                    known[key] = [scores(each.labels, truth) for each in (result, plain)]
                kept["head" if info.head else "watershed"].append(known[key][0])
                if info.head:
                    kept["watershed"].append(known[key][1])
            for way, values in kept.items():
                means = (f"{value:.3f}" for value in np.mean(values, 0))
                rows.append((f"{group} ({len(pairs)})", name, way, *means))
                print(rows[-1], flush=True)
    table(rows)


def learn(data: Path, sets: list[str], seconds: float, start: str) -> None:
    """Print AP50 and Dice on other images after some images were corrected."""
    rows: list[tuple[str, ...]] = [("set", "head", "images", "AP50", "Dice", "steps")]
    for name in sets:
        train, test = pairs_of(data / name, "train"), pairs_of(data / name, "test")
        for headed in (True, False):
            for count in (0, 1, 2, 4, 8):
                with tempfile.TemporaryDirectory() as folder:
                    store = CheckpointStore(Path(folder))
                    begun = start
                    if not headed:
                        begun = without_head(store, start)
                    steps = 0
                    if count:
                        steps = fine_tune(store, begun, train[:count], seconds)
                    measured = tested(store, "tuned" if steps else begun, test)
                shown = (f"{value:.3f}" for value in measured)
                rows.append((name, "yes" if headed else "no", str(count), *shown, str(steps)))
                print(rows[-1], flush=True)
    table(rows)


def without_head(store: CheckpointStore, start: str) -> str:
    """Save a copy of a checkpoint whose object head is taken off, and return its name."""
    info, network = store.load(start)
    plain = replace(info, id="plain", head="")
    weights = plain.build().state_dict()
    for name, value in network.state_dict().items():
        weights[name] = value[tuple(slice(0, n) for n in weights[name].shape)]
    replayed = (store.path(start) / "replay.npz").read_bytes()
    store.save(plain, weights, replay=replayed)
    return "plain"


def fine_tune(store: CheckpointStore, start: str, pairs: list[Pair], seconds: float) -> int:
    """Fine-tune with the plugin's settings; return the steps, 0 if nothing was saved."""
    request = FineTuneRequest(start, "tuned", Schedule(minutes=seconds / 60), device="cpu", seed=3)
    info = start_info(request, store)
    frames = []
    for number, (image, labels) in enumerate(pairs):
        axes = ImageAxes(guess_axes(image.shape).order)
        frames += image_examples(f"image {number}", image, labels, axes, info)
    request = replace(suggest_settings(request, frames, info), checkpoint=start, name="tuned")
    callbacks = RunCallbacks(clock=processor_seconds)
    with process.keep_freed_memory():
        for event in FineTuner(request, frames, store).run(callbacks=callbacks):
            if not isinstance(event, StepDone):
                print(f"  {len(pairs)} images: {event.text}", file=sys.stderr, flush=True)
    return int(store.info("tuned").settings["steps_done"]) if store.is_taken("tuned") else 0


def tested(store: CheckpointStore, name: str, pairs: list[Pair]) -> tuple[float, float]:
    """Return the mean AP50 and Dice of a checkpoint."""
    segmenter, measured = Segmenter(store), []
    for image, truth in pairs:
        request = SegmentRequest(name, guess_axes(image.shape).order, output="instances")
        found = segmenter.segment(image, request).labels
        objects = instance_scores(found, truth, (0.5,)).ap50
        measured.append((objects, overlap(found > 0, truth > 0).dice))
    ap50, dice = np.mean(measured, 0)
    return float(ap50), float(dice)


def speed() -> None:
    """Print the time from a cached head to objects."""
    y, x = np.mgrid[:2048, :2048]
    image = (np.sin(y / 6) * np.sin(x / 6) + 1) * 100
    result = Segmenter().segment(image.astype(np.uint8), SegmentRequest(START, "YX"))
    taken = []
    for depth in (0.05, 0.08, 0.05, 0.08, 0.05):
        begun = time.perf_counter()
        again = result.relabel(split_depth=depth)
        taken.append(time.perf_counter() - begun)
    print(f"{again.counts.objects} objects of 2,048 x 2,048 pixels in {min(taken) * 1e3:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="of the nuclei's test images")
    parser.add_argument("--ensemble", choices=ENSEMBLES, default="none")
    parser.add_argument("--learn", nargs="+", default=[], metavar="SET")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--start", default=START)
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    if arguments.speed:
        speed()
    elif arguments.learn:
        learn(arguments.data, arguments.learn, arguments.seconds, arguments.start)
    else:
        compare(arguments.data, arguments.every, arguments.ensemble)


if __name__ == "__main__":
    main()
