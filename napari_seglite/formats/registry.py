"""The table of formats: which module reads and writes which files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import ImageError
from ..images import Grid
from . import (
    arrays_npy,
    cellpose,
    czi,
    dicom,
    dicom_seg,
    foreign,
    itk,
    lif,
    mrc,
    nd2,
    nifti,
    ome_zarr,
    ome_zarr_labels,
    pictures,
    tiff,
    tiff_write,
)
from .dicom_scenes import is_dicom
from .image_file import ImageFile

Recipe = dict[str, Any]


class Reader(Protocol):
    """Reads an image of a file."""

    def __call__(self, path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
        """Return an image of a file.

        Parameters
        ----------
        path : Path
            Of the file or folder.
        scene : int
            Number of the image among those in the file, from 0.
        labels : bool
            Whether the file is read as labels: the indices of a palette, not its colours.
        """
        ...


Writer = Callable[[Path, np.ndarray, Recipe, Grid, "Path | None"], None]


def _one(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a file that holds one only."""
    return ()


def _no_recipe(path: Path) -> Recipe:
    """Return the recipe in a file of another program."""
    return {}


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes
    ----------
    name : str
        As users know it.
    suffixes : tuple of str
        Endings of its files' names, in lower case.
    read : Reader
        Reads an image of a file.
    scenes : callable
        Returns the names of the images in a file; empty if there is one without a name.
    write : callable or None
        Writes labels to a path: labels, recipe, grid, and the image that was segmented.
    recipe : callable
        Returns the recipe in a file that `write` wrote, else an empty dictionary.
    companions : tuple of str
        Endings of files that belong to one of `suffixes`, such as the voxels beside a header. They
        can be named as well, but a folder lists only the others.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Reader
    scenes: Callable[[Path], tuple[str, ...]] = _one
    write: Writer | None = None
    recipe: Callable[[Path], Recipe] = _no_recipe
    companions: tuple[str, ...] = ()


TIFF = Format(
    "TIFF",
    (".tif", ".tiff"),
    tiff.read,
    tiff.scenes,
    tiff_write.write,
    tiff_write.recipe_of,
)
# Others that are TIFF inside; labels are not written under their endings.
MICROSCOPE_TIFF = Format(
    "TIFF",
    (
        ".btf", ".tf2", ".tf8", ".lsm", ".stk", ".svs", ".qptiff", ".ndpi", ".scn", ".bif", ".flex",
        ".gel", ".zif",
    ),
    tiff.read,
    tiff.scenes,
    recipe=tiff_write.recipe_of,
)  # fmt: skip
OME_ZARR = Format(
    "OME-Zarr",
    (".zarr", ".zarr.zip", ".ozx"),
    ome_zarr.read,
    ome_zarr.scenes,
    ome_zarr_labels.write,
    ome_zarr.recipe_of,
)
NIFTI = Format(
    "NIfTI",
    (".nii", ".nii.gz", ".hdr"),
    nifti.read,
    write=nifti.write,
    recipe=nifti.recipe_of,
    companions=(".img",),
)
DICOM = Format("DICOM", (".dcm",), dicom.read, dicom.scenes, dicom_seg.write, dicom_seg.recipe_of)
DICOM_SERIES = Format("DICOM series", (), dicom.read, dicom.scenes)
CZI = Format("CZI", (".czi",), czi.read, czi.scenes)
ND2 = Format("ND2", (".nd2",), nd2.read, nd2.scenes)
LIF = Format("LIF", (".lif",), lif.read, lif.scenes)
NUMPY = Format("NumPy", (".npy",), arrays_npy.read)
PICTURE = Format(
    "picture",
    (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".j2c",
        ".jpf", ".jpx",
    ),
    pictures.read,
)  # fmt: skip
FORMATS: tuple[Format, ...] = (
    TIFF,
    MICROSCOPE_TIFF,
    OME_ZARR,
    NIFTI,
    DICOM,
    DICOM_SERIES,
    CZI,
    ND2,
    LIF,
    Format("NRRD", (".nrrd", ".nhdr"), itk.read, write=itk.write, recipe=itk.recipe_of),
    Format("MetaImage", (".mha", ".mhd"), itk.read, write=itk.write, recipe=itk.recipe_of),
    Format("MRC", (".mrc", ".map", ".rec"), mrc.read),
    Format("Cellpose", ("_seg.npy",), cellpose.read),
    NUMPY,
    PICTURE,
)
SUFFIXES = tuple(end for kind in FORMATS for end in kind.suffixes)
_BY_SUFFIX = {end: kind for kind in FORMATS for end in (*kind.suffixes, *kind.companions)}
# The longest first, so that ".nii.gz" is not taken for ".gz".
_ENDINGS = sorted(_BY_SUFFIX, key=len, reverse=True)


def suffix(path: Path) -> str:
    """Return the ending of a file's name that tells its format, in lower case."""
    name = path.name.lower()
    return next((end for end in _ENDINGS if name.endswith(end)), path.suffix.lower())


def stem(path: Path) -> str:
    """Return a file's name without its `suffix`, and without ``.ome`` before it."""
    end = suffix(path)
    name = path.name[: len(path.name) - len(end)] if end in _BY_SUFFIX else path.name
    return name.removesuffix(".ome")


def format_of(path: Path) -> Format:
    """Return the format of a file or folder by its name, or else by its content.

    Raises
    ------
    ImageError
        If it is none that can be read.
    """
    kind = _BY_SUFFIX.get(suffix(path))
    if path.is_dir():
        if kind is OME_ZARR or ome_zarr.is_zarr(path):
            return OME_ZARR
        return DICOM_SERIES
    advice = foreign.advice(path) if kind is None else None
    if advice is not None:
        raise ImageError(advice)
    if kind is None or kind in (TIFF, MICROSCOPE_TIFF, PICTURE):
        kind = _by_content(path) or kind
    if kind is None:
        raise ImageError(f"only {', '.join(SUFFIXES)} files can be read.")
    return kind


def _by_content(path: Path) -> Format | None:
    """Return the format that a file begins like; None if it is not known."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(12)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return TIFF
    if pictures.kind_of(start):
        return PICTURE
    begins = {b"ZISRAWFILE": CZI, b"\xda\xce\xbe\n": ND2, b"\x93NUMPY": NUMPY}
    for magic, kind in begins.items():
        if start.startswith(magic):
            return kind
    return DICOM if is_dicom(path) else None


def unexpected(path: Path, kind: Format) -> str | None:
    """Return a notice if a file's name has not the ending of its format."""
    end = suffix(path)
    if (
        path.is_dir()
        or kind is DICOM
        or any(k.name == kind.name and end in k.suffixes for k in FORMATS)
    ):
        return None
    named = f"ends in {end}" if end else "has no ending"
    return f"The file's name {named}, but by its content it is a {kind.name}; it is read as that."


def known_recipe(path: Path) -> Recipe:
    """Return the recipe in a file; empty for files of others, damaged and missing ones."""
    try:
        return format_of(path).recipe(path)
    except Exception:  # readers raise anything at all on a damaged file
        return {}


def writer_of(path: Path) -> Writer:
    """Return the function that writes labels of a file's name.

    Raises
    ------
    ImageError
        If no format of this ending is written.
    """
    kind = _BY_SUFFIX.get(suffix(path))
    if kind is None or kind.write is None:
        ends = ", ".join(kind.suffixes[0] for kind in FORMATS if kind.write is not None)
        raise ImageError(f"{path}: labels are written as {ends}.")
    return kind.write
