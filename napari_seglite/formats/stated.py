"""What the metadata of a file state on an image, and how its axes are understood."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import LETTERS, Grid, guess_axes

# Two frames are a regular distance apart if all distances agree to this fraction.
REGULAR = 0.02


@dataclass(frozen=True, eq=False)
class Stated:
    """What the metadata of a file state on an image.

    Attributes
    ----------
    sizes : mapping
        Size of a pixel by letter of the axis, as far as it is stated.
    units : mapping
        Of the sizes, in any spelling.
    origin : mapping
        Place of the first pixel by letter, in the units.
    affine : ndarray or None
        As in `Grid`.
    channels : tuple of str
        Names of the channels.
    notices : tuple of str
        What a user should know, each a sentence.
    """

    sizes: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, float] = field(default_factory=dict)
    affine: np.ndarray | None = None
    channels: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @classmethod
    def of(cls, grid: Grid) -> Stated:
        """Return what a grid states."""
        return cls(
            dict(zip(grid.axes, grid.spacing, strict=True)),
            dict(zip(grid.axes, grid.units, strict=True)),
            dict(zip(grid.axes, grid.origin, strict=True)),
            grid.affine,
        )

    def along(self, renamed: Mapping[str, str]) -> Stated:
        """Return the same for axes that are called otherwise: their new letters and the old."""
        if not renamed:
            return self
        others = set(renamed) | set(renamed.values())

        def moved(values: Mapping[str, Any]) -> dict[str, Any]:
            kept = {axis: value for axis, value in values.items() if axis not in others}
            return kept | {new: values[old] for new, old in renamed.items() if old in values}

        return replace(
            self, sizes=moved(self.sizes), units=moved(self.units), origin=moved(self.origin)
        )


@dataclass(frozen=True)
class Layout:
    """How the axes of an array are understood.

    Attributes
    ----------
    letters : str
        One for each axis: those of `LETTERS`, ``"?"`` for an axis along which images lie, and any
        other for one of length 1, which means nothing.
    renamed : mapping
        Letters of axes that the file calls otherwise, with the file's letters.
    notices : tuple of str
        What a user should know, each a sentence.
    guesses : tuple of str
        As in `ImageFile`.
    """

    letters: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()


def lay_out(
    letters: str, shape: Sequence[int], images: Collection[str] = (), unsaid: str = "IQ"
) -> Layout:
    """Return how axes are understood: known letters keep their meaning.

    An unknown axis longer than 1 is taken for a free one of Z, T and C, with a notice, or else for
    one along which images lie. A plane without Y, such as a scan of X and Z, has that other axis as
    its rows.

    Parameters
    ----------
    letters : str
        As the file's library names the axes.
    shape : sequence of int
        Of the array.
    images : collection of str
        Letters of axes along which images lie, such as positions of the stage.
    unsaid : str
        Letters by which the library says that the file gives no meaning.
    """
    found = list(letters)
    renamed: dict[str, str] = {}
    notices: list[str] = []
    guesses: tuple[str, ...] = ()
    long = [k for k, n in enumerate(shape) if n > 1 or found[k] in "YX"]
    if any(found[k] in unsaid for k in long) and {found[k] for k in long} <= {*"YXS", *unsaid}:
        return _guessed(found, shape, [k for k in long if found[k] != "S"])
    samples = [k for k in long if found[k] == "S"]
    for k in samples:
        # Colours of several channels: the channels are images of their own.
        for other in (j for j in long if found[j] == "C"):
            found[other] = "?"
        found[k] = "C"
    for k in (k for k in long if found[k] in images):
        found[k] = "?"
    used = {found[k] for k in long}
    if "Y" not in used and "X" in used:
        rows = next((axis for axis in "ZT" if axis in used), None)
        if rows is not None:
            found[found.index(rows)] = "Y"
            renamed["Y"] = rows
            used = used - {rows} | {"Y"}
            notices.append(
                f"The rows of this image lie along {rows}: it is a scan of X and {rows}."
            )
    for k in long:
        if found[k] in LETTERS or found[k] == "?":
            continue
        old = found[k]
        free = [axis for axis in ("CZT" if old in "EλΛ" else "ZT") if axis not in used]
        new = free[0] if free else "?"
        found[k] = new
        used.add(new)
        if new != "?":
            guesses = ("axes",)
            renamed[new] = old
            if old not in unsaid:
                meaning = {"Z": "slices", "T": "time points", "C": "channels"}[new]
                notices.append(f"The axis {old} of {shape[k]} entries is taken for {meaning}.")
    for k in (k for k in range(len(found)) if k not in long and found[k] in used | set("SC")):
        found[k] = "_"
    return Layout("".join(found), renamed, tuple(notices), guesses)


def _guessed(letters: list[str], shape: Sequence[int], axes: Sequence[int]) -> Layout:
    """Return the layout of an array whose file says no more than which axes are colours."""
    samples = any(letter == "S" and n > 1 for letter, n in zip(letters, shape, strict=True))
    order = guess_axes(tuple(shape[k] for k in axes), False if samples else None).order
    found = [
        "C" if letter == "S" and n > 1 else "_" for letter, n in zip(letters, shape, strict=True)
    ]
    for k, letter in zip(axes, order, strict=True):
        found[k] = letter
    notices: tuple[str, ...] = ()
    if "C" in order:
        notices = (
            f"The file does not name its axes; the last, of {shape[axes[-1]]} entries, is taken "
            "for channels.",
        )
    return Layout("".join(found), {}, notices, ("axes",))


def interval(times: Sequence[float]) -> tuple[float | None, tuple[str, ...]]:
    """Return the time between frames, or None with a notice if it varies.

    Parameters
    ----------
    times : sequence of float
        When the frames were taken, in their order.
    """
    steps = np.diff(np.asarray(times, float))
    if not steps.size or not np.isfinite(steps).all() or not steps.any():
        return None, ()
    mean = float(steps.mean())
    if mean > 0 and np.abs(steps - mean).max() <= REGULAR * mean:
        return mean, ()
    said = f"The time between frames varies from {steps.min():g} to {steps.max():g}"
    return None, (f"{said}, so it is taken as unknown.",)


def place(number: int, counts: Sequence[int]) -> tuple[int, ...]:
    """Return the indices of an image along the axes along which images lie.

    Raises
    ------
    ImageError
        If there is no such image.
    """
    if not 0 <= number < math.prod(counts):
        raise ImageError(f"there is no image {number + 1} in this file.")
    return tuple(int(k) for k in np.unravel_index(number, counts)) if counts else ()
