"""``seglite evaluate``."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AnnotationError, ImageError
from ..formats import list_images, read_labels, read_write
from ..labels import instance_scores, mask_scores, overlap, overlap_per_class

Scores = dict[str, float]


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    text = "Compare predicted labels with true ones, per image and on average."
    parser = commands.add_parser("evaluate", help=text, description=text)
    parser.add_argument("--predictions", required=True, type=Path, metavar="DIR")
    parser.add_argument("--labels", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--per-class",
        action="store_true",
        help="average over classes, instead of all above 0 as one",
    )
    parser.add_argument(
        "--distances",
        action="store_true",
        help="also sensitivity, precision, 95%% Hausdorff and average surface distance",
    )
    parser.add_argument(
        "--instances",
        action="store_true",
        help="also F1 at IoU 0.5 to 0.9, AP50 and AJI of objects, one label each",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate every pair of files; what has no partner is named, and left out."""
    scores, alone = compare_folders(
        arguments.predictions,
        arguments.labels,
        arguments.per_class,
        arguments.distances,
        arguments.instances,
    )
    for path in alone:
        print(f"seglite: {path}: no file of that name on the other side, left out", file=sys.stderr)
    mean = _mean(list(scores.values()))
    if arguments.json:
        read_write = [{"name": name, **_plain(s)} for name, s in scores.items()]
        print(json.dumps({"mean": _plain(mean), "images": read_write}, indent=2))
    elif arguments.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(["image", *mean])
        writer.writerows([name, *s.values()] for name, s in scores.items())
        writer.writerow(["mean", *mean.values()])
    else:
        width = max(4, *(len(name) for name in scores))
        print("  ".join([f"{'IMAGE':{width}}", *(f"{key.upper():>5}" for key in mean)]))
        for name, row in [*scores.items(), ("MEAN", mean)]:
            cells = [f"{value:{max(5, len(key))}.3f}" for key, value in row.items()]
            print("  ".join([f"{name:{width}}", *cells]))
    return 0


def _mean(rows: list[Scores]) -> Scores:
    """Average every score over the images that have it."""
    mean = {}
    for key in rows[0]:
        values = [row[key] for row in rows if math.isfinite(row[key])]
        mean[key] = float(np.mean(values)) if values else math.nan
    return mean


def _plain(scores: Scores) -> dict[str, float | None]:
    """Return scores as JSON has them, which knows neither NaN nor infinity."""
    return {key: value if math.isfinite(value) else None for key, value in scores.items()}


def stem(path: Path) -> str:
    """Return the name that predictions and labels are matched by."""
    return read_write.stem(path).removesuffix("_labels")


def compare_folders(
    predictions: Path,
    labels: Path,
    per_class: bool = False,
    distances: bool = False,
    instances: bool = False,
) -> tuple[dict[str, Scores], list[Path]]:
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
        found, truth = read_labels(predicted[name]), read_labels(truths[name])
        try:
            scores[name] = asdict(compare(found, truth))
            if distances:
                scores[name] |= mask_scores(found, truth).as_dict() | scores[name]
            if instances:
                scores[name] |= instance_scores(found, truth).as_dict()
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
