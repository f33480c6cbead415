"""Leica LIF files, which hold many images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile
from .library import library
from .limits import check_in_memory
from .stated import Stated, lay_out, place

_ADVICE = "Convert it to OME-TIFF, which is read piece by piece: bfconvert in.lif out.ome.tif"


def scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a LIF file."""
    with library("liffile").LifFile(path) as file:
        return tuple(name for _, _, name in _images(file))


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read an image of a LIF file.

    Raises
    ------
    ImageError
        If there is none, or its pixels are not all in the file.
    """
    with library("liffile").LifFile(path) as file:
        images = _images(file)
        if not images:
            raise ImageError("the file holds no image.")
        image, where, _ = images[place(scene, (len(images),))[0]]
        layout = lay_out("".join(_letter(dim) for dim in image.dims), image.shape, "M", unsaid="")
        _check(image, path)
        pixels = image.asarray()
        said = stated(image).along(layout.renamed)
    index = iter(where)
    pixels = pixels[
        tuple(next(index) if letter == "?" else slice(None) for letter in layout.letters)
    ]
    letters = layout.letters.replace("?", "")
    names = tuple(name for _, _, name in images)
    return ImageFile.from_levels(
        [pixels],
        letters,
        said.sizes,
        said.units,
        origin=said.origin,
        rgb="S" in image.dims and pixels.shape[-1] == 3,
        channels=said.channels if "C" in letters else (),
        scenes=names if len(names) > 1 else (),
        scene=scene,
        notices=(*layout.notices, *said.notices),
        guesses=layout.guesses,
    )


def _letter(dimension: str) -> str:
    """Return one letter for a dimension of the library."""
    return dimension[0] if dimension[0] != "Q" else "q"  # in LIF, Q is no axis without a meaning


def _images(file: Any) -> list[tuple[Any, tuple[int, ...], str]]:
    """Return the images, the place in each, and their names."""
    found = []
    for image in file.images:
        layout = lay_out("".join(_letter(dim) for dim in image.dims), image.shape, "M", unsaid="")
        counts = tuple(
            n for n, letter in zip(image.shape, layout.letters, strict=True) if letter == "?"
        )
        name = str(getattr(image, "path", None) or image.name)
        for k in range(int(np.prod(counts, dtype=int))):
            title = f"{name}, position {k + 1}" if counts else name
            found.append((image, place(k, counts), title))
    return found


def _check(image: Any, path: Path) -> None:
    """Raise `ImageError` if the pixels do not fit into the memory or are not all in the file."""
    check_in_memory(image.shape, image.dtype, _ADVICE)
    block = image.memory_block
    held = min(int(block.size), max(path.stat().st_size - int(block.offset), 0))
    if block.offset >= 0 and image.nbytes > held:
        raise ImageError(
            f"the image {image.name} should have {image.nbytes:,} bytes, and {held:,} are in the "
            "file: it is incomplete."
        )


def stated(image: Any) -> Stated:
    """Return the calibration and the channels of an image.

    Parameters
    ----------
    image : liffile.LifImage
        Of an open file.
    """
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    origin: dict[str, float] = {}
    for axis in "XYZT":
        places = image.coords.get(axis, ())
        if len(places) > 1:
            sizes[axis] = abs(float(places[1] - places[0])) * (1 if axis == "T" else 1e6)
            units[axis] = "s" if axis == "T" else "um"
            if axis != "T":
                origin[axis] = float(places[0]) * 1e6
    return Stated(sizes, units, origin, channels=_channels(image))


def _channels(image: Any) -> tuple[str, ...]:
    """Return the names of the channels: of the dyes, or else of the colours they are shown in."""
    described = image.xml_element.findall(
        "./Data/Image/ImageDescription/Channels/ChannelDescription"
    )
    names = []
    for channel in described:
        said = {
            str(entry.findtext("Key")): str(entry.findtext("Value"))
            for entry in channel.findall("ChannelProperty")
        }
        names.append(said.get("DyeName") or channel.attrib.get("LUTName", ""))
    return tuple(names) if all(names) else ()
