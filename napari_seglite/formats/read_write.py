"""Reading images and reading and writing labels, whatever the format of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from . import cellpose, dicom, microscopes, nifti, ome_zarr, tiff
from .image_file import ImageFile
from .pictures import read_picture

__all__ = ["ImageFile", "list_images", "read_image", "read_labels", "read_recipe", "write_labels"]

TIFF_SUFFIXES = (".tif", ".tiff")
READERS: dict[str, Callable[[Path], ImageFile]] = {
    **dict.fromkeys(TIFF_SUFFIXES, tiff.read),
    ".zarr": ome_zarr.read,
    ".nii": nifti.read_nifti,
    ".nii.gz": nifti.read_nifti,
    ".dcm": dicom.read_dicom,
    ".czi": microscopes.read_czi,
    ".nd2": microscopes.read_nd2,
    ".lif": microscopes.read_lif,
    "_seg.npy": cellpose.read,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp"), read_picture),
}
FOLDER_SUFFIXES = (".zarr",)


def suffix(path: Path) -> str:
    """Return the ending of a file's name that tells its format, in lower case."""
    name = path.name.lower()
    long = next((end for end in (".nii.gz", "_seg.npy") if name.endswith(end)), None)
    return long or path.suffix.lower()


def stem(path: Path) -> str:
    """Return a file's name without its `suffix`, and without ``.ome`` before it."""
    name = path.name[: len(path.name) - len(suffix(path))]
    return name.removesuffix(".ome")


def read_image(path: str | Path) -> ImageFile:
    """Read an image or a stack.

    Parameters
    ----------
    path : str or Path
        A file: TIFF (any compression, ImageJ, OME), PNG, JPEG, BMP, NIfTI, DICOM, CZI, ND2, LIF, or
        Cellpose's ``_seg.npy`` (its masks); or a folder: OME-Zarr 0.4 and 0.5, other Zarr, or a
        DICOM series.

    Raises
    ------
    ImageError
        If the file is missing, damaged, of another format, or has axes that cannot be
        segmented. The message names the file.

    Examples
    --------
    >>> image = read_image("cells.ome.tif")  # doctest: +SKIP
    >>> image.axes.order, image.spacing, image.unit  # doctest: +SKIP
    ('ZYX', (0.3, 0.1, 0.1), 'um')
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path}: there is no such file.")
    reader = READERS.get(suffix(path))
    if path.is_dir() and suffix(path) not in FOLDER_SUFFIXES:
        reader = ome_zarr.read if ome_zarr.is_zarr(path) else dicom.read_dicom_series
    if reader is None:
        raise ImageError(f"{path}: only {', '.join(READERS)} files can be read.")
    try:
        return reader(path)
    except ImageError as error:
        text = str(error)
        raise ImageError(text if str(path) in text else f"{path}: {text}") from error
    except Exception as error:  # readers raise anything at all on a damaged file
        raise ImageError(f"{path}: the file is damaged or not an image ({error}).") from error


def read_labels(path: str | Path) -> np.ndarray:
    """Read labels into memory.

    Returns
    -------
    ndarray
        Integer or boolean.

    Raises
    ------
    ImageError
        If the file cannot be read or does not hold whole numbers.
    """
    labels = np.asarray(read_image(path).array)
    if labels.dtype.kind not in "uib":
        raise ImageError(f"{path}: labels must be whole numbers, not {labels.dtype}.")
    return labels


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files of a folder, sorted.

    Raises
    ------
    ImageError
        If there is no such folder, or no file in it has a known suffix.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: there is no such folder.")
    paths = sorted(p for p in folder.iterdir() if suffix(p) in READERS)
    if not paths:
        raise ImageError(f"{folder}: there is no {', '.join(READERS)} file in this folder.")
    return paths


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    *,
    recipe: dict[str, Any] | None = None,
    spacing: tuple[float, ...] | None = None,
    unit: str = "pixel",
    axes: str | None = None,
) -> None:
    """Write labels as a compressed TIFF or as OME-Zarr, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ending in ``.tif`` or ``.zarr``.
    labels : ndarray
        uint8, uint16 or uint32; as TIFF also float32, for maps of uncertainty.
    recipe : dict, optional
        Plain JSON data on how the labels were made, stored in the file; see `read_recipe`.
    spacing : tuple of float, optional
        Size of a pixel along every axis; 1 if not given.
    unit : str
        Of the spacing.
    axes : str, optional
        Letters as in `ImageAxes`, without C; the last ones of TZYX if not given.

    Raises
    ------
    ImageError
        If the path has another ending.

    Examples
    --------
    >>> write_labels("cells_labels.tif", labels, spacing=(0.3, 0.1, 0.1))  # doctest: +SKIP
    """
    path, axes = Path(path), axes or "TZYX"[-labels.ndim :]
    spacing = spacing or (1.0,) * labels.ndim
    writers = {**dict.fromkeys(TIFF_SUFFIXES, tiff.write), ".zarr": ome_zarr.write}
    if path.suffix.lower() not in writers:
        raise ImageError(f"{path}: labels are written as .tif or .zarr.")
    writers[path.suffix.lower()](path, labels, recipe or {}, spacing, unit, axes)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Return the recipe stored by `write_labels`; empty if there is none."""
    path = Path(path)
    return ome_zarr.recipe_of(path) if suffix(path) == ".zarr" else tiff.recipe_of(path)
