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
    cellpose,
    dicom,
    dicom_seg,
    itk,
    microscopes,
    mrc,
    nifti,
    ome_zarr,
    pictures,
    tiff,
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
    tiff.write,
    tiff.recipe_of,
)
OME_ZARR = Format(
    "OME-Zarr", (".zarr",), ome_zarr.read, ome_zarr.scenes, ome_zarr.write, ome_zarr.recipe_of
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
FORMATS: tuple[Format, ...] = (
    TIFF,
    OME_ZARR,
    NIFTI,
    DICOM,
    DICOM_SERIES,
    Format("NRRD", (".nrrd", ".nhdr"), itk.read, write=itk.write, recipe=itk.recipe_of),
    Format("MetaImage", (".mha", ".mhd"), itk.read, write=itk.write, recipe=itk.recipe_of),
    Format("MRC", (".mrc", ".map", ".rec"), mrc.read),
    Format("CZI", (".czi",), microscopes.read_czi, microscopes.czi_scenes),
    Format("ND2", (".nd2",), microscopes.read_nd2, microscopes.nd2_scenes),
    Format("LIF", (".lif",), microscopes.read_lif, microscopes.lif_scenes),
    Format("Cellpose", ("_seg.npy",), cellpose.read),
    Format("picture", (".png", ".jpg", ".jpeg", ".bmp"), pictures.read),
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
    if kind is not None:
        return kind
    if is_dicom(path):
        return DICOM
    raise ImageError(f"only {', '.join(SUFFIXES)} files can be read.")


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
