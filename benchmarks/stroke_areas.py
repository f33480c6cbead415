"""Dice after fine-tuning from a few strokes, by what counts as true around a stroke.

    python benchmarks/stroke_areas.py DATA [--sets NAME ...] [--steps 60] [--rows FILE]

The scripted user of `correction_loop.py` looks at the first prediction of some slices and corrects
only its largest errors, one stroke each; smaller ones stay. The same strokes are then learnt in
several ways, in the same number of steps and with the settings that the plugin suggests. The last
weights are scored, better or not, as in live learning:

``whole``
    The whole slice counts as true, wrong pixels that nobody looked at included.
``tiles 1``, ``tiles 2``, ``tiles 4``
    Square tiles around the strokes count, of one, two or four times the median diameter of objects.
``confident``
    Painted pixels count, and those whose predicted probability is under 0.1 or over 0.9.

The score is Dice on slices of the training part that nobody corrected. Rows that are in the file
already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import table
from correction_loop import (
    STARTS,
    Slice,
    asked,
    chosen,
    network_dice,
    read,
)

from napari_seglite import CheckpointStore, FineTuner, Segmenter, SegmentRequest
from napari_seglite.images import TILES, Box, Corrections
from napari_seglite.labels import object_diameter
from napari_seglite.runtime import process
from napari_seglite.training import image_examples, suggest_settings

POLICIES = ("whole", "tiles 1", "tiles 2", "tiles 4", "confident")
# Slices, and strokes on each.
EFFORTS = ((1, 1), (1, 5), (4, 5), (4, 20))
# Pixels that a stroke reaches along each side.
REACH = 48
CONFIDENT = 0.9
# Slices that score, at most.
SCORED = 6


def strokes_of(labels: np.ndarray, truth: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the largest errors of labels, each a mask that one stroke paints over.

    Parameters
    ----------
    labels, truth : ndarray
        ``(H, W)``.
    count : int
        Number of strokes at most.
    """
    from skimage.measure import label, regionprops

    rows, columns = np.indices(truth.shape) // REACH
    cells = rows * (columns.max() + 1) + columns + 1
    errors = label(np.where(labels != truth, cells, 0))
    largest = sorted(regionprops(errors), key=lambda region: -region.area)[:count]
    return [errors == region.label for region in largest if region.area > 8]


def counting(
    policy: str, labels: np.ndarray, probability: np.ndarray, strokes: list[np.ndarray]
) -> np.ndarray:
    """Return where corrected labels count as true: a float32 mask.

    Parameters
    ----------
    policy : str
        One of `POLICIES`.
    labels : ndarray
        ``(H, W)``, with the strokes.
    probability : ndarray
        ``(H, W)``, the largest of any class.
    strokes : list of ndarray
        Masks of the painted pixels.
    """
    if policy == "whole":
        return np.ones(labels.shape, np.float32)
    if policy == "confident":
        painted = np.logical_or.reduce(strokes)
        return np.asarray(painted | (probability > CONFIDENT), np.float32)
    side = round((object_diameter(labels) or 0) * int(policy.split()[1]))
    corrections = Corrections((1, *labels.shape), tile=min(max(side, TILES[0]), TILES[1]))
    for stroke in strokes:
        y, x = np.nonzero(stroke)
        box = Box(int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1)
        corrections = corrections.touch(0, box)
    return corrections.inside(0).astype(np.float32)


def measured(
    start: str,
    train: list[Slice],
    effort: tuple[int, int],
    policy: str,
    steps: int,
) -> dict[str, Any]:
    """Correct, fine-tune and score; return one row.

    Parameters
    ----------
    start : str
        Checkpoint that predicts first.
    train : list of Slice
        Some are corrected; some of the others score.
    effort : tuple of int
        Number of slices, and of strokes on each.
    policy : str
        One of `POLICIES`.
    steps : int
        Of training.
    """
    slices = chosen(train, effort[0])
    test = chosen([s for s in train if all(s is not other for other in slices)], SCORED)
    with tempfile.TemporaryDirectory() as scratch:
        store = CheckpointStore(Path(scratch) / "checkpoints")
        request, info = asked(start, "learnt", slices, store, 600)
        images, painted = [], 0
        for s in slices:
            result = Segmenter(store).segment(
                s.pixels, SegmentRequest(start, s.axes.order, device="cpu")
            )
            labels = np.asarray(result.labels)
            labels = (labels > 0).astype(np.uint8) if s.truth.max() == 1 else labels
            p = np.asarray(result.probabilities[0], np.float32)
            probability = np.maximum(p[0], 1 - p[0]) if len(p) == 1 else p.max(0)
            strokes = strokes_of(labels, s.truth, effort[1])
            if not strokes:
                continue
            painted += len(strokes)
            for stroke in strokes:
                labels = np.where(stroke, s.truth, labels)
            weight = counting(policy, labels, probability, strokes)
            images += [
                replace(image, weight=None if weight.all() else weight)
                for image in image_examples(s.name, s.pixels, labels, s.axes, info)
            ]
        request = suggest_settings(request, images, info).adjusted(
            steps=steps, validate_every=steps, folds=1, keep_best=False, keep_unimproved=True
        )
        with process.keep_freed_memory():
            list(FineTuner(request, images, store).run())
        return {
            "slices": effort[0],
            "strokes": painted,
            "policy": policy,
            "before": network_dice(start, test, store),
            "after": network_dice("learnt", test, store),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["nuclei", "retina-vessels", "em-membranes"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rows", type=Path, help="file to continue")
    arguments = parser.parse_args()
    text = arguments.rows.read_text() if arguments.rows and arguments.rows.is_file() else ""
    rows = {tuple(row["key"]): row for row in map(json.loads, text.splitlines())}
    for name in arguments.sets:
        train = read(arguments.data / name, "train")
        for effort in EFFORTS:
            for policy in POLICIES:
                key = (name, *effort, policy)
                if key in rows:
                    continue
                row = measured(STARTS[name], train, effort, policy, arguments.steps)
                rows[key] = {"key": key, **row}
                print(json.dumps(rows[key]), file=sys.stderr, flush=True)
                if arguments.rows:
                    with arguments.rows.open("a") as file:
                        print(json.dumps(rows[key]), file=file)
    shown: list[tuple[str, ...]] = [("set", "slices", "strokes", "before", *POLICIES)]
    for name in arguments.sets:
        for effort in EFFORTS:
            found = [rows[name, *effort, policy] for policy in POLICIES]
            numbers = (str(found[0]["slices"]), str(found[0]["strokes"]))
            scores = (f"{row['after']:.3f}" for row in found)
            shown.append((name, *numbers, f"{found[0]['before']:.3f}", *scores))
    table(shown)


if __name__ == "__main__":
    main()
