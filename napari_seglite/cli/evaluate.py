"""``seglite evaluate``."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path

from ..labels import FolderScores, score_folders
from .parsing import Commands
from .tables import print_table


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Compare predicted labels with reference labels, per image and on average."
    parser = commands.add_parser("evaluate", help=text, description=text)
    parser.add_argument("--predictions", required=True, type=Path, metavar="DIR")
    parser.add_argument("--labels", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--per-class",
        action="store_true",
        help="average over classes; otherwise all labels above 0 count as one",
    )
    parser.add_argument(
        "--distances",
        action="store_true",
        help="also sensitivity, precision, 95%% Hausdorff and average surface distance",
    )
    parser.add_argument(
        "--instances",
        action="store_true",
        help="also F1 at IoU 0.5 to 0.9, AP50 and AJI of objects; one label per object",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate every pair of files; files without a partner are named and left out."""
    scores = score_folders(
        arguments.predictions,
        arguments.labels,
        arguments.per_class,
        arguments.distances,
        arguments.instances,
    )
    for path in scores.unpaired:
        print(f"seglite: {path}: no file of that name on the other side, left out", file=sys.stderr)
    if arguments.json:
        _print_json(scores)
    elif arguments.csv:
        _print_csv(scores)
    else:
        mean = scores.mean()
        rows = [["IMAGE", *(name.upper() for name in mean)]]
        for image, values in [*scores.images.items(), ("MEAN", mean)]:
            rows.append([image, *(f"{value:.3f}" for value in values.values())])
        print_table(rows, numeric=True)
    return 0


def _print_json(scores: FolderScores) -> None:
    images = [{"name": name, **_finite(values)} for name, values in scores.images.items()]
    print(json.dumps({"mean": _finite(scores.mean()), "images": images}, indent=2))


def _finite(scores: dict[str, float]) -> dict[str, float | None]:
    """Replace NaN and infinity, which JSON does not have, by null."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def _print_csv(scores: FolderScores) -> None:
    mean = scores.mean()
    writer = csv.writer(sys.stdout)
    writer.writerow(["image", *mean])
    writer.writerows([name, *values.values()] for name, values in scores.images.items())
    writer.writerow(["mean", *mean.values()])
