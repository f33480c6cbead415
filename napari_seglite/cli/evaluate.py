"""``seglite evaluate``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.metrics import Overlap, overlap, overlap_per_class
from ..errors import AnnotationError, ImageError
from ..store.images import list_images, read_labels


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    text = "Compare predicted labels with true ones: Dice and IoU, per image and on average."
    parser = commands.add_parser("evaluate", help=text, description=text)
    parser.add_argument("--predictions", required=True, type=Path, metavar="DIR")
    parser.add_argument("--labels", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--per-class",
        action="store_true",
        help="average over classes, instead of all above 0 as one",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate every pair of files; what has no partner is named, and left out."""
    scores, alone = compare_folders(arguments.predictions, arguments.labels, arguments.per_class)
    for path in alone:
        print(f"seglite: {path}: no file of that name on the other side, left out", file=sys.stderr)
    mean = Overlap(
        float(np.mean([s.dice for s in scores.values()])),
        float(np.mean([s.iou for s in scores.values()])),
    )
    if arguments.json:
        images = [{"name": name, "dice": s.dice, "iou": s.iou} for name, s in scores.items()]
        print(
            json.dumps({"mean": {"dice": mean.dice, "iou": mean.iou}, "images": images}, indent=2)
        )
        return 0
    width = max(4, *(len(name) for name in scores))
    print(f"{'IMAGE':{width}}   DICE    IOU")
    for name, score in [*scores.items(), ("MEAN", mean)]:
        print(f"{name:{width}}  {score.dice:.3f}  {score.iou:.3f}")
    return 0


def stem(path: Path) -> str:
    """Return the name that predictions and labels are matched by."""
    return path.stem.removesuffix("_labels")


def compare_folders(
    predictions: Path, labels: Path, per_class: bool = False
) -> tuple[dict[str, Overlap], list[Path]]:
    """Score the files of one folder against those of another, by stem.

    Returns
    -------
    tuple
        Scores by stem, and the files without a partner.

    Raises
    ------
    AnnotationError
        If no two files belong together, or two shapes differ.
    ImageError
        If a folder or file cannot be read.
    """
    predicted, truths = _by_stem(predictions), _by_stem(labels)
    both = predicted.keys() & truths.keys()
    if not both:
        raise AnnotationError(f"No file in {predictions} has the name of one in {labels}.")
    compare = overlap_per_class if per_class else overlap
    scores = {}
    for name in sorted(both):
        try:
            scores[name] = compare(read_labels(predicted[name]), read_labels(truths[name]))
        except ValueError as error:
            raise AnnotationError(f"{predicted[name]}: {error}") from error
    alone = [d[name] for d in (predicted, truths) for name in sorted(d) if name not in both]
    return scores, alone


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if stem(path) in found:
            raise ImageError(f"{folder}: {found[stem(path)].name} and {path.name} share one name.")
        found[stem(path)] = path
    return found
