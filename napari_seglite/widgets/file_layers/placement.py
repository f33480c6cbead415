"""Where the pixels of a file lie in napari's world."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ...formats import ImageFile
from ...images import convert

# From right, front, head (RAS+) to left, back, head: on screen, X grows to the right and Y
# downwards, so that the patient's left is on the right and the front on top, as radiologists see.
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Of directions, as far as rounded numbers in headers differ.
TOLERANCE = 1e-3
OBLIQUE = (
    "The image lies obliquely or in another plane in its scanner's coordinates. napari shows it "
    "along its own axes, so it does not lie on images of another orientation."
)


def layer_unit(text: str) -> str:
    """Return a unit that napari accepts; ``"pixel"`` for a text that is no length and no time."""
    known = convert(1.0, text, "m") is not None or convert(1.0, text, "s") is not None
    return text if known else "pixel"


def file_placement(image: ImageFile, order: str) -> dict[str, Any]:
    """Return the arguments that place a layer of an image where the file says.

    napari slices only along the axes of its world. An image that lies obliquely in a scanner is
    therefore placed along its own axes, which its mirrored copies share.

    Parameters
    ----------
    image : ImageFile
        The image.
    order : str
        Letters of the layer's axes, without C for colours.

    Returns
    -------
    dict
        ``scale``, ``translate``, ``units`` and ``axis_labels``, and ``affine`` if an axis is
        mirrored.
    """
    grid = image.grid
    scale, units = dict(zip(grid.axes, grid.spacing, strict=True)), dict.fromkeys(order, "pixel")
    units |= {axis: layer_unit(unit) for axis, unit in zip(grid.axes, grid.units, strict=True)}
    place, mirrored = dict(zip(grid.axes, grid.origin, strict=True)), set()
    if grid.affine is not None:
        flips, middle = _along_own_axes(grid.affine)
        for axis, flip, position in zip("XYZ", flips, middle, strict=True):
            factor = convert(1.0, "mm", units.get(axis, "mm")) or 1.0
            place[axis] = float(flip * position * factor)
            if flip < 0:
                mirrored.add(axis)
    placed: dict[str, Any] = {
        "scale": [scale.get(axis, 1.0) for axis in order],
        "translate": [place.get(axis, 0.0) for axis in order],
        "units": [units[axis] for axis in order],
        "axis_labels": list(order.lower()),
    }
    if mirrored & set(order):
        placed["affine"] = np.diag([*(-1.0 if axis in mirrored else 1.0 for axis in order), 1.0])
    return placed


def is_oblique(affine: np.ndarray) -> bool:
    """Whether voxels do not lie along left, back and head, in this order."""
    axes, directions = _nearest(affine)
    near = np.abs(directions[axes, range(3)])
    return bool(np.any(axes != np.arange(3)) or np.any(near < 1 - TOLERANCE))


def orientation(affine: np.ndarray) -> str:
    """Return where X, Y and Z lead, such as ``"LPS"``: left, posterior and superior."""
    axes, directions = _nearest(affine)
    signs = directions[axes, range(3)] > 0
    return "".join(("LPS" if sign else "RAI")[axis] for axis, sign in zip(axes, signs, strict=True))


def _nearest(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scanner's axis nearest to each of X, Y and Z, and their directions."""
    matrix = (_TO_LPS @ affine)[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    directions = matrix / np.where(sizes > 0, sizes, 1)
    return linear_sum_assignment(-np.abs(directions.T))[1], directions


def _along_own_axes(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of X, Y and Z to mirror, as -1, and the place of the first voxel in mm.

    Mirrored axes lead to the left, the back and the head. Where Y leads to the head or the feet, it
    leads to the feet, so that the head is on top.
    """
    axes, directions = _nearest(affine)
    flips = np.where(directions[axes, range(3)] < 0, -1.0, 1.0)
    flips[1] *= -1.0 if axes[1] == 2 else 1.0
    # The rotation nearest to the mirrored directions, as rounded ones are not quite orthogonal.
    left, _, right = np.linalg.svd(directions * flips)
    return flips, (left @ right).T @ (_TO_LPS @ affine)[:3, 3]
