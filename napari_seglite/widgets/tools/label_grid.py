"""The axes and pixel sizes of a Labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ImageError
from ...images import Grid
from ..common import layers

if TYPE_CHECKING:
    from napari.layers import Labels

_LETTERS = "TZYX"


def label_grid(layer: Labels) -> Grid:
    """Return the axes of a Labels layer, named or else the last ones of TZYX, and its pixel sizes.

    Parameters
    ----------
    layer : Labels
        The layer.

    Raises
    ------
    ImageError
        If it has more than four axes.
    """
    if layer.ndim > len(_LETTERS):
        raise ImageError(f"{layer.name} has {layer.ndim} axes; choose labels with at most four.")
    letters = [layers.letter(name) for name in layer.axis_labels]
    if letters[-2:] == ["", ""]:
        letters[-2:] = ["Y", "X"]
    named = all(letters) and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)
    axes = "".join(letters) if named and "C" not in letters else _LETTERS[-layer.ndim :]
    units = dict(zip(axes, map(str, layer.units), strict=True))
    return Grid.of(axes, dict(zip(axes, abs(layer.scale).tolist(), strict=True)), units)
