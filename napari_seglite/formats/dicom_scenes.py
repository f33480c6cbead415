"""The images in DICOM files and folders: which frames belong together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .dicom_frames import Frame, count, frames_of, is_segmentation, read_header

_DIRECTORY = "1.2.840.10008.1.3.10"
# Folders are searched this deep, and for no more files.
_DEPTH, _FILES = 5, 100_000
# Directions that differ by less are the same.
_PARALLEL = 0.02


@dataclass(eq=False)
class Scene:
    """Frames that are one image.

    Attributes
    ----------
    name : str
        Of the series.
    frames : list of Frame
        In no order.
    """

    name: str
    frames: list[Frame]


def is_dicom(path: Path) -> bool:
    """Whether a file without a known ending is DICOM, by its magic."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def find_scenes(path: Path) -> tuple[list[Scene], list[str]]:
    """Return the images in a file or folder, scouts last, and notices.

    A series is one image if its frames have the same size and direction; otherwise it is several.

    Raises
    ------
    ImageError
        If there is none.
    """
    if path.is_dir():
        headers = list(_headers(path))
        if not headers:
            raise ImageError("the folder holds neither a Zarr nor a DICOM image.")
    else:
        headers = [(path, _checked(path, read_header(path)))]
    images = [each for each in headers if not is_segmentation(each[1])]
    notices = []
    if images and len(images) < len(headers):
        notices.append(f"{len(headers) - len(images)} segmentations in the folder were left out.")
    found: list[Scene] = []
    groups: dict[str, list[Scene]] = {}
    for file, header in images or headers:
        alone = count(header) > 1 or is_segmentation(header)
        series = str(header.get("SOPInstanceUID" if alone else "SeriesInstanceUID", ""))
        frames = frames_of(file, header)
        if is_segmentation(header):
            frames = frames[:1]
        for frame in frames:
            scenes = groups.setdefault(series, [])
            fitting = (scene for scene in scenes if _fits(frame, scene.frames[0]))
            scene = next(fitting, None)
            if scene is None:
                scene = Scene(_name(frame), [])
                scenes.append(scene)
                found.append(scene)
            scene.frames.append(frame)
    found.sort(key=_rank)
    return _named(found), notices


def _headers(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the images in a folder and the folders below, with their headers."""
    seen = 0
    for place, folders, files in os.walk(folder):
        below = Path(place)
        folders[:] = sorted(n for n in folders if not n.startswith("."))
        if len(below.relative_to(folder).parts) >= _DEPTH:
            folders.clear()
        for name in sorted(files):
            file = below / name
            if name.startswith(".") or not file.is_file():
                continue
            seen += 1
            if seen > _FILES:
                raise ImageError(f"the folder holds more than {_FILES:,} files.")
            if not is_dicom(file) and file.suffix.lower() != ".dcm":
                continue
            try:
                header = read_header(file)
            except Exception as error:  # pydicom raises anything at all on a damaged file
                raise ImageError(f"{file.name} is damaged or no DICOM ({error}).") from error
            if "Rows" in header:
                yield file, _checked(file, header)


def _checked(file: Path, header: Any) -> Any:
    """Return the header of an image that can be read."""
    kind = header.get("SOPClassUID") or getattr(header, "file_meta", {}).get(
        "MediaStorageSOPClassUID"
    )
    if kind == _DIRECTORY:
        raise ImageError("it is only the list of the files beside it; give the folder of a series.")
    if "Rows" not in header:
        raise ImageError(f"it holds no pixels, but {getattr(kind, 'name', kind)}.")
    if "TotalPixelMatrixColumns" in header:
        raise ImageError(
            f"{file.name} is a slide stored as tiles. Convert it to OME-TIFF, for example with "
            "bfconvert of Bio-Formats."
        )
    return header


def _fits(a: Frame, b: Frame) -> bool:
    """Whether two frames of a series can be of one image."""
    for word in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "Modality"):
        if a.header.get(word) != b.header.get(word):
            return False
    if a.find("StackID") != b.find("StackID") or (a.place is None) != (b.place is None):
        return False
    if a.directions is None or b.directions is None:
        return a.directions is b.directions
    ours, theirs = (np.array(f.find("PixelSpacing") or 0, float) for f in (a, b))
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-3):
        return False
    return bool(np.abs(a.directions - b.directions).max() < _PARALLEL)


def _rank(scene: Scene) -> tuple[bool, int, int]:
    """Return what images are sorted by: scouts last, then the number of the series, large first."""
    header = scene.frames[0].header
    scout = "LOCALIZER" in [str(n).upper() for n in header.get("ImageType") or ()]
    return scout, int(header.get("SeriesNumber") or 0), -len(scene.frames)


def _name(frame: Frame) -> str:
    header = frame.header
    number, text = header.get("SeriesNumber"), str(header.get("SeriesDescription") or "").strip()
    stack = frame.find("StackID")
    name = text or (f"series {number}" if number is not None else frame.file.name)
    return name if stack in (None, "1", 1) else f"{name}, stack {stack}"


def _named(scenes: list[Scene]) -> list[Scene]:
    """Return images with names of which no two are equal."""
    taken: set[str] = set()
    for scene in scenes:
        name, k = scene.name, 1
        while scene.name in taken:
            k += 1
            scene.name = f"{name} ({k})"
        taken.add(scene.name)
    return scenes
