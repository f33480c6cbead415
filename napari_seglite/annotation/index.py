"""The index of a project: ``project.json``, validated whole when it is read."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AnnotationError, SegliteError
from ..formats import read_json, replacing
from ..images import Corrections, ImageAxes
from .project_image import ClassList, ProjectImage

INDEX, IMAGES = "project.json", "images"
FORMAT = 1
# Bytes.
_LARGEST = 200_000_000
# Numbers of the earlier indexes that are kept, the last one first.
BACKUPS = ("project.1.json", "project.2.json", "project.3.json")

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_LABELS = re.compile(r"labels(-u?int\d+)?\.zarr")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class _StoredImage:
    """A `ProjectImage` as JSON data."""

    key: str
    name: str
    path: str
    axes: str
    corrections: Corrections
    shape: tuple[int, ...]
    labels: str = "labels.zarr"
    checkpoint: str = ""
    channels: tuple[int, ...] | None = None
    spacing: tuple[float, ...] = ()
    unit: str = "pixel"
    units: tuple[str, ...] = ()
    origin: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key) or not names_labels(self.labels):
            raise ValueError(f"{self.key!r} and {self.labels!r} name no folder of the project")
        if "\0" in self.path:
            raise ValueError(f"{self.path!r} is no path")
        try:
            axes = ImageAxes(ImageAxes(self.axes).labels)
        except SegliteError as error:
            raise ValueError(str(error)) from error
        frames, height, width = self.corrections.shape
        sizes = (frames, height, width, *self.shape)
        if len(self.shape) != len(axes.order) or min(sizes) < 1 or max(sizes) > 2**31:
            raise ValueError(f"the shape {self.shape} does not fit the axes {self.axes}")
        if (axes.frame_count(self.shape), *axes.frame_shape(self.shape)) != (frames, height, width):
            raise ValueError(f"the corrections do not fit labels of the shape {self.shape}")
        for region in self.corrections.regions:
            if not 0 <= region.frame < frames or region.box.bottom > height:
                raise ValueError(f"the region {tuple(region.box)} lies outside of the labels")
            if region.box.right > width:
                raise ValueError(f"the region {tuple(region.box)} lies outside of the labels")
        if any(not math.isfinite(size) or size <= 0 for size in self.spacing):
            raise ValueError(f"pixels have no size of {self.spacing}")
        if len(self.units) not in (0, len(axes.order)) or not all(map(math.isfinite, self.origin)):
            raise ValueError(f"pixels have no place {self.origin} in {self.units}")
        if self.channels is not None and (not self.channels or min(self.channels) < 0):
            raise ValueError(f"there are no channels {self.channels}")


@dataclass(frozen=True)
class _StoredProject:
    """The whole index."""

    class_names: tuple[str, ...]
    class_colours: tuple[str, ...]
    created: str
    images: tuple[_StoredImage, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.class_names) <= 1000:
            raise ValueError("a project has a background and 1 to 999 classes")
        if not all(map(_COLOUR.fullmatch, self.class_colours)):
            raise ValueError(f"{self.class_colours} are not all colours")
        if len({image.key for image in self.images}) < len(self.images):
            raise ValueError("two images have the same key")


@dataclass(frozen=True)
class _Format:
    format: int


def read(folder: Path, name: str = INDEX) -> tuple[ClassList, list[ProjectImage]]:
    """Read the index of a project.

    Parameters
    ----------
    folder : Path
        Of the project.
    name : str
        Of the file.

    Raises
    ------
    AnnotationError
        If it is missing or not valid, or a newer version wrote it.
    """
    path = folder / name
    if read_json(path, _Format, _LARGEST, AnnotationError).format > FORMAT:
        raise AnnotationError(
            f"The project {folder} was written by a newer version of SegLite. Update SegLite to "
            "open it."
        )
    stored = read_json(path, _StoredProject, _LARGEST, AnnotationError)
    images = []
    for entry in stored.images:
        fields = {**vars(entry), "axes": ImageAxes(entry.axes)}
        fields["path"] = _absolute(folder, entry.path)
        images.append(ProjectImage(**fields))
    return ClassList(stored.class_names, stored.class_colours, stored.created), images


def write(folder: Path, classes: ClassList, images: Iterable[ProjectImage]) -> None:
    """Write the index of a project.

    Raises
    ------
    OSError
        If it cannot be written; the one before stays.
    """
    entries = [image.as_dict() for image in images]
    for entry in entries:
        entry["path"] = _relative(folder, entry["path"])
    with replacing(folder / INDEX) as scratch:
        scratch.write_text(as_json(classes, entries), "utf-8")


def as_json(classes: ClassList, entries: Sequence[dict[str, Any]]) -> str:
    """Return the text of an index, given plain JSON data of images."""
    data = {
        "format": FORMAT,
        "created": classes.created,
        "class_names": list(classes.class_names),
        "class_colours": list(classes.class_colours),
        "images": entries,
    }
    return json.dumps(data, indent=1)


def names_labels(name: str) -> bool:
    """Whether a folder of this name in an image's folder holds labels."""
    return _LABELS.fullmatch(name) is not None


def back_up(folder: Path) -> None:
    """Keep a copy of a valid index, and drop the oldest of `BACKUPS`."""
    newest = folder / BACKUPS[0]
    index = folder / INDEX
    if newest.is_file() and newest.read_bytes() == index.read_bytes():
        return
    for older, newer in zip(BACKUPS[:0:-1], BACKUPS[-2::-1], strict=True):
        if (folder / newer).is_file():
            os.replace(folder / newer, folder / older)
    with replacing(newest) as scratch:
        shutil.copyfile(index, scratch)


def _relative(folder: Path, path: str) -> str:
    """Return the path of a file beside the project relative to it, so that both can move."""
    beside = path and Path(path).is_absolute() and Path(path).is_relative_to(folder.parent)
    return os.path.relpath(path, folder) if beside else path


def _absolute(folder: Path, path: str) -> str:
    """Return the path of an image's file; copies inside the project stay relative to it."""
    if not path or Path(path).is_absolute():
        return path
    whole = Path(os.path.normpath(folder / path))
    return path if whole.is_relative_to(folder / IMAGES) else str(whole)
