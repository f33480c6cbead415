"""Labels in the order of the voxels of an image, wherever the two were stored."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import Grid, ImageAxes
from .dicom_seg import leaves_out_planes
from .image_file import ImageFile
from .read_write import read_label_file

# Voxels may lie this far apart, in voxels, and still be the same.
_APART = 0.5
# Sizes that differ by a larger share are said to differ, as are directions by a larger angle.
_SHARE, _DEGREES = 1e-3, 0.1


def read_labels_for(image: ImageFile, path: str | Path) -> ImageFile:
    """Read the labels of an image, in the order of its voxels.

    Parameters
    ----------
    image : ImageFile
        The image.
    path : str or Path
        Of the labels, see `read_label_file`.

    Raises
    ------
    ImageError
        If the file cannot be read, or its labels lie elsewhere than the image.
    """
    return _placed(read_label_file(path), image, path)


def read_label_pair(prediction: str | Path, reference: str | Path) -> tuple[ImageFile, ImageFile]:
    """Read two label files, the first in the order of the voxels of the second.

    Parameters
    ----------
    prediction, reference : str or Path
        The files, see `read_label_file`.

    Raises
    ------
    ImageError
        If a file cannot be read, or the two lie in different places.
    """
    first, second = read_label_file(prediction), read_label_file(reference)
    if leaves_out_planes(Path(reference)) and not leaves_out_planes(Path(prediction)):
        return first, _placed(second, first, reference)
    return _placed(first, second, prediction), second


def _placed(labels: ImageFile, image: ImageFile, path: str | Path) -> ImageFile:
    try:
        return in_order_of(labels, image, partial=leaves_out_planes(Path(path)))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def in_order_of(labels: ImageFile, image: ImageFile, partial: bool = False) -> ImageFile:
    """Return labels with their voxels in the order of those of an image.

    Files of one volume may store it from left to right or from right to left, or slice by slice in
    another direction. Labels are turned over and transposed, never interpolated.

    Parameters
    ----------
    labels : ImageFile
        Without channels, in memory.
    image : ImageFile
        The image, or other labels. If the affine of either is unknown, the labels stay as they are.
    partial : bool
        Whether planes of the image that the labels lack are empty.

    Raises
    ------
    ImageError
        If the voxels are of another size, are turned otherwise, or lie elsewhere by more than half
        a voxel. The message says which.
    """
    if labels.grid.affine is None or image.grid.affine is None:
        return labels
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    volume = _as_xyzt(labels)
    between = np.linalg.inv(image.grid.affine) @ labels.grid.affine
    orientation = io_orientation(between)
    if np.isnan(orientation).any():
        raise ImageError("its affine has no inverse, so where it lies is unknown.")
    turned = apply_orientation(volume, orientation)
    affine = labels.grid.affine @ inv_ornt_aff(orientation, volume.shape[:3])
    shape = tuple(_sizes(image).get(axis, 1) for axis in "XYZ")
    if partial:
        turned, affine = _filled(turned, affine, image.grid.affine, shape)
    if turned.shape[:3] != shape:
        theirs, ours = (" x ".join(map(str, each)) for each in (turned.shape[:3], shape))
        raise ImageError(f"it has {theirs} voxels along X, Y and Z of the image, which has {ours}.")
    _check_place(affine, image.grid.affine, shape)
    return _as_image(labels, turned, affine, image)


def orientation_of(grid: Grid) -> str:
    """Return where X, Y and Z point, such as ``"LPS"``; empty where it is unknown.

    The letters are those of nibabel: left or right, posterior or anterior, inferior or superior;
    of axes that are turned, the closest ones.
    """
    if grid.affine is None:
        return ""
    from nibabel.orientations import aff2axcodes

    return "".join(str(code or "?") for code in aff2axcodes(grid.affine))


def _filled(
    volume: np.ndarray, affine: np.ndarray, theirs: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels ``(X, Y, Z, T)`` with the empty planes that they lack, if they fit."""
    between = np.linalg.inv(theirs) @ affine
    steps, first = np.diag(between)[:3], between[:3, 3]
    planes = [
        np.rint(start + step * np.arange(n)).astype(int)
        for start, step, n in zip(first, steps, volume.shape, strict=False)
    ]
    skewed = (between[:3, :3] - np.diag(steps)) * (np.array(volume.shape[:3]) - 1)
    inside = all(k.min() >= 0 and k.max() < n for k, n in zip(planes, shape, strict=True))
    apart = np.abs(skewed).sum() + max(np.abs(first - [k[0] for k in planes]))
    if not inside or apart >= _APART:
        return volume, affine
    whole = np.zeros((*shape, volume.shape[3]), volume.dtype)
    whole[np.ix_(*planes)] = volume
    return whole, theirs


def _sizes(image: ImageFile) -> dict[str, int]:
    return dict(zip(image.axes.order, image.array.shape, strict=True))


def _as_xyzt(labels: ImageFile) -> np.ndarray:
    """Return labels as ``(X, Y, Z, T)``."""
    order, pixels = labels.axes.order, np.asarray(labels.array)
    present = [order.index(axis) for axis in "XYZT" if axis in order]
    sizes = _sizes(labels)
    return pixels.transpose(present).reshape([sizes.get(axis, 1) for axis in "XYZT"])


def _as_image(
    labels: ImageFile, volume: np.ndarray, affine: np.ndarray, image: ImageFile
) -> ImageFile:
    """Return ``(X, Y, Z, T)`` as labels with the axes of an image, as far as they have them."""
    theirs = image.axes.labels
    order = theirs if "T" in theirs else "T" + theirs
    order = "".join(a for a in order if a in "ZYX" or "T" in labels.axes.order)
    kept = [axis for axis in "XYZT" if axis in order]
    values = volume.reshape([volume.shape["XYZT".index(axis)] for axis in kept])
    values = np.ascontiguousarray(values.transpose([kept.index(axis) for axis in order]))
    sizes = {a: image.grid.size(a) for a in theirs} | {"T": labels.grid.size("T")}
    units = dict(zip(theirs, image.grid.units, strict=True))
    units |= {a: u for a, u in zip(labels.grid.axes, labels.grid.units, strict=True) if a == "T"}
    grid = Grid.of(order, sizes, units, affine=affine)
    more: dict[str, Any] = {"array": values, "axes": ImageAxes(order), "levels": (values,)}
    return replace(labels, grid=grid, **more)


def _check_place(ours: np.ndarray, theirs: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise `ImageError` if voxels of the same indices lie in different places."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    corners = np.c_[corners, np.ones(8)].T
    places = np.linalg.inv(theirs) @ ours @ corners
    if np.abs(places - corners)[:3].max() < _APART:
        return
    sizes = [np.linalg.norm(affine[:3, :3], axis=0) for affine in (ours, theirs)]
    several = np.array(shape) > 1
    if not np.allclose(sizes[0][several], sizes[1][several], rtol=_SHARE):
        first, second = (" x ".join(f"{n:.4g}" for n in size) for size in sizes)
        what = f"its voxels are {first} mm large and those of the image {second} mm"
    elif (angle := _angle(ours, theirs, several)) > _DEGREES:
        what = f"it is turned by {angle:.3g}° against the image"
    else:
        away = float(np.linalg.norm((ours - theirs) @ corners, axis=0).max())
        what = f"it lies {away:.3g} mm away from the image"
    raise ImageError(f"{what}. Resample it to the voxels of the image first.")


def _angle(ours: np.ndarray, theirs: np.ndarray, several: np.ndarray) -> float:
    """Return the largest angle between two axes of the same name, in degrees."""
    first, second = (a[:3, :3] / np.linalg.norm(a[:3, :3], axis=0) for a in (ours, theirs))
    cosines = (first * second).sum(axis=0)[several]
    return math.degrees(math.acos(float(np.clip(cosines.min(initial=1.0), -1, 1))))
