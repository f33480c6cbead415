"""Images in, labels out, with axes and spacing kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.axes import LETTERS, ImageAxes, guess_axes
from ..errors import ImageError
from .atomic import replacing

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class ImageFile:
    """An image and what its file says about it.

    Attributes
    ----------
    array : ndarray
        The pixels.
    axes : ImageAxes
        What its axes are.
    spacing : tuple of float
        Size of a pixel along every axis of its labels, in `unit`; 1 where unknown.
    unit : str
        ``"pixel"`` where unknown.
    """

    array: np.ndarray
    axes: ImageAxes
    spacing: tuple[float, ...]
    unit: str


def read_image(path: str | Path) -> ImageFile:
    """Read a 2-D image, an RGB image or a stack from TIFF, PNG, JPEG or BMP.

    Raises
    ------
    ImageError
        If the file is missing, damaged, of another kind, or holds other axes. The message
        names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: there is no such file.")
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{path}: only {', '.join(SUFFIXES)} files can be read.")
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            return _read_tiff(path)
        from skimage.io import imread

        pixels = imread(path)
        if pixels.ndim == 3 and pixels.shape[-1] == 2:  # grey and alpha
            pixels = pixels[..., 0]
        axes = guess_axes(pixels.shape)
        return ImageFile(pixels, axes, (1.0,) * len(axes.labels), "pixel")
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # readers raise anything at all on a damaged file
        raise ImageError(f"{path}: the file is damaged or no image ({error}).") from error


def read_labels(path: str | Path) -> np.ndarray:
    """Read labels: whole numbers, one axis less for every channel axis.

    Raises
    ------
    ImageError
        If the file cannot be read or does not hold whole numbers.
    """
    labels = read_image(path).array
    if labels.dtype.kind not in "uib":
        raise ImageError(f"{path}: labels must be whole numbers, not {labels.dtype}.")
    return labels


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files of a folder, sorted.

    Raises
    ------
    ImageError
        If there is no such folder or nothing in it can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: there is no such folder.")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise ImageError(f"{folder}: there is no {', '.join(SUFFIXES)} file in this folder.")
    return found


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    *,
    recipe: dict[str, Any] | None = None,
    spacing: tuple[float, ...] | None = None,
    unit: str = "pixel",
    axes: str | None = None,
) -> None:
    """Write labels as a compressed TIFF that ImageJ opens, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ending in ``.tif``.
    labels : ndarray
        uint8, uint16 or uint32. ImageJ knows no uint32 and no other order of axes than TZYX;
        such labels are written as a TIFF of tifffile's own, which says the same.
    recipe : dict, optional
        Stored in the file; `read_recipe` reads it back.
    spacing, unit : optional
        Size of a pixel along every axis.
    axes : str, optional
        Letters as in `ImageAxes`, without C; guessed if not given.
    """
    import tifffile

    axes = axes or "TZYX"[-labels.ndim :]
    spacing = spacing or (1.0,) * labels.ndim
    options: dict[str, Any] = {
        "compression": "zlib",
        "resolution": tuple(1 / spacing[axes.index(axis)] for axis in "XY"),
    }
    metadata: dict[str, Any] = {"axes": axes, "unit": unit}
    if labels.dtype == np.uint32 or axes != "".join(a for a in "TZYX" if a in axes):
        metadata |= {"spacing": spacing, "seglite": recipe or {}}
        options |= {"metadata": metadata, "photometric": "minisblack"}
    else:
        metadata["Info"] = json.dumps({"seglite": recipe or {}})
        if "Z" in axes:
            metadata["spacing"] = spacing[axes.index("Z")]
        options |= {"metadata": metadata, "imagej": True}
    with replacing(Path(path)) as temporary:
        tifffile.imwrite(temporary, labels, **options)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Return the recipe stored by `write_labels`; empty if there is none."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        text = (tiff.imagej_metadata or {}).get("Info") or tiff.pages.first.description
    try:
        return dict(json.loads(text)["seglite"])
    except (ValueError, KeyError, TypeError):
        return {}


def _read_tiff(path: Path) -> ImageFile:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        pixels = series.asarray()
        letters = series.axes.upper().replace("S", "C")
        spacing, unit = _spacing(tiff)
    kept = [k for k, n in enumerate(pixels.shape) if n != 1 or letters[k] in "YX"]
    pixels = pixels.reshape([pixels.shape[k] for k in kept])
    letters = "".join(letters[k] for k in kept)
    # Pages of unknown meaning, as a plain multi-page TIFF has them, are taken for slices.
    letters = letters.replace("I", "Z").replace("Q", "Z")
    named = set(letters) <= set(LETTERS) and len(set(letters)) == len(letters)
    axes = ImageAxes(letters) if named else guess_axes(pixels.shape)
    known = tuple(spacing.get(axis, 1.0) for axis in axes.labels)
    return ImageFile(pixels, axes, known, unit)


def _spacing(tiff: Any) -> tuple[dict[str, float], str]:
    """Read the size of a pixel from ImageJ metadata and the resolution tags."""
    own = (tiff.shaped_metadata or [{}])[0]
    if "seglite" in own:
        return dict(zip(own["axes"], own["spacing"], strict=True)), own["unit"]
    page, found = tiff.pages.first, {}
    for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
        pixels, units = page.tags[tag].value if tag in page.tags else (0, 1)
        if pixels > 0 and units > 0:
            found[axis] = units / pixels
    metadata = tiff.imagej_metadata or {}
    unit = metadata.get("unit")
    if not unit:  # resolution alone is dots per inch of some printer
        return {}, "pixel"
    if "spacing" in metadata:
        found["Z"] = float(metadata["spacing"])
    return found, {"micron": "um", "µm": "um", "\\u00B5m": "um"}.get(unit, unit)
