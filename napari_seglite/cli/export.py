"""``seglite export``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from ..errors import ImageError, SegliteError
from ..formats import (
    pair_stem,
    read_image,
    read_labels,
    stem,
    write_coco,
    write_rois,
    write_table,
)
from ..labels import measure
from .parsing import Commands


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Write labels with one number per object as ImageJ regions, COCO or a table."
    parser = commands.add_parser("export", help=text, description=text)
    parser.add_argument("labels", nargs="+", type=Path, metavar="LABELS")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--rois", action="store_true", help="<stem>_rois.zip for ImageJ")
    parser.add_argument("--coco", action="store_true", help="coco.json for all flat images")
    parser.add_argument("--table", action="store_true", help="<stem>_objects.csv")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="images for intensities in the table, matched by stem",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export every file; a file that fails is reported and the others continue."""
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


def _export(path: Path, labels: np.ndarray, arguments: argparse.Namespace) -> list[Path]:
    """Write the files of one label file and return their paths."""
    written = []
    if arguments.rois:
        written.append(arguments.output / f"{pair_stem(path)}_rois.zip")
        write_rois(written[-1], labels)
    if arguments.table:
        image = _image_of(path, labels, arguments.images) if arguments.images else None
        written.append(arguments.output / f"{pair_stem(path)}_objects.csv")
        write_table(written[-1], measure(labels, image, read_image(path).spacing))
    return written


def _image_of(path: Path, labels: np.ndarray, folder: Path) -> np.ndarray:
    """Read the image in a folder that labels belong to."""
    images = [image for image in sorted(folder.iterdir()) if stem(image) == pair_stem(path)]
    if not images:
        raise ImageError(f"{path}: there is no image of its name in {folder}.")
    image = read_image(images[0]).array
    if image.shape[: labels.ndim] != labels.shape:
        raise ImageError(f"{images[0]} and {path} differ in shape.")
    return np.asarray(image)
