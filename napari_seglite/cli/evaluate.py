"""``seglite evaluate``."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

from ..labels import FolderScores, Scores, score_folders
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
        help="also sensitivity, precision, 95%% Hausdorff and average surface distance, in the "
        "unit of the files, or in pixels",
    )
    parser.add_argument(
        "--instances",
        action="store_true",
        help="also F1 at IoU 0.5 to 0.9, AP50 and AJI of objects; one label per object, or a mask, "
        "whose connected parts are the objects",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate every pair of files; one that fails is reported and the others are scored.

    Files without a partner are named and left out.
    """
    scores = score_folders(
        arguments.predictions,
        arguments.labels,
        arguments.per_class,
        arguments.distances,
        arguments.instances,
    )
    for path in scores.unpaired:
        print(f"seglite: {path}: no file of that name on the other side, left out", file=sys.stderr)
    for text in (*scores.notices, *scores.failed.values()):
        print(f"seglite: {text}", file=sys.stderr)
    if arguments.distances and scores.images and not scores.unit:
        text = "only some files have a pixel size, so there is no mean of distances"
        print(f"seglite: {text}", file=sys.stderr)
    if arguments.json:
        _print_json(scores)
    elif arguments.csv:
        _print_csv(scores)
    elif scores.images:
        _print_table(scores)
    return 1 if scores.failed else 0


def _print_table(scores: FolderScores) -> None:
    mean = scores.mean()
    rows = [["IMAGE", *(name.upper() for name in mean), *(["UNIT"] if scores.units else ())]]
    units = {**scores.units, "MEAN": scores.unit or "-"}
    for image, values in [*scores.images.items(), ("MEAN", mean)]:
        unit = [units[image]] if scores.units else []
        rows.append([image, *(f"{value:.3f}" for value in values.values()), *unit])
    print_table(rows, numeric=True)


def _print_json(scores: FolderScores) -> None:
    def entry(values: Scores, unit: str | None) -> dict[str, float | str | None]:
        return {**_finite(values), **({"unit": unit or None} if scores.units else {})}

    images = [
        {"name": name, **entry(values, scores.units.get(name))}
        for name, values in scores.images.items()
    ]
    result: dict[str, Any] = {"mean": entry(scores.mean(), scores.unit), "images": images}
    if scores.failed:
        result["failed"] = [{"name": name, "error": text} for name, text in scores.failed.items()]
    print(json.dumps(result, indent=2))


def _finite(scores: Scores) -> dict[str, float | None]:
    """Replace NaN and infinity, which JSON does not have, by null."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def _print_csv(scores: FolderScores) -> None:
    mean = scores.mean()
    extra = [*(["unit"] if scores.units else ()), *(["error"] if scores.failed else ())]
    table = csv.DictWriter(sys.stdout, ["image", *mean, *extra], extrasaction="ignore")
    table.writeheader()
    for name, values in scores.images.items():
        table.writerow({"image": name, **values, "unit": scores.units.get(name)})
    for name, text in scores.failed.items():
        table.writerow({"image": name, "error": text})
    table.writerow({"image": "mean", **mean, "unit": scores.unit})
