"""``seglite export``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import ImageError, SegliteError
from ..formats import read_image, read_labels, read_write, write_coco, write_rois, write_table
from ..labels import measure
from .evaluate import stem


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    text = "Write labels with one number an object as ImageJ regions, COCO or a table."
    parser = commands.add_parser("export", help=text, description=text)
    parser.add_argument("labels", nargs="+", type=Path, metavar="LABELS")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--rois", action="store_true", help="<stem>_rois.zip for ImageJ")
    parser.add_argument("--coco", action="store_true", help="coco.json for all flat images")
    parser.add_argument("--table", action="store_true", help="<stem>_objects.csv")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="for intensities in the table; matched by stem"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export every file; a bad one is reported and the rest go on."""
    if not (arguments.rois or arguments.coco or arguments.table):
        raise SegliteError("Say what to write: --rois, --coco, --table, or several of them.")
    failed, flat = 0, {}
    for path in arguments.labels:
        try:
            labels = read_labels(path)
            for target in _export(path, labels, arguments):
                print(target)
            if arguments.coco:
                if labels.ndim != 2:
                    raise ImageError(f"{path}: COCO holds flat images, not stacks.")
                flat[path.name] = labels
        except SegliteError as error:
            failed += 1
            print(f"seglite: {error}", file=sys.stderr)
    if flat:
        target = arguments.output / "coco.json"
        write_coco(target, flat)
        print(target)
    return 1 if failed else 0


def _export(path: Path, labels: Any, arguments: argparse.Namespace) -> list[Path]:
    written = []
    if arguments.rois:
        written.append(arguments.output / f"{stem(path)}_rois.zip")
        write_rois(written[-1], labels)
    if arguments.table:
        file = read_image(path)
        image: Any = None
        if arguments.images:
            found = [
                p for p in sorted(arguments.images.iterdir()) if read_write.stem(p) == stem(path)
            ]
            if not found:
                raise ImageError(f"{path}: there is no image of its name in {arguments.images}.")
            image = read_image(found[0]).array
            if image.shape[: labels.ndim] != labels.shape:
                raise ImageError(f"{found[0]} and {path} differ in shape.")
        written.append(arguments.output / f"{stem(path)}_objects.csv")
        write_table(written[-1], measure(labels, image, file.spacing))
    return written
