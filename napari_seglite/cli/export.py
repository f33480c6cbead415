"""``seglite export``."""

from __future__ import annotations

import argparse
import glob
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError, SegliteError, reason
from ..formats import (
    CocoAnnotations,
    check_folder,
    is_zarr,
    known_recipe,
    list_images,
    named_as_labels,
    pair_stem,
    read_image,
    read_label_file,
    stem,
    suffix,
    write_rois,
    write_table,
)
from ..images import UNKNOWN, Grid
from ..labels import (
    connected_parts,
    frame_interval,
    in_order,
    mask_parts,
    measure_series,
    pixel_sizes,
)
from .parsing import Commands

if TYPE_CHECKING:
    import pandas as pd


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Write labels with one number per object as ImageJ regions, COCO or a table."
    parser = commands.add_parser("export", help=text, description=text)
    parser.add_argument(
        "labels",
        nargs="+",
        type=Path,
        metavar="LABELS",
        help="files, folders of label files, or patterns",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--rois", action="store_true", help="<stem>_rois.zip for ImageJ")
    parser.add_argument(
        "--coco", action="store_true", help="coco.json for all; an entry per frame of stacks"
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="<stem>_objects.csv; a row per object and time point, in the unit of the file",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="images, matched by stem: for intensities in the table, and names in COCO",
    )
    parser.add_argument(
        "--parts",
        action="store_true",
        help="take each connected part of a number as an object, as in masks of one value",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export every file; a file that fails is reported and the others continue."""
    if not (arguments.rois or arguments.coco or arguments.table):
        raise SegliteError("Say what to write: --rois, --coco, --table, or several of them.")
    check_folder(arguments.output)
    _images_in.cache_clear()
    if arguments.images:
        _images_in(arguments.images)  # a missing folder is one error, not one per file
    results, annotations = _Results(arguments.output), CocoAnnotations()
    for path in _label_files(arguments.labels):
        with results.of(path):
            labels = _read(path, arguments.parts)
            if arguments.rois:
                with results.of(path), results.file(f"{pair_stem(path)}_rois.zip") as target:
                    write_rois(target, labels.array, labels.axes)
            if arguments.table:
                with results.of(path), results.file(f"{pair_stem(path)}_objects.csv") as target:
                    image = _image_of(path, arguments.images) if arguments.images else None
                    write_table(target, _table(labels, image))
            if arguments.coco:
                name = _image_name(path, _image_of(path, arguments.images))
                annotations.add(name, labels.array, labels.axes)
    if annotations.data["images"]:
        with results.of(arguments.output), results.file("coco.json") as target:
            annotations.write(target)
    return int(results.failed)


@dataclass(frozen=True)
class _Labels:
    """Labels of a file, with their axes in the order of TZYX."""

    path: Path
    array: np.ndarray
    axes: str
    grid: Grid


class _Results:
    """The files that were written into a folder, and whether anything failed."""

    def __init__(self, folder: Path) -> None:
        self.failed = False
        self._folder = folder
        self._written: set[Path] = set()

    @contextmanager
    def of(self, path: Path) -> Iterator[None]:
        """Report whatever fails for a file, so that the others go on."""
        try:
            yield
        except BrokenPipeError:  # nobody reads what was written
            raise
        except Exception as error:
            self.failed = True
            _say(reason(error, path))

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Yield the path of a file to write, once it is known that it can be; then print it."""
        target = self._folder / name
        if target in self._written:
            raise SegliteError(f"Another file of this call has written {target}. Rename one.")
        if target.is_dir():
            raise SegliteError(f"{target} is a folder. Choose another folder for the results.")
        yield target
        self._written.add(target)
        print(target)


def _say(text: str) -> None:
    print(f"seglite: {text}", file=sys.stderr)


def _label_files(names: Iterable[Path]) -> list[Path]:
    """Return the label files that files, folders and patterns stand for."""
    found: dict[Path, None] = {}
    for name in names:
        if name.is_dir() and not is_zarr(name) and suffix(name) != ".zarr":
            inside = list_images(name)
            # Of a folder of images and their labels, the labels.
            found |= dict.fromkeys(list(filter(named_as_labels, inside)) or inside)
        elif not name.exists() and glob.has_magic(str(name)):
            found |= dict.fromkeys(
                [Path(match) for match in sorted(glob.glob(str(name)))] or [name]
            )
        else:
            found[name] = None
    return list(found)


def _read(path: Path, parts: bool) -> _Labels:
    """Read labels, and take the parts of a mask as objects where it is one, or if told so."""
    image = read_label_file(path)
    for notice in image.notices:
        _say(f"{path}: {notice}")
    labels, axes = in_order(np.asarray(image.array), image.axes.labels)
    value, separate = mask_parts(labels, axes)
    if parts:
        labels = connected_parts(labels, axes)
    elif separate is not None:
        # In masks white is the largest value; 1 may as well be the only object of an image.
        white = labels.dtype == bool or value in (255, _largest(labels.dtype))
        labels = separate if white else labels
        done = "each is an object" if white else "they are one object; --parts separates them"
        count = f"in {separate.max()} connected parts"
        _say(f"{path}: it holds one value only, {value}, {count}; {done}")
    return _Labels(path, labels, axes, image.grid)


def _largest(dtype: np.dtype[Any]) -> int:
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 1


def _image_of(path: Path, folder: Path | None) -> Path | None:
    """Return the image that labels belong to, in a folder or else beside them; None if unknown.

    Raises
    ------
    ImageError
        If there is none in the folder, or several of its name.
    """
    name = pair_stem(path)
    found = [p for p in _images_in(folder or path.parent) if stem(p) in (name, f"{name}_0000")]
    found = [p for p in found if p != path]
    if len(found) > 1:  # the labels may know their image by its whole name
        found = [p for p in found if p.name == known_recipe(path).get("image")] or found
    if len(found) > 1:
        raise ImageError(f"{path}: {found[0]} and {found[1].name} both have the name of its image.")
    if not found and folder is not None:
        raise ImageError(f"{path}: there is no image of its name in {folder}.")
    return found[0] if found else None


@cache
def _images_in(folder: Path) -> list[Path]:
    return list_images(folder)


def _image_name(path: Path, image: Path | None) -> str:
    """Return the name of the image that labels belong to, for COCO."""
    if image is not None:
        return image.name
    if known := known_recipe(path).get("image"):
        return str(known)
    name = pair_stem(path) + path.name[len(stem(path)) :]
    _say(f"{path}: its image was not found, so COCO calls it {name}; --images DIR says where it is")
    return name


def _table(labels: _Labels, image: Path | None) -> pd.DataFrame:
    """Measure labels, with intensities if there is an image, in the unit of the file."""
    sizes, unit = pixel_sizes(labels.grid)
    interval, time_unit = frame_interval(labels.grid)
    if unit == UNKNOWN and labels.grid.known:
        _say(f"{labels.path}: the distance of its slices is unknown, so lengths are in pixels")
    spacing = [sizes.get(axis, 1.0) for axis in labels.axes]
    pixels = None if image is None else _pixels(image, labels)
    steps = measure_series(labels.array, pixels, spacing, labels.axes, interval=interval)
    *_, table = deque(steps, maxlen=1)[0]
    table = table.reset_index().assign(length_unit=unit)
    return table.assign(time_unit=time_unit) if time_unit else table


def _pixels(path: Path, labels: _Labels) -> np.ndarray:
    """Read an image with the axes of labels, channels last."""
    image = read_image(path)
    first, second = image.grid.affine, labels.grid.affine
    if first is not None and second is not None and not np.allclose(first, second, atol=1e-3):
        raise ImageError(
            f"{path} and {labels.path} store their voxels in different orders or lie in different "
            "places. Segment the image again, or save the labels in its order."
        )
    own = "".join(axis for axis in "TZYX" if axis in image.axes.order)
    # Where a file does not name its axes, those of the labels are the better guess.
    same = dict(zip(own, labels.axes, strict=True)) if len(own) == len(labels.axes) else {}
    order = "".join(same.get(axis, axis) for axis in image.axes.order)
    if set(labels.axes) <= set(order):
        letters = labels.axes + "C" * ("C" in order)
        pixels = np.asarray(image.array).transpose([order.index(axis) for axis in letters])
        if pixels.shape[: len(labels.axes)] == labels.array.shape:
            return pixels
    raise ImageError(f"{path} and {labels.path} differ in shape.")
