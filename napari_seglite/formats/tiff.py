"""TIFF: plain, ImageJ, OME, LSM and other microscopes', slides and pyramids."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import ArrayLike
from . import ome_xml
from .image_file import ImageFile
from .limits import check_in_memory
from .pictures import turned
from .stated import Layout, Stated, lay_out, place
from .tiff_checks import check_imagej, check_series, check_text
from .tiff_colours import Shown, displayed
from .tiff_directories import check_directories
from .tiff_scale import stated

# Bytes; larger images are read piece by piece when they are indexed.
LAZY_BYTES = 500_000_000
# Axes along which images lie, by the kind of TIFF; other unknown axes are guessed.
_POSITIONS = {"mmstack": "RP", "ndtiff": "RP", "lsm": "PM"}


@dataclass(frozen=True, eq=False)
class _Image:
    """An image in a TIFF: a series of pages, or one position of those in a series."""

    series: Any
    name: str
    place: tuple[int, ...]
    layout: Layout
    stated: Stated


def scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a TIFF."""
    with _opened(path) as file:
        return tuple(image.name for image in _images(file))


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read an image of a TIFF, all its levels, with axes and spacing.

    Large images are read when they are indexed, and the file stays open as long as they live.

    Raises
    ------
    ImageError
        If the file is damaged or parts of the image are missing.
    """
    with _opened(path) as file:
        images, notices = _images(file), file.notices
        image = images[place(scene, (len(images),))[0]]
        empty = sum(check_series(level) for level in image.series.levels)
        if empty:
            notices = (*notices, f"{empty:,} empty tiles of this image are not stored; they are 0.")
        shown = _shown(file, path, image, labels)
    names = tuple(image.name for image in images)
    return ImageFile.from_levels(
        shown.levels,
        shown.letters,
        image.stated.sizes,
        image.stated.units,
        origin=image.stated.origin,
        affine=image.stated.affine,
        rgb=shown.rgb,
        channels=_channel_names(image.stated.channels, shown),
        scenes=names if len(names) > 1 else (),
        scene=scene,
        notices=(*notices, *image.layout.notices, *image.stated.notices, *shown.notices),
        guesses=image.layout.guesses,
    )


@dataclass
class _File:
    """An open TIFF.

    Attributes
    ----------
    tiff : tifffile.TiffFile
        The file, or the set that it is a part of.
    notices : tuple of str
        What a user should know about it.
    mixed : bool
        Whether there are pages of different size or kind.
    kept : bool
        Whether it stays open, for arrays that are read later.
    """

    tiff: Any
    notices: tuple[str, ...] = ()
    mixed: bool = False
    kept: bool = False


@contextmanager
def _opened(path: Path) -> Iterator[_File]:
    """Open a TIFF, or the set that it is a part of."""
    import tifffile

    pages = check_directories(path)
    # The library goes by the name, which may be wrong, and compares only some of the pages.
    known: dict[str, Any] = {} if pages.ndpi else {"is_ndpi": False}
    if pages.mixed:
        known["is_uniform"] = False
    file = _File(tifffile.TiffFile(path, **known), mixed=pages.mixed)
    try:
        check_text(file.tiff.pages.first.description)
        if file.tiff.is_ome:
            main, text = _metadata_file(path, str(file.tiff.ome_metadata))
            if main != path or text is not None:
                name = main.name if text is None else "another file"
                said = f"This file is a part of a set that {name} describes; all is read."
                file.tiff.close()
                file = _File(tifffile.TiffFile(main, omexml=text), (said,))
        if file.tiff.is_shaped and _written_one_by_one(file.tiff.series):
            file.tiff.close()
            file = _File(tifffile.TiffFile(path, is_shaped=False, **known))
        yield file
    finally:
        if not file.kept:
            file.tiff.close()


def _metadata_file(path: Path, text: str) -> tuple[Path, str | None]:
    """Return the TIFF to read instead of one part of a set, and its metadata in another file."""
    elsewhere = _ome(text).elsewhere
    if elsewhere is None:
        return path, None
    main = path.parent / Path(elsewhere.replace("\\", "/")).name
    if not elsewhere or not main.is_file():
        raise ImageError(
            f"this file holds only a part of an image; the set is described in "
            f"{elsewhere or 'another file'}, which is not beside it."
        )
    with main.open("rb") as file:
        start = file.read(4)
    if start[:2] in (b"II", b"MM"):
        check_directories(main)
        return main, None
    return path, main.read_text("utf-8")


def _written_one_by_one(series: list[Any]) -> bool:
    """Whether tifffile wrote pages of one stack in turn, each as an image without a name."""
    first = series[0]
    return len(series) > 1 and all(
        one.kind == "shaped"
        and not one.name
        and len(one.levels) == 1
        and one.shape == one.keyframe.shape
        and (one.shape, one.dtype, one.axes) == (first.shape, first.dtype, first.axes)
        for one in series
    )


def _ome(text: str) -> ome_xml.Ome:
    return ome_xml.parse(text)


def _images(file: _File) -> list[_Image]:
    """Return all images in a TIFF.

    Raises
    ------
    ImageError
        If the file does not hold what its metadata say.
    """
    tiff = file.tiff
    described, notices = _described(tiff)
    series = [one for one in tiff.series if math.prod(one.shape)]
    if not series:
        raise ImageError("the file is damaged or not an image (it holds no pixels).")
    if series[0].kind == "lsm":
        series = series[:1]  # the others are thumbnails
    check_imagej(tiff, series[0], file.mixed)
    if series[0].kind == "ome" and len(series) != len(described):
        raise ImageError(
            f"its OME metadata describe {len(described)} images, of which {len(series)} are stored "
            "in a way that can be read. Convert it with Bio-Formats: bfconvert in.tif out.ome.tif"
        )
    found: list[_Image] = []
    for number, one in enumerate(series, start=1):
        image = described[number - 1] if one.kind in ("ome", "mmstack") and described else None
        found += _positions(tiff, one, number, image, described, notices)
    return found


def _described(tiff: Any) -> tuple[tuple[ome_xml.OmeImage, ...], tuple[str, ...]]:
    """Return the images in the OME metadata of a TIFF, if it has any, and notices."""
    if not tiff.is_ome:
        return (), ()
    path = Path(tiff.filehandle.path)
    try:
        images = _ome(str(tiff.ome_metadata)).images
    except ImageError as error:
        return (), (f"The calibration is not read: {error}",)
    ome_xml.check_claims(images, path, len(tiff.pages))
    return images, ()


def _positions(
    tiff: Any,
    series: Any,
    number: int,
    image: ome_xml.OmeImage | None,
    described: tuple[ome_xml.OmeImage, ...],
    notices: tuple[str, ...],
) -> list[_Image]:
    """Return the images of a series: one, or one for each position."""
    letters, shape = series.axes.upper(), series.shape
    layout = lay_out(letters, shape, _POSITIONS.get(series.kind, ""))
    # Colours stay S until they are known to be such.
    kept = "".join(
        "S" if old == "S" and n > 1 else new
        for old, new, n in zip(letters, layout.letters, shape, strict=True)
    )
    layout = replace(
        layout, letters=kept, notices=(*notices, *_contradiction(tiff, series), *layout.notices)
    )
    counts = tuple(n for n, letter in zip(shape, kept, strict=True) if letter == "?")
    name = (image.name if image else series.name) or f"image {number}"
    found = []
    for k in range(math.prod(counts)):
        where = place(k, counts)
        one = image
        title = name
        if counts:
            if series.kind == "mmstack" and len(described) == math.prod(counts):
                one = described[k]
                title = one.name or f"position {k + 1}"
            else:
                title = f"{name}, position {' '.join(str(n + 1) for n in where)}"
        said = stated(tiff, series, one).along(layout.renamed)
        found.append(_Image(series, title, where, layout, said))
    return found


def _contradiction(tiff: Any, series: Any) -> tuple[str, ...]:
    """Return a notice if the metadata name axes or counts that do not fit the shape."""
    if series.kind == "mmstack":
        return _unfinished(tiff, series)
    if series.kind != "shaped":
        return ()
    said = str((tiff.shaped_metadata or [{}])[0].get("axes") or "")
    if not said or len(said) == len(series.get_shape(False)):
        return ()
    return (
        f"The file names its axes {said}, which its shape {tuple(series.shape)} contradicts; they "
        "are guessed.",
    )


def _unfinished(tiff: Any, series: Any) -> tuple[str, ...]:
    """Return a notice if an acquisition in Micro-Manager ended before its plan."""
    summary = tiff.micromanager_metadata["Summary"]
    counts = dict(zip(series.axes, series.shape, strict=True))
    short = [
        f"{counts.get(axis, 1)} of {summary[name]} {name.lower()}"
        for axis, name in (("T", "Frames"), ("Z", "Slices"), ("C", "Channels"))
        if int(summary.get(name, 1)) > counts.get(axis, 1)
    ]
    return (f"The acquisition ended early: there are {' and '.join(short)}.",) if short else ()


def _shown(file: _File, path: Path, image: _Image, labels: bool) -> Shown:
    """Return the levels of an image as they are displayed."""
    series, letters = image.series, image.layout.letters
    page = series.keyframe
    if series.dtype is None or np.dtype(series.dtype).kind not in "buif":
        raise ImageError(f"images of {series.dtype} are not read; save real numbers.")
    levels: tuple[ArrayLike, ...]
    if page.is_subsampled and int(page.compression) not in (6, 7):
        levels = (_by_libtiff(path, page),)
        return Shown(levels, "YXS", rgb=True)
    if series.nbytes > LAZY_BYTES:
        file.kept = True
        levels = tuple(_lazy(series, k) for k in range(len(series.levels)))
    else:
        levels = tuple(level.asarray() for level in series.levels)
    index = iter(image.place)
    if image.place:
        where = tuple(next(index) if letter == "?" else slice(None) for letter in letters)
        levels = tuple(_indexed(level, where) for level in levels)
        letters = letters.replace("?", "")
    shown = displayed(page, levels, letters, labels, bool(file.tiff.is_imagej))
    orientation = int(page.tags["Orientation"].value) if "Orientation" in page.tags else 1
    if orientation > 1:
        shown = shown.noting(turned(f"orientation {orientation}"))
    if "C" in shown.letters and "S" in shown.letters:  # colours of a palette for every channel
        raise ImageError("the file holds several channels of colours; extract one of them.")
    return shown


def _indexed(level: ArrayLike, where: tuple[Any, ...]) -> ArrayLike:
    if isinstance(level, np.ndarray):
        return level[where]  # type: ignore[no-any-return]
    import dask.array

    return dask.array.from_zarr(level)[where]  # type: ignore[no-any-return]


def _lazy(series: Any, level: int) -> ArrayLike:
    """Return a Zarr array that reads from the file only the pixels that are indexed."""
    import zarr

    array: Any = zarr.open_array(series.aszarr(level=level), mode="r")
    return array  # type: ignore[no-any-return]


def _by_libtiff(path: Path, page: Any) -> np.ndarray:
    """Return a picture with fewer colours than pixels, which only libtiff decodes."""
    import imagecodecs

    check_in_memory((*page.shape[:2], 4), np.uint8, "Save it in colours that are not subsampled.")
    pixels: np.ndarray = imagecodecs.tiff_decode(path.read_bytes(), index=page.index, asrgb=True)
    return pixels[..., :3]


def _channel_names(names: tuple[str, ...], shown: Shown) -> tuple[str, ...]:
    """Return the names of channels, if there are as many as channels."""
    if shown.rgb or not names:
        return ()
    letter = next((letter for letter in "CS" if letter in shown.letters), None)
    count = shown.levels[0].shape[shown.letters.index(letter)] if letter else 1
    return names if len(names) == count else ()
