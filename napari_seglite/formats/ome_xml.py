"""OME metadata: the images they describe, and the calibration of each."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ..errors import ImageError
from ..images import convert
from .stated import Stated, interval
from .tiff_checks import check_text

# A TIFF page takes at least this many bytes of a file.
_SMALLEST_PAGE = 50


@dataclass(frozen=True)
class OmeImage:
    """An image that OME metadata describe.

    Attributes
    ----------
    name : str
        Empty if there is none.
    planes : int
        Number of its 2-D planes, each a page of a TIFF.
    files : tuple of str
        Names of the files that its pages are in, as far as they are said.
    stated : Stated
        Its calibration and channels.
    """

    name: str
    planes: int
    files: tuple[str, ...]
    stated: Stated


@dataclass(frozen=True)
class Ome:
    """What an OME document says.

    Attributes
    ----------
    images : tuple of OmeImage
        Those that have pixels in a TIFF.
    elsewhere : str or None
        Name of the file that holds the metadata, if this is one part of a set.
    """

    images: tuple[OmeImage, ...] = ()
    elsewhere: str | None = None


def parse(text: str) -> Ome:
    """Return what OME metadata say.

    Raises
    ------
    ImageError
        If they are no OME document.
    """
    check_text(text)
    try:
        root = ET.fromstring(text)
        for element in root:
            if _tag(element) == "BinaryOnly":
                return Ome(elsewhere=element.attrib.get("MetadataFile", ""))
        found = [_image(element) for element in root if _tag(element) == "Image"]
    except (ET.ParseError, ValueError, KeyError) as error:
        raise ImageError(f"its OME metadata are damaged ({error!r:.200}).") from error
    return Ome(tuple(image for image in found if image is not None))


def check_claims(images: Sequence[OmeImage], path: Path, pages: int) -> None:
    """Raise `ImageError` if the files of a set cannot hold the images that are described.

    Parameters
    ----------
    images : sequence of OmeImage
        All that the metadata describe.
    path : Path
        Of the file that is read.
    pages : int
        Number of its pages.
    """
    names = {name for image in images for name in image.files}
    others = sorted(names - {path.name})
    missing = [name for name in others if not (path.parent / name).is_file()]
    if missing and not renamed(images, path):
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise ImageError(
            f"its images are in several files, and {missing[0]}{more} is not beside it. Put all "
            "files of the set into one folder."
        )
    planes = sum(image.planes for image in images)
    there = [path.parent / name for name in others if name not in missing]
    if not there and planes > pages:
        raise ImageError(
            f"its OME metadata say {planes:,} images, and the file holds {pages:,}: it is "
            "incomplete."
        )
    size = sum(os.path.getsize(file) for file in (path, *there))
    if planes * _SMALLEST_PAGE > size:
        raise ImageError(
            f"its OME metadata say {planes:,} images, and the files of the set are too small for "
            "so many: they are damaged or incomplete."
        )


def renamed(images: Sequence[OmeImage], path: Path) -> bool:
    """Whether all images are in one file, which now has the name `path`."""
    names = {name for image in images for name in image.files}
    return len(names) == 1 and path.name not in names


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: Any, tag: str) -> list[Any]:
    return [child for child in element if _tag(child) == tag]


def _image(element: Any) -> OmeImage | None:
    """Return an image of the document; None if it has no pixels in a TIFF."""
    pixels = next(iter(_children(element, "Pixels")), None)
    if pixels is None or not _children(pixels, "TiffData"):
        return None
    counts = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "XYZCT"}
    if min(counts.values()) < 1:
        raise ImageError(f"its OME metadata state a size of {min(counts.values())} pixels.")
    channels = _children(pixels, "Channel")
    samples = int(channels[0].attrib.get("SamplesPerPixel", 1)) if channels else 1
    planes = counts["Z"] * counts["T"] * max(counts["C"] // max(samples, 1), 1)
    files: dict[str, None] = {}
    for data in _children(pixels, "TiffData"):
        stored = int(data.attrib.get("PlaneCount", data.attrib.get("NumPlanes", 0)))
        if not 0 <= stored <= planes or int(data.attrib.get("IFD", 0)) < 0:
            raise ImageError(f"its OME metadata put {stored:,} of {planes:,} images in one place.")
        for uuid in _children(data, "UUID"):
            if uuid.attrib.get("FileName"):
                # Only files beside this one: a path could lead anywhere.
                files[os.path.basename(uuid.attrib["FileName"].replace("\\", "/"))] = None
    stated = _stated(pixels, counts)
    names = tuple(channel.attrib.get("Name", "") for channel in channels)
    if samples == 1 and any(names):
        stated = replace(stated, channels=names)
    return OmeImage(element.attrib.get("Name", ""), planes, tuple(files), stated)


def _stated(pixels: Any, counts: dict[str, int]) -> Stated:
    """Return the calibration of an image."""
    said = pixels.attrib
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    notices: tuple[str, ...] = ()
    for axis in "XYZ":
        if f"PhysicalSize{axis}" in said:
            sizes[axis] = float(said[f"PhysicalSize{axis}"])
            units[axis] = said.get(f"PhysicalSize{axis}Unit", "um")
    if "TimeIncrement" in said:
        sizes["T"], units["T"] = (
            float(said["TimeIncrement"]),
            said.get("TimeIncrementUnit", "s"),
        )
    elif counts["T"] > 1:
        step, notices = _plane_interval(pixels)
        if step is not None:
            sizes["T"], units["T"] = step, "s"
    return Stated(sizes, units, notices=notices)


def _plane_interval(pixels: Any) -> tuple[float | None, tuple[str, ...]]:
    """Return the seconds between the first planes of all time points."""
    times: dict[int, float] = {}
    for plane in _children(pixels, "Plane"):
        said = plane.attrib
        if "DeltaT" not in said or said.get("TheZ", "0") != "0" or said.get("TheC", "0") != "0":
            continue
        seconds = convert(float(said["DeltaT"]), said.get("DeltaTUnit", "s"), "s")
        if seconds is not None and math.isfinite(seconds):
            times[int(said.get("TheT", 0))] = seconds
    if len(times) < 2 or sorted(times) != list(range(len(times))):
        return None, ()
    return interval([times[k] for k in range(len(times))])
