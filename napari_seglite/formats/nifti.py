"""NIfTI volumes and series, and the Analyze files before them; labels in the place of an image."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import ArrayLike, Grid, convert
from .atomic import replacing
from .image_file import ImageFile
from .limits import check_claim, check_in_memory

# Bytes; larger files that are not compressed are read slice by slice when they are indexed.
LAZY_BYTES = 500_000_000
# Of the axes as NIfTI numbers them; the last two have no fixed meaning.
_LETTERS = "XYZTCAB"
_LENGTHS = {"meter": "m", "mm": "mm", "micron": "um"}
_TIMES = {"sec": "s", "msec": "ms", "usec": "us"}
# A header extension of this code is a comment.
_COMMENT = 6
# Codes of coordinate systems: none, and that of the scanner.
_NONE, _SCANNER = 0, 1
# Sizes in the header and in the affine may differ by this share.
_CLOSE = 0.01


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a NIfTI volume or series as ``(T, Z, Y, X)``, in the order it is stored in.

    Files that are not compressed may be of any size. Intensities are scaled as the header says, to
    float32, or to float64 for labels.

    Raises
    ------
    ImageError
        If a compressed file does not fit into memory, or the voxels are no real numbers.
    """
    image = _load(path)
    # X varies fastest on disk, so the transposed array is a stack of slices.
    pixels, letters, rgb = _pixels(image, path, np.float64 if labels else np.float32)
    affine, notices = _affine(image)
    sizes, units, more = _sizes(image, affine)
    if affine is not None:
        # `Grid` wants millimetres.
        affine = affine.copy()
        affine[:3] *= convert(1.0, units["X"], "mm") or 1.0
    return ImageFile.from_levels(
        [pixels], letters, sizes, units, affine=affine, rgb=rgb, notices=(*notices, *more)
    )


def _load(path: Path) -> Any:
    """Return nibabel's image, of which nothing but the header is read yet."""
    import nibabel

    if path.suffix.lower() == ".img" and not any(
        path.with_suffix(end).exists() for end in (".hdr", ".HDR")
    ):
        raise ImageError("its header is missing, a file of the same name that ends in .hdr.")
    image: Any = nibabel.load(path, mmap="r")
    if not isinstance(image, nibabel.AnalyzeImage):
        kind = type(image).__name__.removesuffix("Image")
        raise ImageError(f"it holds {kind} data, which are no image of voxels.")
    if len(image.shape) < 2:
        raise ImageError(f"it has the single axis {image.shape}; an image has two or more.")
    return image


# ------------------------------------------------------------------ voxels
def _pixels(image: Any, path: Path, scaled: type) -> tuple[ArrayLike, str, bool]:
    """Return the voxels in C order, their axes, and whether they are colours."""
    proxy = image.dataobj
    stored = np.dtype(proxy.dtype)
    if stored.kind == "c":
        raise ImageError(
            "its voxels are complex numbers. Save their magnitude, for example with fslmaths or "
            "nibabel."
        )
    _check_size(image, path)
    raw = np.asanyarray(proxy.get_unscaled()).T  # mapped, not read, unless compressed
    letters = _LETTERS[: raw.ndim][::-1]
    if stored.names:
        colours = raw.view(np.uint8).reshape(*raw.shape, len(stored.names))
        return _in_reach(colours), letters.replace("C", "A") + "C", True
    slope, inter = (float(n) for n in (proxy.slope, proxy.inter))
    wanted = np.dtype(scaled) if (slope, inter) != (1, 0) else stored.newbyteorder("=")
    if wanted.itemsize > 8:  # extended precision, which nothing else reads
        wanted = np.dtype(np.float64)

    def convert_block(block: np.ndarray) -> np.ndarray:
        if (slope, inter) == (1, 0):
            return block.astype(wanted, copy=False)
        # Single precision would lose large integers before they are scaled down.
        return (block.astype(np.float64) * slope + inter).astype(wanted)

    if raw.nbytes <= LAZY_BYTES or (wanted == raw.dtype and raw.dtype.isnative):
        return _in_reach(convert_block(raw)), letters, False
    import dask.array

    chunks = (*(1,) * (raw.ndim - 2), *raw.shape[-2:])
    lazy = dask.array.from_array(raw, chunks=chunks)
    return lazy.map_blocks(convert_block, dtype=wanted), letters, False


def _in_reach(pixels: np.ndarray) -> np.ndarray:
    """Return small pixels in memory and large ones, which are mapped, as they are."""
    mapped = isinstance(pixels, np.memmap) and pixels.nbytes <= LAZY_BYTES
    return np.array(pixels) if mapped else pixels


def _check_size(image: Any, path: Path) -> None:
    """Raise `ImageError` if the file is too small, or compressed and too large for the memory."""
    proxy = image.dataobj
    shape, stored = proxy.shape, np.dtype(proxy.dtype)
    file = Path(image.file_map["image"].filename)
    if not file.exists():
        raise ImageError(f"its voxels are missing, which are in {file.name}.")
    if file.suffix.lower() not in (".gz", ".bz2", ".zst"):
        check_claim(shape, stored, max(file.stat().st_size - int(proxy.offset), 0), 1)
        return
    check_claim(shape, stored, file.stat())
    name = path.name.removesuffix(file.suffix)
    check_in_memory(
        shape, stored, f"Unpack it, for example with gunzip: {name} is read slice by slice."
    )


# ------------------------------------------------------------------ place and size
def _affine(image: Any) -> tuple[np.ndarray | None, list[str]]:
    """Return the affine in the header's unit, or None if the file gives none, and notices."""
    header = image.header
    coded = any(int(header.get(f"{kind}form_code", 0)) > 0 for kind in "qs")
    if not coded:
        return None, []
    affine = np.asarray(image.affine, float)
    if np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0:
        return affine, []
    return None, ["The place and orientation in the header are damaged and were left out."]


def _sizes(
    image: Any, affine: np.ndarray | None
) -> tuple[dict[str, float], dict[str, str], list[str]]:
    """Return the size of a voxel along each axis, the units by letter, and notices."""
    lengths, times = _units(image.header)
    stated = dict(zip(_LETTERS, _pixdims(image), strict=False))
    notices = []
    if affine is not None:
        found = dict(zip("XYZ", np.linalg.norm(affine[:3, :3], axis=0).tolist(), strict=True))
        used = "XYZ"[: len(image.shape)]
        sound = all(math.isfinite(stated[a]) and stated[a] > 0 for a in used)
        if any(not math.isclose(stated[a], found[a], rel_tol=_CLOSE) for a in used):
            why = "differ" if sound else "are damaged"
            notices.append(f"The sizes of a voxel in the header {why}; those of its affine count.")
        stated |= found
        if not lengths:
            lengths = "mm"
            notices.append("The header names no unit of length; millimetres are meant as a rule.")
    wrong = [
        a for a in _LETTERS[: min(len(image.shape), 4)]
        if not (math.isfinite(stated[a]) and stated[a] > 0) and (a != "T" or stated[a] != 0)
    ]  # fmt: skip
    if wrong:
        notices.append(
            f"The size of a voxel along {', '.join(wrong)} is no positive number in the header, "
            "so it is unknown."
        )
    units = {axis: lengths for axis in "XYZ" if lengths and axis not in wrong}
    if times and stated.get("T", 0) > 0:
        units["T"] = times
    return {a: n for a, n in stated.items() if a not in wrong}, units, notices


def _units(header: Any) -> tuple[str, str]:
    """Return the units of length and of time; empty where unknown. Hertz and ppm are no times."""
    try:
        length, time = header.get_xyzt_units()
    except (AttributeError, KeyError):  # Analyze has none, and headers lie
        return "", ""
    return _LENGTHS.get(length, ""), _TIMES.get(time, "")


def _pixdims(image: Any) -> list[float]:
    """Return the sizes in the header as they are stored; nibabel makes 0 to 1."""
    holder = image.file_map.get("header", image.file_map["image"])
    with holder.get_prepare_fileobj("rb") as file:
        header = type(image.header).from_fileobj(file, check=False)
    return [float(n) for n in header["pixdim"][1:8]]


# ------------------------------------------------------------------ labels
def write(
    path: Path, labels: np.ndarray, recipe: dict[str, Any], grid: Grid, source: Path | None = None
) -> None:
    """Write labels as NIfTI, in the smallest type of integers that common tools read.

    Parameters
    ----------
    path : Path
        Ending in ``.nii`` or ``.nii.gz``.
    labels : ndarray
        Integer, or float32; of the axes of `grid`.
    recipe : dict
        Plain JSON data that `recipe_of` returns; kept as a comment in the header.
    grid : Grid
        Where the labels lie. Without an affine, the file has sizes and no orientation.
    source : Path, optional
        The image that was segmented. If it is NIfTI, its coordinate systems are kept to the bit.
    """
    import nibabel

    order = "".join(a for a in "TZYX" if a in grid.axes)
    volume = labels.transpose([grid.axes.index(a) for a in order]).T
    volume = volume.reshape([volume.shape[order[::-1].index(a)] if a in order else 1
                             for a in "XYZT"])  # fmt: skip
    theirs = _header_of(source)
    volume = volume.reshape(_shape(volume.shape, grid, theirs))
    volume = volume.astype(_dtype(labels), copy=False)
    kind: Any = nibabel.Nifti2Image if max(volume.shape) > 32767 else nibabel.Nifti1Image
    image = kind(volume, None, dtype=volume.dtype)
    _place(image.header, grid, theirs)
    text = json.dumps({"seglite": recipe}).encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, text))
    # The header states the place; an affine of the image would replace it.
    image = kind(volume, None, image.header)
    with replacing(path) as temporary:
        nibabel.save(image, temporary)


def recipe_of(path: Path) -> dict[str, Any]:
    """Return the recipe stored by `write`; empty if there is none."""
    import nibabel

    try:
        image: Any = nibabel.load(path)
        extensions = image.header.extensions
    except Exception:  # not NIfTI, or one without extensions
        return {}
    for extension in extensions:
        try:
            return dict(json.loads(extension.get_content().rstrip(b"\0"))["seglite"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return {}


def _dtype(labels: np.ndarray) -> np.dtype[Any]:
    if labels.dtype.kind == "f":
        return np.dtype(np.float32)
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    for name in ("uint8", "int16", "uint16", "int32", "uint32"):
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return np.dtype(name)
    return np.dtype(np.int64)


def _header_of(source: Path | None) -> Any:
    """Return the NIfTI header of the image that was segmented, or None."""
    import nibabel

    if source is None or not source.is_file():
        return None
    try:
        header = nibabel.load(source).header
    except Exception:  # an image of another format
        return None
    return header if isinstance(header, nibabel.Nifti1Header) else None


def _shape(full: tuple[int, ...], grid: Grid, theirs: Any) -> tuple[int, ...]:
    """Return the shape of the file: that of the source, or that without axes of one entry."""
    if theirs is not None:
        shape = tuple(theirs.get_data_shape())
        if (*shape[:4], *(1,) * (4 - len(shape))) == full and all(n == 1 for n in shape[4:]):
            return shape
    fewest = 3 if grid.affine is not None else 2
    count = max([k + 1 for k, n in enumerate(full) if n > 1] + [fewest])
    return full[:count]


def _place(header: Any, grid: Grid, theirs: Any) -> None:
    """Write sizes, units and place of labels into a header."""
    unit = grid.unit if grid.unit in _LENGTHS.values() else "mm"
    factors = {a: convert(1.0, u, unit) for a, u in zip(grid.axes, grid.units, strict=True)}
    sizes = {a: n * (factors[a] or 1.0) for a, n in zip(grid.axes, grid.spacing, strict=True)}
    known = factors["X"] is not None or grid.affine is not None
    lengths = {short: name for name, short in _LENGTHS.items()}
    times = {short: name for name, short in _TIMES.items()}
    time = grid.units[grid.axes.index("T")] if "T" in grid.axes else ""
    if time not in times and (seconds := convert(sizes.get("T", 1.0), time, "s")) is not None:
        sizes["T"], time = seconds, "s"
    header.set_xyzt_units(lengths[unit] if known else "unknown", times.get(time, "unknown"))
    if grid.affine is None:
        header.set_zooms([sizes.get(a, 1.0) for a in "XYZT"[: len(header.get_data_shape())]])
        header["qform_code"] = header["sform_code"] = _NONE
        return
    affine = grid.affine.copy()
    affine[:3] *= convert(1.0, "mm", unit) or 1.0
    sizes |= dict(zip("XYZ", np.linalg.norm(affine[:3, :3], axis=0).tolist(), strict=True))
    header.set_zooms([sizes.get(a, 1.0) for a in "XYZT"[: len(header.get_data_shape())]])
    if theirs is not None and np.allclose(theirs.get_best_affine(), affine, atol=1e-6):
        for name in header:
            if name.startswith(("qform", "sform", "quatern", "qoffset", "srow")):
                header[name] = theirs[name]
        header["pixdim"][:4] = theirs["pixdim"][:4]  # the first is part of the orientation
        return
    header.set_sform(affine, _SCANNER)
    header.set_qform(affine, _SCANNER, strip_shears=True)
