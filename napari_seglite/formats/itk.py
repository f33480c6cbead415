"""NRRD and MetaImage, which SimpleITK reads and writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import Grid, convert
from .atomic import replacing
from .image_file import ImageFile
from .limits import check_claim, check_in_memory

# From ITK's directions, left, back and head, to those of NIfTI.
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Formats of one file, with the pixels in it.
_WRITTEN = (".nrrd", ".mha")
_RECIPE = "seglite"
# Headers are looked into this far, in bytes.
_HEADER = 100_000


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read an image of NRRD or MetaImage, with its place in the patient.

    Sizes are millimetres unless the file says otherwise.

    Raises
    ------
    ImageError
        If SimpleITK is not installed, or the image does not fit into memory.
    """
    reader = _reader(path)
    size, count = reader.GetSize(), reader.GetNumberOfComponents()
    kind = _dtype(reader.GetPixelID())
    check_in_memory((*size, count), kind, "Save a part of it.")
    _check_claim(path, (*size, count), kind)
    itk = _library()
    letters = "TZYX"[-len(size) :] if len(size) <= 4 else "?" * len(size)
    pixels = itk.GetArrayFromImage(reader.Execute())
    letters += "C" * (pixels.ndim - len(size))
    said = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    colours = "color" in said.get("NRRD_kinds[pixel]", "")
    unit = _unit(path, said)
    sizes = dict(zip("XYZT", reader.GetSpacing(), strict=False))
    origin = dict(zip("XYZ", reader.GetOrigin(), strict=False))
    affine = _affine(reader, unit) if _in_patient(said) else None
    return ImageFile.from_levels(
        [pixels],
        letters,
        sizes,
        dict.fromkeys("XYZ", unit),
        origin=None if affine is not None else origin,
        affine=affine,
        rgb=colours or (count == 3 and pixels.dtype == np.uint8),
    )


def _library() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise ImageError(
            "NRRD and MetaImage need SimpleITK: pip install 'napari-seglite[medical]'."
        ) from error
    return SimpleITK


def _reader(path: Path) -> Any:
    """Return a reader that has read the header alone."""
    reader = _library().ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _dtype(number: int) -> np.dtype[Any]:
    """Return the type of pixels that SimpleITK numbers."""
    itk = _library()
    name = itk.GetPixelIDValueAsString(number)
    if "complex" in name:
        raise ImageError("its pixels are complex numbers. Save their magnitude.")
    bits = re.match(r"(?:vector of )?(\d+)-bit (unsigned|signed|float)", name)
    if bits is None:
        raise ImageError(f"its pixels are {name}, which are no image.")
    return np.dtype(f"{bits[2][0].replace('s', 'i')}{int(bits[1]) // 8}")


def _check_claim(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    """Raise `ImageError` if a file that holds its own pixels is too small for them."""
    if path.suffix.lower() not in _WRITTEN:
        return  # the pixels are in other files; SimpleITK says if they are too small
    header = _header(path)
    plain = re.search(r"^encoding: *raw|^CompressedData *= *False", header, re.M | re.I)
    apart = re.search(r"^data ?file:|^ElementDataFile *=(?! *LOCAL)", header, re.M | re.I)
    if apart is None:
        check_claim(shape, kind, path.stat(), *([1] if plain else []))


def _header(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_HEADER).split(b"\n\n")[0].decode("latin-1")


# ------------------------------------------------------------------ place
def _unit(path: Path, said: dict[str, str]) -> str:
    """Return the unit of sizes, which SimpleITK passes on only in part."""
    unit = said.get("NRRD_units[0]", "")
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        found = re.search(r'^space units: *"([^"]+)"', _header(path), re.M)
        unit = found[1] if found else unit
    return unit or "mm"


def _in_patient(said: dict[str, str]) -> bool:
    """Whether a file says where it lies in the patient: MetaImage does, NRRD if it has a space."""
    if said.get("ITK_InputFilterName") == "NrrdImageIO" and _RECIPE not in said:
        # ITK names no space where there are times, not even in what `write` writes.
        return said.get("NRRD_space", "").endswith("superior")
    return True


def _affine(reader: Any, unit: str) -> np.ndarray | None:
    count = len(reader.GetSize())
    factor = convert(1.0, unit, "mm")
    if count < 3 or factor is None:
        return None
    direction = np.array(reader.GetDirection()).reshape(count, count)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing())[:3] * factor
    affine[:3, 3] = np.array(reader.GetOrigin())[:3] * factor
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) == 0:
        return None
    return np.asarray(_TO_RAS @ affine)


# ------------------------------------------------------------------ labels
def write(
    path: Path, labels: np.ndarray, recipe: dict[str, Any], grid: Grid, source: Path | None = None
) -> None:
    """Write labels as NRRD or MetaImage, compressed.

    Parameters
    ----------
    path : Path
        Ending in ``.nrrd`` or ``.mha``.
    labels : ndarray
        uint8, uint16, uint32 or float32; of the axes of `grid`.
    recipe : dict
        Plain JSON data that `recipe_of` returns.
    grid : Grid
        Where the labels lie.
    source : Path, optional
        Not used.

    Raises
    ------
    ImageError
        If SimpleITK is not installed, or the ending is another.
    """
    if path.suffix.lower() not in _WRITTEN:
        raise ImageError(f"{path}: labels are written as {' or '.join(_WRITTEN)}.")
    itk = _library()
    order = "".join(a for a in "TZYX" if a in grid.axes)
    ordered = np.ascontiguousarray(labels.transpose([grid.axes.index(a) for a in order]))
    image = itk.GetImageFromArray(ordered, isVector=False)
    factors = {a: convert(1.0, u, "mm") for a, u in zip(grid.axes, grid.units, strict=True)}
    image.SetSpacing([grid.size(a) * (factors[a] or 1.0) for a in order[::-1]])
    if grid.affine is not None and "Z" in grid.axes:
        affine = _TO_RAS @ grid.affine
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        count = len(order)
        direction, origin, spacing = np.eye(count), np.zeros(count), np.ones(count)
        direction[:3, :3] = affine[:3, :3] / sizes
        origin[:3], spacing[:3] = affine[:3, 3], sizes
        spacing[3:] = image.GetSpacing()[3:]
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(origin.tolist())
        image.SetDirection(direction.ravel().tolist())
    image.SetMetaData(_RECIPE, json.dumps(recipe))
    with replacing(path) as temporary:
        itk.WriteImage(image, str(temporary), useCompression=True)


def recipe_of(path: Path) -> dict[str, Any]:
    """Return the recipe stored by `write`; empty if there is none."""
    try:
        return dict(json.loads(_reader(path).GetMetaData(_RECIPE)))
    except Exception:  # SimpleITK raises RuntimeError for all that is wrong
        return {}
