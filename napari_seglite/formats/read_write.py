"""Reading images and reading and writing labels, whatever the format of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import Grid
from . import ome_zarr
from .image_file import ImageFile
from .label_values import whole_numbers
from .registry import Format, format_of, stem, unexpected, writer_of
from .remote import is_remote
from .scene_choice import scene_number, split_scene
from .targets import check_target


def read_image(path: str | Path, scene: int | str | None = None) -> ImageFile:
    """Read an image or a stack.

    Parameters
    ----------
    path : str or Path
        A file or folder of a format in ``docs/formats.md``. A number or name after ``#`` chooses
        one of several images in a file, such as ``"cells.lif#2"``. Or the address of an OME-Zarr
        image in a store elsewhere, such as ``"s3://bucket/image.zarr"``.
    scene : int or str, optional
        The image to read of a file that holds several: its number from 1, or its name. The first,
        with a notice, if neither this nor ``#`` says.

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
    return _read(path, scene, labels=False)


def read_label_file(path: str | Path, scene: int | str | None = None) -> ImageFile:
    """Read labels into memory, with their axes and pixel size.

    Numbers of classes or objects come as they are stored: the indices of a palette, floats that are
    whole numbers, and colour images whose channels are equal are accepted. Negative values mean
    pixels without a label.

    Parameters
    ----------
    path, scene
        As for `read_image`.

    Returns
    -------
    ImageFile
        Its array is NumPy, integer or boolean, without channels.

    Raises
    ------
    ImageError
        If the file cannot be read or does not hold labels.
    """
    image = _read(path, scene, labels=True)
    try:
        return whole_numbers(image)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def read_labels(path: str | Path) -> np.ndarray:
    """Read labels into memory, see `read_label_file`.

    Returns
    -------
    ndarray
        Integer or boolean; negative where there is no label.

    Raises
    ------
    ImageError
        If the file cannot be read or does not hold labels.
    """
    return np.asarray(read_label_file(path).array)


def list_scenes(path: str | Path) -> tuple[str, ...]:
    """Return the names of the images in a file; a single one is named by the file.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    path, _ = split_scene(path)
    with _explained(path):
        return _format(path).scenes(path) or (stem(path),)


def _read_remote(address: str, scene: int | str | None, labels: bool) -> ImageFile:
    """Return an OME-Zarr image of a store elsewhere."""
    address, _, chosen = address.partition("#")
    scene = (chosen or None) if scene is None else scene
    with _explained(address):
        number = 0
        if scene is not None:
            number = scene_number(scene, ome_zarr.scenes(address) or (address,))
        image = ome_zarr.read(address, number, labels)
        image.axes.check(tuple(image.array.shape))
        return image


def _read(path: str | Path, scene: int | str | None, labels: bool) -> ImageFile:
    if is_remote(path):
        return _read_remote(str(path), scene, labels)
    path, chosen = split_scene(path)
    scene = chosen if scene is None else scene
    with _explained(path):
        kind = _format(path)
        number = 0
        if scene is not None:
            number = scene_number(scene, kind.scenes(path) or (stem(path),))
        image = kind.read(path, number, labels)
        if len(image.scenes) > 1 and scene is None:
            named = ", ".join(f"{k} {name}" for k, name in enumerate(image.scenes[:10], start=1))
            image = image.noting(
                f"This is image 1 of {len(image.scenes)} in the file ({named}). "
                "Choose another by its number or name."
            )
        surprise = unexpected(path, kind)
        if surprise is not None:
            image = image.noting(surprise)
        image.axes.check(tuple(image.array.shape))
        return image


def _format(path: Path) -> Format:
    """Return the format of a file, once it is known to be a file or folder."""
    try:
        if not path.exists():
            raise ImageError("there is no such file.")
    except OSError as error:
        raise ImageError(f"the file cannot be opened ({error.strerror}).") from error
    if not path.is_file() and not path.is_dir():
        raise ImageError("this is neither a file nor a folder.")
    return format_of(path)


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    """Turn whatever a reader raises into an `ImageError` that names the file."""
    try:
        yield
    except ImageError as error:
        text = str(error)
        raise ImageError(text if str(path) in text else f"{path}: {text}") from error
    except MemoryError as error:
        raise ImageError(f"{path}: there is not enough memory to read it.") from error
    except Exception as error:  # readers raise anything at all on a damaged file
        reason = (str(error) or type(error).__name__)[:500]
        raise ImageError(f"{path}: the file is damaged or not an image ({reason}).") from error


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    *,
    recipe: dict[str, Any] | None = None,
    spacing: tuple[float, ...] | None = None,
    unit: str | Sequence[str] = "pixel",
    axes: str | None = None,
    grid: Grid | None = None,
    source: Path | None = None,
) -> None:
    """Write labels, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ending in ``.tif``, ``.zarr``, ``.nii``, ``.nii.gz`` or ``.dcm`` (DICOM SEG).
    labels : ndarray
        uint8, uint16 or uint32; as TIFF also float32, for maps of uncertainty.
    recipe : dict, optional
        Plain JSON data on how the labels were made, stored in the file; see `read_recipe`.
    spacing : tuple of float, optional
        Size of a pixel along every axis; 1 if not given.
    unit : str or sequence of str
        Of the spacing: one for Z, Y and X, or one for each axis. Any that pint knows.
    axes : str, optional
        Letters as in `ImageAxes`, without C; the last ones of TZYX if not given.
    grid : Grid, optional
        Where the labels lie, instead of `spacing`, `unit` and `axes`.
    source : Path, optional
        The image that was segmented; DICOM SEG needs its headers.

    Raises
    ------
    ImageError
        If the path has another ending, or a file of another program has its name.

    Examples
    --------
    >>> write_labels("cells_labels.tif", labels, spacing=(0.3, 0.1, 0.1))  # doctest: +SKIP
    """
    path = Path(path)
    if grid is None:
        letters = axes or "TZYX"[-labels.ndim :]
        sizes = spacing or (1.0,) * labels.ndim
        if not isinstance(unit, str):
            units = dict(zip(letters, unit, strict=True))
        else:
            units = dict.fromkeys("ZYX", unit)
            if "T" in letters and sizes[letters.index("T")] != 1:
                units["T"] = "s"  # the usual unit of time
        grid = Grid.of(letters, dict(zip(letters, sizes, strict=True)), units)
    write = writer_of(path)
    check_target(path)
    write(path, labels, recipe or {"labels": "painted"}, grid, source)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Return the recipe stored by `write_labels`; empty if there is none."""
    path = Path(path)
    return format_of(path).recipe(path)
